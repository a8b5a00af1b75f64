"""The package: a light import, a module for every name, one list of records."""

import ast
import graphlib
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


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "mlp_jax").rglob("*.py"))
}
RENDERERS = ("mlp_jax.check._gradient_check.", "mlp_jax.check._diagnosis.")  # these import their data for types only


def modules_of_ours(name, source):
    """The modules of mlp_jax that one imports anywhere, also inside its functions."""

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and name.startswith(RENDERERS):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (module if module in MODULES else node.module for module in whole)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return set(visit(ast.parse(source))) & MODULES.keys()


def assert_no_cycle(sources):
    graphlib.TopologicalSorter({name: modules_of_ours(name, source) for name, source in sources.items()}).prepare()


def test_no_module_imports_itself_by_way_of_others():
    assert_no_cycle({name: path.read_text(encoding="utf-8") for name, path in MODULES.items()})


def test_the_test_for_import_cycles_can_fail():
    lazy, eager = "def f():\n    import mlp_jax.losses", "from mlp_jax import network"
    with pytest.raises(graphlib.CycleError):
        assert_no_cycle({"mlp_jax.network": lazy, "mlp_jax.losses": eager})


def test_the_experiments_use_the_public_command_line():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert "_doors" not in path.read_text(encoding="utf-8"), path


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
