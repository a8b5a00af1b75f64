"""The package: a light import, a module for every name, one list of records."""

import importlib
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mlp_jax

ROOT = Path(__file__).parent.parent
HEAVY = ("sklearn", "matplotlib", "tyro", "rich", "safetensors", "orbax", "mnist1d", "mpmath", "torch")


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import mlp_jax",
        "import mlp_jax.datasets, mlp_jax.__main__, mlp_jax.command_line._check",
    ],
)
def test_import_loads_nothing_heavy(statement):
    assert loaded_by(statement).isdisjoint(HEAVY)


def test_the_test_for_heavy_imports_can_fail():
    assert "mpmath" in loaded_by("import mlp_jax, mpmath")


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(mlp_jax.__path__)])
def test_no_module_shares_a_name_with_an_exported_function(name):
    module = importlib.import_module(f"mlp_jax.{name}")
    if name != "__main__":
        assert getattr(mlp_jax, name) is module


def test_every_public_name_has_a_docstring():
    for name, value in vars(mlp_jax).items():
        if getattr(value, "__module__", "").startswith("mlp_jax"):
            assert value.__doc__, name


def test_hooks_run_what_ci_runs():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line.replace('"', "") for line in re.findall(r'^"\$venv/bin/((?:ruff|mypy)".*)$', script, re.MULTILINE)]
    assert re.findall("entry: ([^,]+),", hooks) == commands != []


@pytest.mark.slow
def test_wheel_holds_the_library_its_types_and_its_version(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {Path(name) for name in archive.namelist()}
    here = [path for path in (ROOT / "mlp_jax").rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    library = {path.relative_to(ROOT) for path in here}
    assert {path for path in files if path.parts[0] == "mlp_jax"} == library
    assert Path("mlp_jax/py.typed") in library
    assert {path.parts[0] for path in files} == {"mlp_jax", f"mlp_jax-{mlp_jax.__version__}.dist-info"}
