"""Ctrl-C: a command of ours ends at once with one line, also in the seconds in which JAX is imported."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

STATUS = 130  # 128 + SIGINT, as shells say it


def interrupted(signal_number: int, frame: Any, words: str = "") -> None:
    """End the process at once, also inside a library that would swallow a KeyboardInterrupt."""
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides it
    print(f"{cursor}\ninterrupted{words}", file=sys.stderr, flush=True)
    os._exit(STATUS)


def is_command() -> bool:
    """Return whether this process was started as `mlp-jax` or `python -m mlp_jax`."""
    program, *_ = sys.argv or [""]
    if program == "-m":  # Python imports the package first, and __main__ after it
        return sys.orig_argv[-len(sys.argv)].removeprefix("-m") == "mlp_jax"
    return Path(program).stem == "mlp-jax"


if is_command():
    signal.signal(signal.SIGINT, interrupted)
