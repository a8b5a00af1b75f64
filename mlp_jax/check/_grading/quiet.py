"""Nothing on the error stream, and nothing of what other code prints: a grader takes either as part of a result."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

ERROR_STREAM = 2  # its number for libraries that are not written in Python, such as XLA


class Nowhere(io.TextIOBase):
    """A stream that keeps nothing."""

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, words: str) -> int:
        """Return how much was written."""
        return len(words)


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is printed, warned of and logged, by Python, its libraries and their threads."""
    with _no_error_stream(), _muted(sys.stderr), _no_logging(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with redirect_stdout(Nowhere()), redirect_stderr(Nowhere()):
            yield


@contextmanager
def _muted(stream: Any) -> Iterator[None]:
    """Mute a stream for those who hold it already, such as a logger."""
    is_muted = False
    with suppress(AttributeError):  # a stream without attributes of its own
        stream.write, is_muted = len, True
    try:
        yield
    finally:
        if is_muted:
            del stream.write


@contextmanager
def _no_logging() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _no_error_stream() -> Iterator[None]:
    """Point the error stream of the process to nowhere."""
    try:
        kept = os.dup(ERROR_STREAM)
    except OSError:  # it is closed, as without a console on Windows
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, ERROR_STREAM)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stderr, sys.__stderr__)):
            with suppress(Exception):  # what it holds back goes nowhere, too
                stream.flush()
        os.dup2(kept, ERROR_STREAM)
        os.close(kept)
        os.close(nowhere)
