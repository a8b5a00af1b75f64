"""Check a file that defines `loss_and_gradients`: run it in a child process, with a limit on its time, and judge it.

The child is no sandbox: it runs the file's code, with all that the user may do. What it prints is thrown away.
"""

import importlib
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mlp_jax import _doors
from mlp_jax.check._diagnosis import backprop_check
from mlp_jax.check._diagnosis.asking import Answers, ask, one_line, uses_autodiff
from mlp_jax.check._diagnosis.problems import Problem, Settings
from mlp_jax.check._diagnosis.report import BackpropReport

CONSTANTS = ("activation", "loss", "layers", "layout", "params")  # settings that a file may hold, in capitals
FUNCTION = "loss_and_gradients"


class Asked(NamedTuple):
    """What a child process gives: answers, or the reason why there are none.

    Attributes:
      settings: from the file and the command line, where they could be read.
      problems: what was tried.
      answers: the answers.
      autodiff: whether the file calls autodiff.
      error: one line; empty where there are answers.
    """

    settings: Settings
    problems: Sequence[Problem] = ()
    answers: Answers | None = None
    autodiff: bool = False
    error: str = ""


def judged(asked: Asked) -> BackpropReport:
    """Judge what a child process gave; what cannot be judged does not keep the other files from it."""
    try:
        return judge(asked)
    except Exception as error:
        return backprop_check.failed(f"its answers cannot be judged: {one_line(error)}", asked.settings)


def judge(asked: Asked) -> BackpropReport:
    """Judge what a child process gave."""
    if asked.answers is None:
        return backprop_check.failed(asked.error, asked.settings)
    return backprop_check.report(asked.answers, asked.problems, asked.settings, asked.autodiff)


def run(file: Path, given: Mapping[str, Any], seconds: float) -> Asked:
    """Run a file in a child process, and return what it gave."""
    settings = Settings(**given)
    if not file.is_file():
        return Asked(settings, error="no such file" if not file.exists() else "not a file")
    if file.suffix != ".py":
        return Asked(settings, error=f"expected a file that ends in .py, got {file.suffix or 'no ending'}")
    arguments = (str(file), json.dumps(dict(given)), str(seconds), str(os.getpid()))
    child = subprocess.Popen(
        # -P: the folder in which the command is given holds files that are checked, not modules to import
        [sys.executable, "-P", "-m", "mlp_jax.check._diagnosis.files", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ENVIRONMENT,
        start_new_session=True,
    )
    try:
        answer, complaint = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return Asked(settings, error=f"no answer within {seconds:g} s: an endless loop? --time-limit sets the limit")
    finally:
        end(child)
    try:
        return pickle.loads(answer)
    except Exception:  # whatever was read, it is no answer
        said = complaint.decode("utf-8", "replace").strip().splitlines()
        return Asked(
            settings,
            error=f"it ended the process that ran it, {_status(child.returncode)}{': ' + said[-1] if said else ''}",
        )


def _status(code: int) -> str:
    """Say how a process ended."""
    return f"with status {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


ENVIRONMENT = {
    "JAX_ENABLE_X64": "1",  # so that jax.numpy keeps the arrays' float64
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "agg",  # a plot that is shown does not wait for someone to close it
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
}


def end(child: subprocess.Popen[bytes]) -> None:
    """End a child, and what it has started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        with suppress(OSError):  # what was not yet written to the child is lost with it
            if stream is not None:
                stream.close()


def answers_of_file(file: Path, given: Mapping[str, Any]) -> Asked:
    """Import a file and ask its function; runs in the child process."""
    settings = Settings(**given)
    try:
        module = load(file)
    except SyntaxError as error:
        return Asked(settings, error=f"line {error.lineno}: {error.msg}" if error.lineno else error.msg)
    except (UnicodeDecodeError, ValueError) as error:
        return Asked(settings, error=f"expected Python code in UTF-8, got {error}")
    except SystemExit:
        return Asked(settings, error="it calls sys.exit when it is imported")
    except Exception as error:
        return Asked(settings, error=f"it cannot be imported: {one_line(error)}")
    constants = {name: getattr(module, name.upper()) for name in CONSTANTS if hasattr(module, name.upper())}
    try:
        settings = Settings(**constants | dict(given))
    except (ValueError, TypeError) as error:
        return Asked(settings, error=f"a constant of the file, or a flag: {error}")
    try:
        function = function_of(module)
        problems = backprop_check.problems_for(settings, getattr(module, "POINT", None))
    except (ValueError, TypeError) as error:
        return Asked(settings, error=str(error))
    source = file.read_bytes().decode("utf-8", "replace")
    answers = ask(function, problems, settings)
    return Asked(settings, problems, answers, uses_autodiff(source))


def load(file: Path) -> ModuleType:
    """Import a file as a module, beside which it finds its own modules."""
    sys.path.append(str(file.parent.resolve()))  # last: a file named random.py is nobody else's random
    spec = importlib.util.spec_from_file_location("checked", file)
    if spec is None or spec.loader is None:
        raise ValueError("a name that does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["checked"] = module
    spec.loader.exec_module(module)
    return module


def function_of(module: ModuleType) -> Callable[..., Any]:
    """Return the function that is checked."""
    function = getattr(module, FUNCTION, None)
    if function is None:
        names = [name for name in vars(module) if not name.startswith("_")]
        cure = _doors.did_you_mean(FUNCTION, names)
        raise _doors.mistake("file", f"a function {FUNCTION}(params, x, labels)", "none", cure)
    _doors.check_function(FUNCTION, function)
    return function


def main(file: str, given: str, seconds: str, parent: str) -> None:
    """Write what a file's function answers to the output: the child process."""
    threading.Thread(target=end_with_parent, args=(int(parent), float(seconds)), daemon=True).start()
    channel, complaints = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):  # what the file prints is thrown away
        os.dup2(nowhere, number)
    sys.argv = [file]
    try:
        answer = pickle.dumps(answers_of_file(Path(file), json.loads(given)))
        with os.fdopen(channel, "wb") as stream:
            stream.write(answer)
    except BaseException as error:
        os.write(complaints, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)  # threads that the file has left running do not keep us


def end_with_parent(parent: int, seconds: float) -> None:
    """End this process, and what it has started, when nobody waits for it any more."""
    late = time.monotonic() + seconds + 5
    while (os.name != "posix" or os.getppid() == parent) and time.monotonic() < late:
        time.sleep(0.2)
    if os.name == "posix":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    importlib.import_module("mlp_jax.check._diagnosis.files").main(
        *sys.argv[1:]
    )  # by its own name, which the pickle holds
