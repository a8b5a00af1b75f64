"""The package: a light import, a module for every name, imports that go down, what CI and the wheel hold."""

import ast
import graphlib
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

import mlp_jax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIBRARY = ROOT / "mlp_jax"
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
    assert names <= imported() | {"jaxlib", "openpyxl", "pyarrow"}  # which jax and pandas import


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "mlp_jax").rglob("*.py"))
}
RENDERERS = ("mlp_jax.check._rendering",)  # it imports its data for types only


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


PRIVATE = re.compile(r"mlp_jax(\.\w+)*\._|from mlp_jax(\.\w+)* import _")


def test_the_experiments_use_only_the_public_side():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert not PRIVATE.search(path.read_text(encoding="utf-8")), path
    assert PRIVATE.search("from mlp_jax import _doors") and PRIVATE.search("mlp_jax.sweeps._memory.plan")


def test_every_public_name_has_a_docstring():
    for name, value in vars(mlp_jax).items():
        if getattr(value, "__module__", "").startswith("mlp_jax"):
            assert value.__doc__, name


def imports():
    """The pairs (a, b) of parts of the library, modules or folders, of which a imports b, also inside a function."""
    for path in LIBRARY.rglob("*.py"):
        part = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlp_jax":
                names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
                yield from ((part, name) for name in names if name != part)


def upward(pairs, floor):
    """The imports that do not go down. Private helpers are on floor 0, and may import each other."""
    return {(a, b) for a, b in pairs if floor.get(b, 0) >= max(floor.get(a, 0), 1)}


def test_imports_go_down_the_floors_of_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^([1-9])  (\S+(?: \S+)*)", text, re.MULTILINE)
    floor = {name: int(number) for number, names in rows for name in names.split()}
    assert {module.name for module in pkgutil.iter_modules([LIBRARY]) if module.name[0] != "_"} <= set(floor)
    assert upward({pair for pair in imports() if pair[0] != "__init__"}, floor) == set()
    assert len(upward({("network", "training"), ("losses", "network"), ("_doors", "activations")}, floor)) == 3


def test_hooks_run_what_ci_runs():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line.replace('"', "") for line in re.findall(r'^"\$venv/bin/((?:ruff|mypy)".*)$', script, re.MULTILINE)]
    assert re.findall("entry: ([^,]+),", hooks) == commands != []


def test_the_plain_command_leaves_the_graders_to_ci():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert (ROOT / "tests" / "graders").name in options["norecursedirs"]
    command = '"$graders/bin/python" -m pytest -c tests/graders/pytest.ini tests/graders\n'
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_wheel_holds_the_library_its_types_and_its_version(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {Path(name) for name in archive.namelist()}
    here = [path for path in LIBRARY.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    library = {path.relative_to(ROOT) for path in here}
    assert {path for path in files if path.parts[0] == "mlp_jax"} == library
    assert Path("mlp_jax/py.typed") in library
    assert {path.parts[0] for path in files} == {"mlp_jax", f"mlp_jax-{mlp_jax.__version__}.dist-info"}
