"""Whole processes, by the clock on the wall: from the command to a trained network of digits, and imports."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.benchmark import problems, pytorch_digits
from experiments.benchmark.results import Missing
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

CACHE = "JAX_COMPILATION_CACHE_DIR"


def mlp_jax_command(problem: problems.Problem, workload: Workload, first: bool = False) -> Task:
    """Run `mlp-jax train --data digits`: first with nothing compiled, then with what it compiled."""
    command = [sys.executable, "-m", "mlp_jax", "train", "--data", "digits"]
    folder = tempfile.TemporaryDirectory(prefix="mlp_jax-cache-")

    def value() -> float:
        if not first:
            return seconds_of(command, {CACHE: folder.name})
        with tempfile.TemporaryDirectory(prefix="mlp_jax-cache-") as empty:
            return seconds_of(command, {CACHE: empty})

    return Task(lambda order: 0.0, value=value, facts={"device": "default"})


def pytorch_script(problem: problems.Problem, workload: Workload) -> Task:
    """Run the same training as a script of PyTorch."""
    import_module("torch")  # if it is missing this side says so, and the script is not started

    command = [sys.executable, str(Path(pytorch_digits.__file__))]
    return Task(lambda order: 0.0, value=lambda: seconds_of(command, {}), facts={"device": "cpu"})


def imports(problem: problems.Problem, workload: Workload, names: str) -> Task:
    """Start a Python that imports modules and ends. The time includes its own start."""
    command = [sys.executable, "-c", f"import {names}"]
    return Task(lambda order: 0.0, value=lambda: seconds_of(command, {}), facts={"device": "none"})


def seconds_of(command: Sequence[str], environment: dict[str, str]) -> float:
    """Run a command to its end, and return how long it took."""
    start = time.perf_counter()
    done: Any = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise Missing(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return seconds
