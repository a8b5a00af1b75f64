"""Thirty right rules with twelve kinds of mistakes each: what the checkers of JAX and PyTorch let pass, and ours.

Every rule is a `jax.custom_vjp` at a point of its own, in three dtypes. `jax.test_util.check_vjp` and
`torch.autograd.gradcheck`, slow and fast, run with their defaults, as people run them. PyTorch sees the rule as an
`autograd.Function`. Not counted are mistakes that change nothing at a point, and
dtypes that a function does not take. Ours is tried on every third rule; its
whole table is tests/mutations.json.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_vjp
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, median
from experiments.why_gradient_checks.right_rules import DTYPES, RULES, arguments, is_one, mistaken, runs, with_mistake
from experiments.why_gradient_checks.rules import seeds_of
from mlp_jax.check.mistakes import GRADIENT_MISTAKES

FORMULA = r"\bar x = J(x)^T c \;\to\; m(\bar x), \qquad m \in \{-\bar x,\ 2 \bar x,\ 0,\ 1.01 \bar x,\ \ldots\}"
NO_TORCH = "PyTorch is not installed here: pip install -e '.[benchmark]'"
NONE = -1  # no mistake at this point, or not tried
PASSED, REFUSED, UNDECIDED = 0, 1, 2
NAMES = {
    "jax": "jax.test_util.check_vjp",
    "torch slow": "gradcheck of PyTorch",
    "torch fast": "gradcheck of PyTorch, fast mode",
    "ours": "ours",
}


@dataclass(frozen=True)
class Config:
    """Checkers, rules, mistakes and dtypes are varied."""

    rules: int = 30
    mistakes: int = 12
    seeds: int = 3  # points and random directions; ours is tried on the first
    ours_every: int = 3  # ours is tried on every third rule


FULL = Config()
QUICK = Config(rules=2, mistakes=1, seeds=1, ours_every=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Try each checker on each right rule, and on each with a mistake.

    Returns:
      By checker (seeds, dtypes, rules, kinds): 0 if it lets the gradient pass, 1 if it refuses it, 2 if undecided, and
      -1 where there is no mistake or it was not tried. The first kind is no mistake.
    """
    names = _some(list(RULES), config.rules)
    kinds = ["none", *_some(list(GRADIENT_MISTAKES), config.mistakes)]
    seeds = [int(seed) for seed in np.asarray(seeds_of(key, config.seeds))]
    said: dict[str, Any] = {
        checker: np.full((len(seeds), len(DTYPES), len(names), len(kinds)), NONE, np.int8) for checker in NAMES
    }
    peers = {"jax": by_jax}
    if has_torch():
        peers |= {"torch slow": partial(by_torch, fast=False), "torch fast": partial(by_torch, fast=True)}
    for r, name in enumerate(names):
        progress(r / len(names))
        tried = [k for k, kind in enumerate(kinds) if kind == "none" or is_one(name, kind)]
        for d, dtype in enumerate(DTYPES):
            if not runs(name, dtype):
                continue
            f, pull = compiled(name)
            for k in tried:
                gradient = partial(_pulled, pull, kinds[k])
                for s, seed in enumerate(seeds):
                    for checker, says in peers.items():
                        said[checker][s, d, r, k] = says(f, gradient, arguments(name, dtype, seed), dtype, seed)
                if r % config.ours_every == 0:
                    said["ours"][0, d, r, k] = by_ours(name, kinds[k], dtype, seeds[0])
    for checker in set(NAMES) - {"ours", *peers}:
        said[checker] = NotMeasured(NO_TORCH)
    return {"dtype": list(DTYPES), "rule": names, "kind": kinds, **said}


