"""`import mlp_jax` turns off the fusion of XLA that computes wrong results; the checker tells it from a wrong rule."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import quick

from mlp_jax import _xla, check_custom_jvp, check_custom_vjp, check_gradient

FLAG = "--xla_cpu_experimental_ynn_fusion_type="
ON = FLAG + "LIBRARY_FUSION_TYPE_DOT"
WRONG_BY_DEFAULT = [version for version in _xla.VERSIONS if version != "0.10.1"]

# Prints the largest relative error of programs that are compiled wrongly at some sizes, depending on memory.
PROGRAMS = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)  # refused if the imports above started JAX
jax.config.update("jax_enable_x64", True)
errors = []
def compare(f, *arrays):
    expected = np.asarray(f(np, *arrays), float)
    compiled = np.asarray(jax.jit(lambda *arrays: f(jnp, *arrays))(*arrays), float)
    errors.append(np.nan_to_num(np.max(np.abs(compiled - expected)) / np.max(np.abs(expected)), nan=np.inf))
for dtype, rows in ((np.float32, 32769), (np.float64, 16385), (np.float64, 32769)):
    x = np.arange(rows, dtype=dtype)[:, None] * np.eye(3, dtype=dtype)[0]
    compare(lambda xp, x, m: xp.sum(xp.einsum("ij,bj->bi", m, x) ** 2, axis=1), x, np.eye(3, dtype=dtype))
for dtype in (np.float32, np.float64):
    for n, k in ((64, 64), (512, 64), (4096, 16), (40000, 8)):
        E = np.random.default_rng(0).standard_normal((n, k)).astype(dtype)
        compare(lambda xp, E, c: xp.sum((E @ xp.broadcast_to(c, (k, k))) * E, axis=1), E, dtype(1.5))
print(max(errors))
"""


def in_a_fresh_process(code, **environment):
    unset = ("XLA_FLAGS", "MLP_JAX_KEEP_YNN", "JAX_COMPILATION_CACHE_DIR")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done


def test_programs_are_right_after_the_import():
    error = float(in_a_fresh_process(f"import mlp_jax\n{PROGRAMS}", PYTHONWARNINGS="error").stdout)
    assert error < 1e-5, f"add jaxlib {_xla.JAXLIB} to mlp_jax._xla.VERSIONS if it has the flag"


@pytest.mark.slow
@pytest.mark.skipif(_xla.JAXLIB not in WRONG_BY_DEFAULT, reason="this jaxlib is not known to be wrong")
def test_the_same_programs_are_wrong_without_protection():
    assert float(in_a_fresh_process(f"import mlp_jax\n{PROGRAMS}", MLP_JAX_KEEP_YNN="1").stdout) > 1e-2


def test_a_warning_if_jax_has_started():
    code = "import jax\njax.devices()\nimport mlp_jax\nimport mlp_jax.check\nprint(mlp_jax._xla.YNN_IS_OFF)"
    done = in_a_fresh_process(code)
    listed = _xla.JAXLIB in _xla.VERSIONS
    assert done.stdout.split() == ["False"]
    assert done.stderr.count("JAX has started before mlp_jax was imported") == listed
    assert done.stderr.count(f"set XLA_FLAGS={FLAG}") == listed


