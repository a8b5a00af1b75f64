"""Build the wheel, install it as a user does, and use it outside of the checkout. CI runs this file as a script."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "experiments" / "examples" / "my_backprop.py"
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "mlp_jax").rglob("*.py"))
]
IN_PYTHON = f"""
import importlib.metadata, pathlib, sys, typing
for module in {MODULES}:
    importlib.import_module(module)
import mlp_jax
folder = pathlib.Path(mlp_jax.__file__).parent
assert folder.is_relative_to(sys.prefix), f"expected the installed package, got {{folder}}"
assert (folder / "py.typed").exists(), "the wheel lacks py.typed"
assert importlib.metadata.version("mlp_jax") == mlp_jax.__version__
typing.get_type_hints(mlp_jax.train)
"""


def check(expected: int, words: str, *command: str | Path) -> None:
    """Run a command, and stop if its exit status is not the expected one or its output lacks the words."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=300)
    if done.returncode != expected or words not in done.stdout:
        sys.exit(
            f"{' '.join(map(str, command))}\nexpected exit status {expected} and {words!r}, "
            f"got exit status {done.returncode}\n{done.stdout}{done.stderr}"
        )


def main() -> None:
    """Stop with a message if the wheel, installed in a fresh environment, does not do what it does in a checkout."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv")  # this environment's pip fills it
        programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        pip = (sys.executable, "-m", "pip", "--quiet")
        check(0, "", *pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
        (wheel,) = folder.glob("*.whl")
        check(0, "", *pip, "--python", programs / "python", "install", "--no-compile", f"{wheel}[cli]")

        empty = folder / "empty"
        empty.mkdir()
        os.chdir(empty)
        os.environ |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
        command = programs / "mlp-jax"
        right = EXAMPLE.read_text(encoding="utf-8").replace("np.tanh(h[l])", "h[l]")  # without its mistake
        Path("right.py").write_text(right, encoding="utf-8")
        Path("wrong.py").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        check(0, "", programs / "python", "-c", IN_PYTHON)
        check(0, "mlp_jax 0.", command, "--version")
        check(0, "test accuracy", command, "train", "--data", "digits", "--hidden", "16", "--epochs", "2")
        check(0, "CORRECT", command, "check", "right.py")
        check(1, "wrong_activation_derivative", command, "check", "wrong.py")
        print(f"{wheel.name}: {len(MODULES)} modules and the commands work outside of the checkout")
        os.chdir(ROOT)  # Windows cannot remove the folder that a process is in


if __name__ == "__main__":
    main()
