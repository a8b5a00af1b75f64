"""Where results lie, on what they were measured, and what an interrupted run had measured."""

import importlib.metadata
import os
import platform
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt

from experiments import benchmark
from experiments.benchmark import plots, results
from experiments.benchmark.results import Result
from experiments.benchmark.workloads import WORKLOADS, Workload
from experiments.frame import numbers, questions

PACKAGES = (*numbers.PACKAGES, "torch", "scikit-learn", "equinox", "flax")
ABSENT = "not installed"


def result_path(folder: Path, backend: str) -> Path:
    """Return the file of a result: the recorded ones are named by the kind of machine."""
    return folder / (f"benchmark-{backend}.json" if folder == questions.RESULTS else "benchmark.json")


def recorded(folder: Path = questions.RESULTS) -> Result | None:
    """Return the recorded result: of the CPU or, if there is none, of a GPU."""
    paths = [result_path(folder, backend) for backend in ("cpu", "gpu")]
    return next((results.read(path) for path in paths if path.exists()), None)


def merged(path: Path, result: Result) -> Result:
    """Return the recorded result at a path, with the workloads of another one in the place of its own.

    Raises:
      ValueError: if there is none, it is of another machine or other versions, or a side of the new one is missing.
    """
    if not path.exists():
        raise ValueError(f"--record --only: expected a recorded result to add to, got no {path}; leave --only out")
    record = results.read(path)
    here, there = (
        {"device": one.device, "processor": one.processor, "cores": one.cores} | dict(one.versions)
        for one in (result, record)
    )
    for name, value in here.items():
        if value not in (ABSENT, there.get(name)):
            raise ValueError(
                f"--record --only: expected {name} {there.get(name)}, as recorded, got {value}; leave --only out"
            )
    for name, workload in result.workloads.items():
        for side, reason in workload.missing.items():
            raise ValueError(f"--record --only: expected every side, got {name}: {side}: {reason}")
    workloads = {**record.workloads, **result.workloads}
    return replace(record, workloads={one.name: workloads[one.name] for one in WORKLOADS if one.name in workloads})


def write(path: Path, result: Result) -> None:
    """Write a result as JSON, and its pictures as SVG next to it."""
    results.write(path, result)
    for name, draw in plots.PICTURES.items():
        figure = draw(result)
        with plt.rc_context({"svg.hashsalt": f"{path.stem}-{name}"}):
            figure.savefig(path.with_name(f"{path.stem}-{name}.svg"), metadata={"Date": None})
        plt.close(figure)


def unfinished(workload: Workload) -> Path:
    """Return where a measured workload is kept until its run has ended."""
    surroundings = (versions(), processor(), *(os.environ.get(name) for name in ("JAX_PLATFORMS", "MLP_JAX_DATA")))
    path = questions.unfinished(benchmark, (workload, *surroundings), 0)
    return path.with_name(f"{path.name}.json")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ABSENT
    return found


def processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
