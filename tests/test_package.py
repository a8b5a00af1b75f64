"""The package: a light import, a module for every name, one list of records."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

import mlp_jax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = (
    *("sklearn", "matplotlib", "tyro", "rich", "safetensors", "orbax", "mnist1d", "mpmath", "torch"),
    *("pooch", "requests", "platformdirs", "psutil", "chex"),
)


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
    assert PROJECT["version"] == mlp_jax.__version__


def imported():
    """The distributions that the library imports anywhere."""
    nodes = [n for p in ROOT.glob("mlp_jax/**/*.py") for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    names = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"mlp_jax"}
    distributions = packages_distributions()
    return {distributions.get(name, [name])[0] for name in names}


def declared(*lists):
    """The distributions that pyproject.toml names in these lists, without versions."""
    return {re.match(r"[\w-]+", line)[0] for line in chain(*lists)} - {"mlp_jax"}


def test_every_import_of_the_library_is_declared():
    assert imported() <= declared(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())


@pytest.mark.parametrize("extra", ["dependencies", "data", "cli"])
def test_the_library_imports_what_it_declares(extra):
    names = declared(PROJECT["optional-dependencies"].get(extra, PROJECT["dependencies"]))
    assert names <= imported() | {"jaxlib"}  # which jax imports: the two are released together


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
