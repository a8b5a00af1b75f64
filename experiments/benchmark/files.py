"""Where results lie, with all that is needed to repeat them, and what an interrupted run had measured."""

import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments import benchmark
from experiments.benchmark import plots
from experiments.benchmark.workloads import WORKLOADS, Workload
from experiments.frame import numbers, questions

NAME = "benchmark"
PACKAGES = (*numbers.PACKAGES, "torch", "scikit-learn", "equinox", "flax")


def result_path(folder: Path, backend: str) -> Path:
    """Return the file of a result: the recorded ones are named by the kind of machine."""
    return folder / (f"{NAME}-{backend}.json" if folder == questions.RESULTS else f"{NAME}.json")


def recorded(folder: Path = questions.RESULTS) -> dict[str, Any] | None:
    """Return the recorded result: of the CPU or, where there is none, of a GPU."""
    paths = [result_path(folder, backend) for backend in ("cpu", "gpu")]
    return next((json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()), None)


def merged(path: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded result at a path, with the workloads of another one in the place of its own.

    Raises:
      ValueError: if there is none, it is of another machine or other versions, or a side of the new one is missing.
    """
    if not path.exists():
        raise ValueError(f"--record --only: expected a recorded result to add to, got no {path}; leave --only out")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    installed = {name: version for name, version in result["versions"].items() if version != "not installed"}
    surroundings = {name: result[name] for name in ("device", "processor", "cores")} | installed
    for name, here in surroundings.items():
        if here != (there := (record | record["versions"]).get(name)):
            raise ValueError(f"--record --only: expected {name} {there}, as recorded, got {here}; leave --only out")
    for name, workload in result["workloads"].items():
        for side, outcome in workload["sides"].items():
            if "missing" in outcome:
                raise ValueError(f"--record --only: expected every side, got {name}: {side}: {outcome['missing']}")
    workloads = record["workloads"] | result["workloads"]
    return record | {"workloads": {one.name: workloads[one.name] for one in WORKLOADS if one.name in workloads}}


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, and its pictures as SVG beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, plain(result))
    for name, draw in plots.PICTURES.items():
        figure = draw(result)
        with plt.rc_context({"svg.hashsalt": f"{path.stem}-{name}"}):
            figure.savefig(path.with_name(f"{path.stem}-{name}.svg"), metadata={"Date": None})
        plt.close(figure)


def unfinished(workload: Workload, repeats: int) -> Path:
    """Return where a measured workload is kept until its run has ended."""
    surroundings = (versions(), processor(), *(os.environ.get(name) for name in ("JAX_PLATFORMS", "MLP_JAX_DATA")))
    path = questions.unfinished(benchmark, (workload, repeats, *surroundings), 0)
    return path.with_name(f"{path.name}.json")


def keep(path: Path, record: Mapping[str, Any]) -> None:
    """Keep the record of a workload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, plain(record))


def kept(path: Path) -> dict[str, Any] | None:
    """Return the record of a workload of an interrupted run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def plain(value: Any) -> Any:
    """Arrays as lists, numbers with six digits (pictures need no more), and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write to another name first: a file is whole or not there."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[\s\d.,e+\-nul]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    temporary = path.with_suffix(".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)
