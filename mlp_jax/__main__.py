"""The command line: `mlp-jax check`, `train`, `sweep` and `predict`, the same as `python -m mlp_jax`.

It parses and calls a command. A user's mistake is one line on the error stream and exit status 2.
"""

import io
import os
import signal
import sys
from importlib import import_module

from mlp_jax.command_line._common import interrupted as interrupted


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that cannot show a character shows another
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, interrupted)
    try:
        tyro, *_ = map(import_module, ("tyro", "rich", "safetensors"))
    except ModuleNotFoundError as error:
        sys.exit(_fail(f"the command line needs {error.name}: pip install 'mlp_jax[cli]'"))
    try:
        from mlp_jax.command_line._check import check
        from mlp_jax.command_line._predict import predict
        from mlp_jax.command_line._sweep import sweep
        from mlp_jax.command_line._train import train

        tyro.extras.subcommand_cli_from_dict(
            {"check": check, "train": train, "sweep": sweep, "predict": predict},
            prog="mlp-jax",
            description="Check hand-written backward passes, and train networks by one, alone or many at once.",
        )
    except BrokenPipeError:  # nobody reads on, as in `mlp-jax predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(_fail(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        sys.exit(_fail(str(error)))


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
