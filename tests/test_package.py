"""The package: a light import, a module for every name, one list of records."""

import importlib
import pkgutil
import subprocess
import sys
import tomllib
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


def test_version_is_said_once_in_two_places():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == mlp_jax.__version__


def test_every_public_name_has_a_docstring():
    for name, value in vars(mlp_jax).items():
        if getattr(value, "__module__", "").startswith("mlp_jax"):
            assert value.__doc__, name


@pytest.mark.slow
def test_wheel_holds_the_library_alone(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
    assert folders == {"mlp_jax", f"mlp_jax-{mlp_jax.__version__}.dist-info"}
