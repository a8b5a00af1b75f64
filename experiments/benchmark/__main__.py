"""`python -m experiments.benchmark [--quick] [--only NAME ...] [--record] [--table]`: see `command`."""

import os
import signal

if __name__ == "__main__":  # until run_command hears Ctrl-C
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b"\ninterrupted\n") and os._exit(130))

from mlp_jax.command_line import run_command


def parse_and_run() -> None:
    """Parse the command line, and run; Ctrl-C ends the measurements, whose results are still written."""
    import tyro

    from experiments.benchmark.command import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    tyro.cli(main, prog="python -m experiments.benchmark")


if __name__ == "__main__":
    run_command(parse_and_run, ("matplotlib", "tyro", "rich"), install="-e '.[benchmark]'")