SETTINGS = {  # version, XLA_FLAGS, MLP_JAX_KEEP_YNN, has JAX started -> XLA_FLAGS, is the fusion off, the warning
    "nothing set": ("0.12.0.1", "", "", False, FLAG, True, ""),
    "other flags": ("0.10.2", "--a=1 --b", "", False, f"--a=1 --b {FLAG}", True, ""),
    "off by the user": ("0.10.2", f"{FLAG} --b", "", True, f"{FLAG} --b", True, ""),
    "on by the user": ("0.10.2", f"--a {ON}", "", True, f"--a {ON}", False, ""),
    "off, then on": ("0.10.2", f"{FLAG} {ON}", "", False, f"{FLAG} {ON}", False, ""),
    "kept": ("0.10.2", "--a", "1", True, "--a", False, ""),
    "not kept": ("0.10.2", "", "0", False, FLAG, True, ""),
    "a new version": ("9.0.0", "", "", True, "", False, ""),
    "a development version": ("0.12.0.dev20260101+abc", "--a", "", False, "--a", False, ""),
    "no version": ("", "", "", False, "", False, ""),
    "JAX has started": ("0.10.2", "--a", "", True, "--a", False, "JAX has started before"),
    "a file": ("0.10.2", "other.txt", "", False, "other.txt", False, "XLA_FLAGS names a file"),
    "no such file": ("0.10.2", "nonsense.txt", "", False, "nonsense.txt", False, "XLA_FLAGS names a file"),
    "a file with the flag": ("0.10.2", "off.txt", "", False, "off.txt", True, ""),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name, monkeypatch, tmp_path):
    version, before, keep, started, after, is_off, warning = SETTINGS[name]
    (tmp_path / "other.txt").write_text("--a=1\n", encoding="utf-8")
    (tmp_path / "off.txt").write_text(f"--a=1\n{FLAG}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_xla, "JAXLIB", version)
    monkeypatch.setattr(_xla, "_has_started", lambda: started)
    monkeypatch.setenv("XLA_FLAGS", before)
    monkeypatch.setenv("MLP_JAX_KEEP_YNN", keep)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert _xla.turn_ynn_off() is is_off
    assert os.environ["XLA_FLAGS"] == after
    assert len(caught) == (warning != "") and all(warning in str(w.message) for w in caught)


def test_an_option_that_jaxlib_does_not_know_is_not_used(monkeypatch):
    monkeypatch.setattr(_xla, "VERSIONS", ())
    monkeypatch.setattr(_xla, "OFF", {"xla_nonsense": ""})
    monkeypatch.setattr(_xla, "_knows_option", _xla._knows_option.__wrapped__)
    assert not _xla._knows_option()
    assert _xla.jit_without_ynn(lambda x: x + 1)(1) == _xla.jit_with_ynn(lambda x: x + 1)(1) == 2


# sum((x @ s) * x) with s = s (1, ..., 1), the product that is compiled wrongly where s is a broadcast number
ROWS = np.random.default_rng(0).standard_normal((64, 16))


def quadratic(x, s):
    return jnp.sum((x @ jnp.broadcast_to(s, (16, 16))) * x, axis=1)


def gradient(x, s, c):
    product = x @ jnp.broadcast_to(s, (16, 16))
    return 2 * c[:, None] * product, jnp.sum(c * jnp.sum((x @ jnp.ones((16, 16))) * x, axis=1))


def vjp_rule(jit=lambda f: f, factor=1):
    rule = jax.custom_vjp(jit(quadratic))
    rule.defvjp(lambda x, s: (jit(quadratic)(x, s), (x, s)), jit(lambda saved, c: gradient(*saved, factor * c)))
    return rule


def jvp_rule():
    rule = jax.custom_jvp(quadratic)
    rule.defjvp(lambda p, t: (quadratic(*p), jax.jvp(quadratic, p, t)[1]))
    return rule


def value_and_gradient(x, s):
    return jnp.sum(quadratic(x, s)), gradient(x, s, jnp.ones(len(x)))[0]


CHECKS = {
    "vjp": lambda: check_custom_vjp(vjp_rule(), ROWS, 0.7),
    "jvp": lambda: check_custom_jvp(jvp_rule(), ROWS[:4], 0.7),
    "gradient": lambda: check_gradient(value_and_gradient, lambda x, s: jnp.sum(quadratic(x, s)), ROWS, 0.7),
    "wrong rule": lambda: check_custom_vjp(vjp_rule(factor=2), ROWS, 0.7),
}


def wrongly_compiled(f):
    def wrong(tree):
        return jax.tree.map(lambda leaf: 1e300 * leaf, tree)

    return jax.jit(lambda *arguments: [wrong(part) for part in f(*arguments)])


def notes_on_the_compiler(report):
    return [note for note in report.notes if note.startswith("the compiler is at fault") and FLAG in note]


@pytest.mark.parametrize("name", quick(dict(zip(CHECKS, CHECKS, strict=True)), "vjp", "wrong rule"))
def test_the_checker_tells_the_compiler_from_the_rule(name, monkeypatch):
    monkeypatch.setattr(_xla, "jit_with_ynn", wrongly_compiled)
    report = CHECKS[name]()
    assert report.ok == (name != "wrong rule"), report
    assert len(notes_on_the_compiler(report)) == 1, report


@pytest.mark.parametrize("name", quick(dict(zip(CHECKS, CHECKS, strict=True)), "gradient"))
def test_no_note_if_the_compiler_is_right(name, monkeypatch):
    monkeypatch.setattr(_xla, "jit_with_ynn", jax.jit)
    report = CHECKS[name]()
    assert report.ok == (name != "wrong rule") and not notes_on_the_compiler(report), report


def test_a_rule_that_differs_under_jit_is_not_blamed_on_the_compiler():
    def by_hand(w):
        factor = 2 if isinstance(w, jax.core.Tracer) else 3
        return w @ w, factor * w

    report = check_gradient(by_hand, lambda w: w @ w, np.arange(3.0))
    assert "jit" in report.wrong and not notes_on_the_compiler(report)


def test_a_rule_without_matrix_products_is_not_compiled_again(monkeypatch):
    monkeypatch.setattr(_xla, "jit_with_ynn", None)
    assert check_custom_vjp(jnp.sin, np.arange(3.0)).notes == (
        "the function carries no rule of its own: this was a check of autodiff",
    )


def test_a_function_with_compiler_options_of_its_own_does_not_break_the_check():
    function = jax.jit(value_and_gradient, compiler_options={"xla_cpu_enable_fast_math": False})
    report = check_gradient(function, lambda x, s: jnp.sum(quadratic(x, s)), ROWS, 0.7)
    assert report, report


@pytest.mark.slow
@pytest.mark.skipif(_xla.JAXLIB not in WRONG_BY_DEFAULT, reason="this jaxlib is not known to be wrong")
@pytest.mark.parametrize(("keep", "jit"), [("", "lambda f: f"), ("1", "jax.jit")], ids=["off", "on, and jit inside"])
def test_a_right_rule_that_is_compiled_wrongly_is_right(keep, jit):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import mlp_jax
from test_compiler import *
reports = []
for rows in (64, 512):
    x = np.random.default_rng(0).standard_normal((rows, 16))
    reports.append(check_custom_vjp(vjp_rule({jit}), x, 0.7))
    reports.append(check_gradient(({jit})(value_and_gradient), ({jit})(lambda x, s: jnp.sum(quadratic(x, s))), x, 0.7))
assert mlp_jax._xla.YNN_IS_OFF == ({keep!r} == "")
print(all(reports), any(notes_on_the_compiler(report) for report in reports))
"""
    assert in_a_fresh_process(code, MLP_JAX_KEEP_YNN=keep).stdout.split() == ["True", "True"]