def _some(of: list[str], count: int) -> list[str]:
    return of[:: len(of) // count][:count]


def has_torch() -> bool:
    """Whether PyTorch can be imported."""
    return find_spec("torch") is not None


Gradient = Callable[[tuple[Any, ...], Any], tuple[Any, ...]]


def compiled(name: str) -> tuple[Callable[..., Any], Gradient]:
    """Return f of a rule, and (x, cotangent) -> its gradient, compiled once for all mistakes and checkers."""
    ruled = with_mistake(RULES[name][0], None)
    return jax.jit(RULES[name][0][0]), jax.jit(lambda x, c: jax.vjp(ruled, *x)[1](c))


def _pulled(pull: Gradient, kind: str, x: tuple[Any, ...], c: Any) -> tuple[Any, ...]:
    """Return the gradient with a mistake of some kind."""
    return mistaken(pull(x, c), _mistake(kind))


def _mistake(kind: str) -> str | None:
    return None if kind == "none" else kind


def by_jax(f: Callable[..., Any], gradient: Gradient, x: tuple[Any, ...], dtype: str, seed: int) -> int:
    """Return what `check_vjp` says of a gradient."""
    np.random.seed(seed % 2**32)  # its direction
    with jax.enable_x64(dtype == "float64"), np.errstate(all="ignore"):
        try:
            check_vjp(f, lambda *x: (f(*x), lambda c: gradient(x, c)), x)
        except AssertionError:
            return REFUSED
    return PASSED


def by_torch(f: Callable[..., Any], gradient: Gradient, x: tuple[Any, ...], dtype: str, seed: int, fast: bool) -> int:
    """Return what `gradcheck` says of a gradient."""
    import torch

    to_torch = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]

    def as_tensor(leaf: Any) -> Any:
        wide = np.array(leaf, np.float64 if dtype == "float64" else np.float32)
        return torch.from_numpy(wide).to(to_torch)

    def as_array(tensor: Any) -> jax.Array:
        return jnp.asarray(tensor.detach().to(torch.float64).numpy(), dtype)

    class Rule(torch.autograd.Function):  # type: ignore[misc]  # without PyTorch, mypy knows nothing of it
        @staticmethod
        def forward(context: Any, *x: Any) -> Any:
            context.save_for_backward(*x)
            return as_tensor(f(*map(as_array, x)))

        @staticmethod
        def backward(context: Any, c: Any) -> Any:
            return tuple(map(as_tensor, gradient(tuple(map(as_array, context.saved_tensors)), as_array(c))))

    torch.manual_seed(seed)
    with jax.enable_x64(dtype == "float64"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it is made for float64
        tensors = [as_tensor(leaf).requires_grad_() for leaf in x]
        passed = torch.autograd.gradcheck(Rule.apply, tensors, fast_mode=fast, raise_exception=False)
    return PASSED if passed else REFUSED


def by_ours(name: str, kind: str, dtype: str, seed: int) -> int:
    """Return what `check_custom_vjp` says of a rule."""
    ruled = with_mistake(RULES[name][0], _mistake(kind))
    verdict = mlp_jax.check_custom_vjp(ruled, *arguments(name, dtype, seed), seed=seed).verdict
    return {"right": PASSED, "wrong": REFUSED, "undecided": UNDECIDED}[verdict.split(":")[0]]


def shares(n: Numbers, checker: str, dtype: str, verdict: int, mistakes: bool = True) -> np.ndarray:
    """Return how large a share of the mistakes, or of the right rules, gets a verdict, for every seed it was tried on.

    Args:
      n: the numbers.
      checker: as `NAMES` has it.
      dtype: of the arguments.
      verdict: PASSED, REFUSED or UNDECIDED.
      mistakes: whether of the mistakes; else of the right rules.
    """
    said = n[checker][:, n.at(dtype=dtype)]
    said = (said[..., 1:] if mistakes else said[..., :1]).reshape(len(said), -1)
    tried = said[(said != NONE).any(axis=1)]
    return np.mean(tried == verdict, axis=1, where=tried != NONE)


HOW = "{n.config.rules} rules, {n.config.mistakes} kinds of mistakes"
SOURCE = "ours: a lower bound, rounded down"


@at_most(0.02, "In float64 check_vjp of JAX lets few mistakes pass.", source="ours: an upper bound", how=HOW)
def jax_in_float64(n: Numbers) -> Statistic:
    return median(shares(n, "jax", "float64", PASSED))


@at_least(
    lambda n, dtype: {"float32": 0.01, "bfloat16": 0.1}[dtype],
    "In {dtype} check_vjp of JAX lets mistakes pass.",
    source=SOURCE,
    how=HOW,
    dtype=("float32", "bfloat16"),
)
def jax_passes(n: Numbers, dtype: str) -> Statistic:
    return median(shares(n, "jax", dtype, PASSED))


@at_least(0.8, "In bfloat16 check_vjp of JAX refuses right rules.", source=SOURCE, how=HOW)
def jax_refuses(n: Numbers) -> Statistic:
    return median(shares(n, "jax", "bfloat16", REFUSED, mistakes=False))


MODES = ("slow", "fast")


@at_least(0.02, "In float64 gradcheck of PyTorch, {mode}, lets mistakes pass.", source=SOURCE, how=HOW, mode=MODES)
def torch_passes(n: Numbers, mode: str) -> Statistic:
    return median(shares(n, f"torch {mode}", "float64", PASSED))


@at_least(0.9, "In float32 gradcheck of PyTorch, {mode}, refuses right rules.", source=SOURCE, how=HOW, mode=MODES)
def torch_refuses(n: Numbers, mode: str) -> Statistic:
    return median(shares(n, f"torch {mode}", "float32", REFUSED, mistakes=False))


@at_most(0, "In {dtype} no mistake passes ours.", source="the table itself", how=HOW, must=True, dtype=DTYPES)
def ours_passes(n: Numbers, dtype: str) -> Statistic:
    return exact(shares(n, "ours", dtype, PASSED)[0])


@at_most(0, "In {dtype} ours refuses no right rule.", source="the table itself", how=HOW, must=True, dtype=DTYPES)
def ours_refuses(n: Numbers, dtype: str) -> Statistic:
    return exact(shares(n, "ours", dtype, REFUSED, mistakes=False)[0])


def picture(n: Numbers) -> Figure:
    """Draw what each checker lets pass and refuses, in each dtype."""
    figure, axes = panels(1, 2, figsize=(8.5, 3.6), sharey=True)
    checkers = [checker for checker in NAMES if checker not in n.missing]
    rows = np.arange(len(checkers))[::-1]
    for axis, mistakes, verdict in ((axes[0], True, PASSED), (axes[1], False, REFUSED)):
        for i, dtype in enumerate(DTYPES):
            percent = [100 * float(np.median(shares(n, one, dtype, verdict, mistakes))) for one in checkers]
            bars = axis.barh(rows + 0.25 - 0.25 * i, percent, 0.25, label=dtype)
            axis.bar_label(bars, [f"{share:.0f}" for share in percent], fontsize=7, padding=2)
        axis.set(xlim=(0, 112), xlabel="% of the mistakes" if mistakes else "% of the right rules")
    axes[0].set_yticks(rows, [NAMES[checker] for checker in checkers])
    axes[0].set_title("Mistakes that pass")
    axes[1].set_title("Right rules that are refused")
    axes[1].legend(fontsize=8)
    return figure
