"""A side's process: it prepares tasks and times them, one command after another over a pipe.

Messages are (command, arguments); answers are (value, "") or (None, why there is none).
"""

import importlib
import logging
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmark import problems
from experiments.benchmark.problems import Problem
from experiments.benchmark.results import Missing
from experiments.benchmark.workloads import Side, Workload

PATIENCE = 900.0  # seconds for one command: a compilation on a slow machine takes minutes


class Task(NamedTuple):
    """What a side does for a workload.

    Attributes:
      run: run(order) does it once, waits for the end, and returns the mean loss of its steps, or another number that
        tells results apart; with None the side shuffles the examples itself.
      units: how many units of the workload that is: epochs, or steps times networks.
      facts: what else is worth recording.
      value: for what is not the time of `run`: returns the measured number itself.
      comparable: whether that number has to agree with the other sides'.
    """

    run: Callable[[Any], float]
    units: float = 1.0
    facts: dict[str, Any] = {}  # noqa: RUF012  # nothing writes to it
    value: Callable[[], float] | None = None
    comparable: bool = True


class Worker(NamedTuple):
    """A running process and our end of the pipe."""

    process: BaseProcess
    connection: Connection


def start(kind: str) -> Worker:
    """Start a process for sides of one kind: mlp_jax, devices, pytorch, and so on."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its, kind), daemon=True)
    process.start()
    its.close()
    return Worker(process, ours)


def ask(worker: Worker, command: str, *arguments: Any) -> Any:
    """Return a worker's answer to a command.

    Raises:
      Missing: if there is none, because the side cannot take part, or the process has died or says nothing.
    """
    try:
        worker.connection.send((command, arguments))
        if not worker.connection.poll(PATIENCE):
            worker.process.kill()
            raise Missing(f"no answer in {PATIENCE:.0f} s")
        value, missing = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(10)
        raise Missing(f"its process ended with exit code {worker.process.exitcode}") from None
    if missing:
        raise Missing(missing)
    return value


def stop(worker: Worker) -> None:
    """End a worker."""
    worker.connection.close()
    worker.process.terminate()
    worker.process.join(10)


# ---- in the process


def serve(connection: Connection, kind: str) -> None:
    """Answer commands until the pipe is closed."""
    signal.signal(signal.SIGINT, lambda *_: None)  # the parent hears Ctrl-C, and ends us
    warnings.simplefilter("ignore")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU
    tasks: dict[str, Task] = {}
    commands: dict[str, Callable[..., Any]] = {
        "device": _device,
        "make": problems.make,
        "prepare": lambda *arguments: prepare(tasks, *arguments),
        "compare": lambda name, path: _task(tasks, name).run(problems.load(path).order),
        "measure": lambda name: measure(_task(tasks, name)),
        "forget": tasks.clear,
    }
    is_set_up = False
    while True:
        try:
            command, arguments = connection.recv()
        except EOFError:
            return
        try:
            if not is_set_up:
                _set_up(kind)
                is_set_up = True
            answer = commands[command](*arguments), ""
        except ModuleNotFoundError as error:
            answer = None, f"{error.name} is not installed: pip install -e '.[benchmark]'"
        except Missing as error:
            answer = None, str(error)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = " ".join(str(error).split())[:200]
            answer = None, f"{type(error).__name__} in {Path(place.filename).name}: {words}"
        connection.send(answer)


def measure(task: Task) -> float:
    """Return the seconds of a run for one unit, or the task's own number."""
    if task.value is not None:
        return task.value()
    start = time.perf_counter()
    task.run(None)
    return (time.perf_counter() - start) / task.units


def prepare(tasks: dict[str, Task], side: Side, workload: Workload, path: Path) -> tuple[Mapping[str, Any], bool]:
    """Build the task of a side, and return its facts and whether its loss is compared."""
    task = tasks[side.name] = task_of(side.function, problems.load(path), workload, **side.options)
    return task.facts, task.comparable and task.value is None


def task_of(function: str, problem: Problem, workload: Workload, /, **options: Any) -> Task:
    """Return the task that module:function in `sides` prepares."""
    module, name = function.split(":")
    prepare_task = getattr(importlib.import_module(f"experiments.benchmark.sides.{module}"), name)
    task: Task = prepare_task(problem, workload, **options)
    return task


def _task(tasks: dict[str, Task], name: str) -> Task:
    """Return a task that this process has prepared."""
    if name not in tasks:
        raise Missing("the process that had prepared it ended, for another side's sake")
    return tasks[name]


def _device() -> tuple[str, str]:
    """Return JAX's backend, cpu or gpu, and the name of its first device."""
    import jax

    return jax.default_backend(), jax.devices()[0].device_kind


def _set_up(kind: str) -> None:
    """Give a process its threads and devices: torch all cores, `devices` one device a core, other JAX one device."""
    cores = os.cpu_count() or 1
    if kind == "pytorch":
        import torch

        logging.getLogger("torch").setLevel(logging.ERROR)
        torch.set_num_threads(cores)
    if kind == "devices":
        import jax

        jax.config.update("jax_num_cpu_devices", cores)
    if kind == "compilation":
        import jax

        jax.config.update("jax_enable_compilation_cache", False)
