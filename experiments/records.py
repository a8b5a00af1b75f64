"""Results on disk: JSON and pictures, and the measurements of runs that were interrupted."""

import dataclasses
import hashlib
import json
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from experiments.protocol import Claim, Measurement, Result

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"  # recorded: what README and the committed report quote
RUNS = FOLDER / "runs"  # all other results
UNFINISHED = RUNS / "unfinished"  # measurements of runs that did not come to their end


def as_record(result: Result) -> dict[str, Any]:
    """Return a result as plain JSON values, the verdicts included."""
    return dataclasses.asdict(result) | {"measurements": [_measurement_record(m) for m in result.measurements]}


def from_record(record: Mapping[str, Any]) -> Result:
    """Return the result that a record holds."""
    return Result(**{**record, "measurements": tuple(_measurement(m) for m in record["measurements"])})


def recorded(names: tuple[str, ...], folder: Path = RESULTS) -> list[Result]:
    """Return the results of these names that a folder holds, in their order."""
    paths = [folder / f"{name}.json" for name in names]
    return [from_record(json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]


def write(folder: Path, result: Result, question: ModuleType) -> None:
    """Write a result as JSON, and its pictures as SVG, drawn from what is written."""
    folder.mkdir(parents=True, exist_ok=True)
    record = as_record(result)
    write_json(folder / f"{result.name}.json", record)
    result = from_record(record)
    drawn = {module.__name__.rsplit(".", 1)[-1]: module for module in question.MEASUREMENTS}
    for measurement in result.measurements:
        if measurement.caption:
            draw(folder / picture_name(result, measurement), drawn[measurement.name], measurement)


def draw(path: Path, module: ModuleType, measurement: Measurement) -> None:
    """Write the picture of a measurement as SVG; the same data give the same file."""
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure = module.picture(measurement.data)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def picture_name(result: Result, measurement: Measurement) -> str:
    """Return the file name of a measurement's picture."""
    return f"{result.name}-{measurement.name}.svg"


def new_folder(parent: Path) -> Path:
    """Make a folder named by the time; a run in the same second gets a number."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    for i in range(1000):
        folder = parent / (name if i == 0 else f"{name}-{i}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(f"{parent / name}: expected a new folder")


# ---- what an interrupted run had measured


def unfinished(module: ModuleType, config: Any, seed: int) -> Path:
    """Return where a measurement is kept: it depends on the configuration, the seed and all our code."""
    key = f"{module.__name__} {config} {seed} {_code()}"
    return UNFINISHED / f"{module.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"


def keep(path: Path, measurement: Measurement) -> None:
    """Keep a measurement until its run has ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, _measurement_record(measurement))


def kept(path: Path) -> Measurement | None:
    """Return a measurement of an interrupted run."""
    return _measurement(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _code() -> str:
    """A hash of the code that a measurement can depend on."""
    sources = sorted(path for root in (FOLDER, FOLDER.parent / "mlp_jax") for path in root.rglob("*.py"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _measurement_record(measurement: Measurement) -> dict[str, Any]:
    claims = [dataclasses.asdict(claim) | {"verdict": claim.verdict} for claim in measurement.claims]
    return dataclasses.asdict(measurement) | {"claims": claims, "data": plain(measurement.data)}


def _measurement(record: Mapping[str, Any]) -> Measurement:
    return Measurement(**{**record, "claims": tuple(_claim(claim) for claim in record["claims"])})


def _claim(record: Mapping[str, Any]) -> Claim:
    interval = record["interval"]
    values = {name: value for name, value in record.items() if name != "verdict"}
    return Claim(**{**values, "interval": interval and tuple(interval)})


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
