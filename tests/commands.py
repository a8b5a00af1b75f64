"""The command line as tests run it: in this process, or in one of its own as users do."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import jax
import pytest

from mlp_jax.__main__ import main

# Strict, as pyproject.toml is: a half-written entry of the shared cache is compiled anew.
WARNINGS = "error,ignore:Error reading persistent compilation cache entry:UserWarning"


def run(*arguments):
    """Run the command in this process, which compiles each program once for all tests."""
    stdout, stderr = io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", ["mlp-jax", *map(str, arguments)])
        patch.setattr("signal.signal", lambda *_: None)  # the handler is pytest's own
        try:
            main()
        except SystemExit as exit:
            status = exit.code
        finally:
            jax.config.update("jax_enable_x64", False)
    return subprocess.CompletedProcess(arguments, status, stdout.getvalue(), stderr.getvalue())


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
