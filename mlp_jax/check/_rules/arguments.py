"""What of a function's arguments is differentiated: the leaves that are floats, as a list of real arrays."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _doors
from mlp_jax.check._rules.comparison import leaf_name
from mlp_jax.check._rules.finite_differences import float64_on_cpu, is_kind, split_floats
from mlp_jax.check._rules.rule_checks import Arrays
from mlp_jax.check._rules.rule_report import Notebook


class Arguments(NamedTuple):
    """The arguments of a function, taken apart.

    Attributes:
      x: the leaves that are differentiated, in float64, a complex one with its two parts on a last axis.
      names: of these.
      originals: these in their own dtypes, on their own devices.
      of_floats: a function of the arguments -> the same as a function of x that returns a list of real arrays.
    """

    x: Arrays
    names: list[str]
    originals: Arrays
    of_floats: Callable[[Callable[..., Any]], Callable[[Arrays], Arrays]]


def arguments_of(where: str, f: Callable[..., Any], args: tuple[Any, ...]) -> Arguments:
    """Take the arguments of f apart. Those in `nondiff_argnums` and those that are no numbers are kept as they are.

    Raises:
      ValueError: if there are no floats.
    """
    names = _argument_names(f, args)
    static = {i for i, arg in enumerate(args) if i in _nondiff(f) or not _is_numeric(arg)}
    arguments = {names[i]: arg for i, arg in enumerate(args) if i not in static}
    x, rebuild = split_floats(arguments)
    if not sum(leaf.size for leaf in x):
        raise _doors.mistake(where, "an argument with floats to differentiate in", "none", "give floats")
    with float64_on_cpu():
        x = [np.asarray(jnp.array(leaf)) for leaf in x]  # where XLA would copy them to, for every program

    def of_floats(g: Callable[..., Any]) -> Callable[[Arrays], Arrays]:
        def on(floats: Arrays) -> Arrays:
            named = rebuild(floats)
            out = g(*(arg if i in static else named[names[i]] for i, arg in enumerate(args)))
            return [_real(jnp.asarray(leaf)) for leaf in jax.tree.leaves(out) if is_kind(leaf, jnp.inexact)]

        return on

    originals = [_as_array(leaf) for leaf in jax.tree.leaves(arguments) if is_kind(leaf, jnp.inexact)]
    return Arguments(x, float_names(arguments), originals, of_floats)


def note_forms(book: Notebook, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Write down what a form of the function means for its check."""
    traced = [i for i in _nondiff(f) if i < len(args) and any(map(_is_array, jax.tree.leaves(args[i])))]
    if traced:
        book.notes.append(
            f"nondiff_argnums holds an array (argument {', '.join(map(str, traced))}): under jit, vmap or scan it is "
            "traced, and the rule then fails; make it an ordinary argument, whose derivative may be zero"
        )
    note_complex(book, [arg for i, arg in enumerate(args) if i not in _nondiff(f)])


def note_complex(book: Notebook, tree: Any) -> None:
    """Write down what complex arguments mean, if there are any."""
    if any(is_kind(leaf, jnp.complexfloating) for leaf in jax.tree.leaves(tree)):
        book.notes.append(
            "complex numbers count as two real ones, on a last axis: a gradient g means the slope Re(g dz), as "
            "jax.grad has it"
        )


def float_names(tree: Any) -> list[str]:
    """Return the names of those leaves that are floats or complex."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [leaf_name(path) for path, leaf in leaves if is_kind(leaf, jnp.inexact)]


def _real(leaf: Any) -> Any:
    """Return a complex array as a real one, with its two parts on a last axis."""
    if not jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        return leaf
    return (np if isinstance(leaf, np.ndarray) else jnp).stack([leaf.real, leaf.imag], axis=-1)


def _as_array(leaf: Any) -> Any:
    """Return an argument in its own dtype, on its own device; a number, and numpy's float64, as they are."""
    return _real(leaf) if isinstance(leaf, jax.Array) else _real(np.asarray(leaf))


def _nondiff(f: Callable[..., Any]) -> tuple[int, ...]:
    return tuple(getattr(f, "nondiff_argnums", None) or ())


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _is_numeric(arg: Any) -> bool:
    """Whether an argument is a pytree of arrays and numbers."""
    return all(
        hasattr(leaf, "dtype") or isinstance(leaf, bool | int | float | complex) for leaf in jax.tree.leaves(arg)
    )


def _argument_names(f: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    try:
        parameters = list(inspect.signature(f).bind(*args).signature.parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[: len(args)] + [f"argument {i}" for i in range(len(names), len(args))]
