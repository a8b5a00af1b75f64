"""The command line: `mlp-jax check`, `exercise`, `train`, `sweep` and `predict`, the same as `python -m mlp_jax`."""

import platform
import sys
from importlib.metadata import version

import mlp_jax
from mlp_jax.command_line import run_command


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        run_command(show_versions)
    else:
        run_command(run_subcommand, needs=("tyro", "rich", "safetensors"))


def show_versions() -> None:
    """Print the versions of all that computes."""
    versions = f"jax {version('jax')}, jaxlib {version('jaxlib')}, Python {platform.python_version()}"
    print(f"mlp_jax {mlp_jax.__version__} ({versions})")


def run_subcommand() -> None:
    """Parse the command line, and call a command."""
    import tyro

    from mlp_jax.command_line._check import check
    from mlp_jax.command_line._exercise import exercise
    from mlp_jax.command_line._gradescope import result_in_any_case
    from mlp_jax.command_line._predict import predict
    from mlp_jax.command_line._sweep import sweep
    from mlp_jax.command_line._train import train

    with result_in_any_case(sys.argv[1:]):
        tyro.extras.subcommand_cli_from_dict(
            {"check": check, "exercise": exercise, "train": train, "sweep": sweep, "predict": predict},
            prog="mlp-jax",
            description=(
                "Check hand-written backward passes, make exercises of them, and train networks, one or many at once. "
                "mlp-jax --version prints the versions."
            ),
        )


if __name__ == "__main__":
    main()
