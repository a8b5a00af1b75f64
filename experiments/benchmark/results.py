"""What a run measured, as frozen records, and their JSON."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Missing(Exception):
    """There is no number; the words say why."""


@dataclass(frozen=True)
class SideResult:
    """The numbers of one side.

    Attributes:
      values: one per repeat, in the unit of the workload.
      facts: what its task says besides: device, threads, bytes, operations, and so on.
      loss: what `Task.run` returned for the common order of the examples; None if that is not compared.
      first: seconds of preparing and of the first run, compilation included; None in a new process per repeat.
    """

    values: tuple[float, ...] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loss: float | None = None
    first: float | None = None


@dataclass(frozen=True)
class WorkloadResult:
    """The numbers of a workload, and what it was: see `Workload`.

    Attributes:
      date: when it was measured.
      source: of the examples.
      repeats: how many were meant; a side has all or is missing.
      seconds: how long everything took.
      sides: the numbers by side.
      missing: why other sides have none.
    """

    unit: str
    sizes: tuple[int, ...]
    activation: str
    batch: int
    steps: int
    examples: int
    nets: int
    date: str
    source: str
    repeats: int
    seconds: float
    sides: Mapping[str, SideResult]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """The numbers of a run.

    Attributes:
      date: when the run ended.
      quick: whether workloads were fewer and shorter.
      backend: JAX's, "cpu" or "gpu".
      device, processor, cores, versions: on what it ran.
      left_out: workloads, and sides of workloads, that this run did not have.
      workloads: the numbers by workload.
    """

    date: str
    quick: bool
    backend: str
    device: str
    processor: str
    cores: int | None
    versions: Mapping[str, str]
    left_out: tuple[str, ...]
    workloads: Mapping[str, WorkloadResult]


def write(path: Path, result: Result | WorkloadResult) -> None:
    """Write a result as JSON with six digits; the file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(dataclasses.asdict(result)), indent=1, ensure_ascii=False)
    text = re.sub(r"\[[\s\d.,e+\-]*\]", lambda numbers: " ".join(numbers[0].split()), text)  # a list in one line
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def read(path: Path) -> Result:
    """Return the result of a run that `write` wrote."""
    record = json.loads(path.read_text(encoding="utf-8"))
    workloads = {name: _workload(workload) for name, workload in record["workloads"].items()}
    return Result(**{**record, "left_out": tuple(record["left_out"]), "workloads": workloads})


def read_workload(path: Path) -> WorkloadResult:
    """Return the result of one workload that `write` wrote."""
    return _workload(json.loads(path.read_text(encoding="utf-8")))


def _workload(record: Mapping[str, Any]) -> WorkloadResult:
    sides = {name: SideResult(**{**side, "values": tuple(side["values"])}) for name, side in record["sides"].items()}
    return WorkloadResult(**{**record, "sizes": tuple(record["sizes"]), "sides": sides})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
