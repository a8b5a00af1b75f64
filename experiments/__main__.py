"""`python -m experiments [NAME ...] [--quick] [--open] [--language ko]`: see `experiments.frame.command`."""

import os
import signal

if __name__ == "__main__":  # until run_command hears Ctrl-C
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b"\ninterrupted\n") and os._exit(130))

from mlp_jax.command_line import run_command


def parse_and_run() -> None:
    """Parse the command line, and run."""
    import tyro

    from experiments.frame.command import main

    tyro.cli(main, prog="python -m experiments")


if __name__ == "__main__":
    needs = ("matplotlib", "tyro", "scipy", "jinja2", "latex2mathml")
    run_command(parse_and_run, needs, install="-e '.[experiments]'")
