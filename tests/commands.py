"""The command line as tests run it: in this process, or in one of its own as users do."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import jax
import pytest

from mlp_jax.__main__ import main

# Strict, as pyproject.toml is: a half-written entry of the shared cache is compiled anew.
WARNINGS = "error,ignore:Error reading persistent compilation cache entry:UserWarning"


def stream(encoding=None):
    """A stream of a console in an encoding, or one that takes all characters."""
    return io.StringIO() if encoding is None else io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)


def text_of(written):
    return written.getvalue() if isinstance(written, io.StringIO) else written.buffer.getvalue().decode()


def run(*arguments, encoding=None):
    """Run the command in this process, which compiles each program once for all tests."""
    return run_function(main, *arguments, encoding=encoding)


def run_function(function, *arguments, encoding=None):
    """Call a function as the program of this process."""
    stdout, stderr, status = stream(encoding), stream(encoding), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", ["mlp-jax", *map(str, arguments)])
        patch.setattr("signal.signal", lambda *_: None)  # the handler is pytest's own
        try:
            function()
        except SystemExit as exit:
            status = exit.code
        finally:
            jax.config.update("jax_enable_x64", False)
    return subprocess.CompletedProcess(arguments, status, text_of(stdout), text_of(stderr))


@contextmanager
def full_disk(room=50):
    """Limit the length of files: writing more fails, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run_process(*arguments, **environment):
    """Run the command in a process of its own, as users do."""
    return subprocess.run(
        [sys.executable, "-m", "mlp_jax", *map(str, arguments)],
        env=os.environ | {"PYTHONWARNINGS": WARNINGS, "JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )


def assert_fails(done, *words):
    """One line on the error stream that holds the words, exit status 2, and no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(str(word) in done.stderr for word in words), done.stderr
