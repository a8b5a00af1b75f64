"""The entry of every program: streams, Ctrl-C, missing packages, and errors in one line."""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from mlp_jax import _interrupt

MISTAKES = (ValueError, TypeError, OSError, ModuleNotFoundError, MemoryError)


def run_command(function: Callable[[], object], needs: Sequence[str] = (), install: str = "'mlp_jax[cli]'") -> None:
    """Run a function as a program that ends with one line, and no traceback, if its user makes a mistake.

    A ValueError, TypeError, OSError, ModuleNotFoundError or MemoryError is one line on the error stream and exit
    status 2; Ctrl-C is one line and exit status 130. Other exceptions are mistakes in the program, and keep their
    traceback. With MLP_JAX_TRACEBACK=1 in the environment all exceptions keep it.

    Args:
      function: the program. It may read sys.argv, and call sys.exit.
      needs: modules that have to be there, imported before `function` is called.
      install: what `pip install` takes to install them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that cannot show a character shows its code
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGINT, _interrupt.interrupted)
    try:
        for name in needs:
            import_module(name)
    except ModuleNotFoundError as error:
        _fail(f"this command needs {error.name}: pip install {install}")
    try:
        try:
            function()
        finally:
            _flush()
    except BrokenPipeError:  # nobody reads on, as in `mlp-jax predict ... | head`
        sys.exit(1)
    except KeyboardInterrupt:  # of a program that has set its own handler
        print("\ninterrupted", file=sys.stderr)
        sys.exit(_interrupt.STATUS)
    except MISTAKES as error:
        if os.environ.get("MLP_JAX_TRACEBACK"):
            raise
        _fail(_in_words(error))


def _in_words(error: BaseException) -> str:
    """Return an exception's message in one line; an OSError names its file, if it has one."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(message.split()) or type(error).__name__


def _flush() -> None:
    """Write what standard output still holds, while an error can be reported."""
    try:
        sys.stdout.flush()
    except OSError:  # drop it, or Python would fail once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
