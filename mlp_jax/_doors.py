"""Doors: every public array function checks its arguments here, once, and then calls one compiled program.

A check raises a `ValueError` (`TypeError` for a wrong type) that names the argument, what was expected, what came, and
the cure if there is one. `check_...` only raises; `as_...` also returns the value as its function needs it. Shapes and
dtypes are always checked, values only if they can be read. Under jit, grad or vmap a bad label or probability gives NaN
instead, and NaN in x stays NaN.

Values are read on the host, in numpy, in one pass, and nothing here is compiled. A `jax.Array` of the right dtype is
returned unchanged.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax._types import Layer, Params

P = ParamSpec("P")
R = TypeVar("R")

FUNCTIONS = ("activation", "loss", "weight_init", "bias_init")
# Static arguments, whose values compile different programs.
STATIC = (*FUNCTIONS, "sizes", "dtype", "classes")


class Door(Protocol, Generic[P, R]):
    """A public function. `room` is the pure function behind it; rooms check nothing and call only rooms."""

    room: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Check the arguments and call the compiled room."""


def door(checked: Callable[..., dict[str, Any]]) -> Callable[[Callable[P, R]], Door[P, R]]:
    """Return a decorator that checks a pure function's arguments, then runs it as one compiled program.

    Inside another program (jit, vmap, grad) the room is inlined.

    Args:
      checked: takes all arguments by name, and returns them as the room needs them, or raises.
    """

    def decorate(room: Callable[P, R]) -> Door[P, R]:
        signature = inspect.signature(room)
        static = [name for name in STATIC if name in signature.parameters]
        compiled = jax.jit(room, static_argnames=static, inline=True)

        @functools.wraps(room)
        def public(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                arguments = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{room.__name__}: {error}") from None
            arguments.apply_defaults()
            good = checked(**arguments.arguments)
            with compiling(name for name in FUNCTIONS if name in static):
                return compiled(**good)

        public.room = room  # type: ignore[attr-defined]  # a function can hold attributes
        return public  # type: ignore[return-value]  # it has its room by now

    return decorate


@contextmanager
def compiling(functions: Iterable[str]) -> Iterator[None]:
    """Raise an error that names the arguments of which a function may be other code than JAX can compile."""
    try:
        yield
    except jax.errors.JAXTypeError as error:
        expected = "functions in jax.numpy, which JAX compiles"
        raise TypeError(f"{', '.join(functions)}: expected {expected}, got other code: {first_line(error)}") from error


def mistake(where: object, expected: object, got: object, cure: str = "") -> ValueError:
    """Return a `ValueError` in this library's form: where, what was expected, what came, and the cure."""
    return ValueError(f"{where}: expected {expected}, got {got}" + (f"; {cure}" if cure else ""))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return 'did you mean ...?' if a name is close to a known one, else ''."""
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def describe(value: Any) -> str:
    """Return a value's type, shape and first characters."""
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}{'' if shape is None else f' of shape {shape}'}: {str(value)[:60]!r}"


# ---- arrays


def is_traced(tree: Any) -> bool:
    """Return whether jit, grad or vmap traces a leaf of a pytree, so that its value cannot be read."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def as_array(name: str, value: Any) -> Any:
    """Return an array of real numbers, in a dtype of JAX; anything but a JAX array becomes a numpy array."""
    try:
        array = value if isinstance(value, jax.Array) else jnp.asarray(value) if is_traced(value) else np.asarray(value)
        dtype = jnp.result_type(array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of numbers, got {describe(value)}") from error
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{name}: expected real numbers, got dtype {dtype}")
    return cast(array, dtype)


def cast(array: Any, dtype: Any) -> Any:
    """Return an array in a dtype. A number too large for the dtype becomes inf, which the checks find."""
    with np.errstate(over="ignore"):
        return array if array.dtype == dtype else array.astype(dtype)


def check_values(name: str, is_good: Callable[[np.ndarray], Any], array: Any, expected: str) -> None:
    """Check the values of an array if they can be read."""
    if is_traced(array):
        return
    host = np.asarray(array)
    good = np.asarray(is_good(host))
    if not good.all():
        bad = tuple(int(i) for i in np.argwhere(~good)[0])
        where = f" at {name}[{', '.join(map(str, bad))}]" if bad else ""
        raise ValueError(f"{name}: expected {expected}, got {host[bad]}{where}")


def is_finite(a: np.ndarray) -> Any:
    """Return True if the sum of a is finite (only finite numbers have one; half the time), else np.isfinite(a)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isfinite(np.sum(a)) or np.isfinite(a)


def as_finite(name: str, array: Any, dtype: Any) -> Any:
    """Return an array of finite numbers in a dtype."""
    array = cast(array, dtype)
    check_values(name, is_finite, array, "finite numbers")
    return array


def as_floats(name: str, value: Any) -> Any:
    """Return an array of floats; whole numbers become jax.numpy's default float."""
    array = as_array(name, value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else cast(array, default_float())


def default_float() -> Any:
    """Return jax.numpy's default float: float32, or float64 if it is enabled."""
    return jax.dtypes.canonicalize_dtype(float)


def as_float_dtype(name: str, value: Any) -> Any:
    """Return a floating dtype as JAX has it enabled; None is jax.numpy's default float."""
    try:
        dtype = default_float() if value is None else jax.dtypes.canonicalize_dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name}: expected a floating dtype such as 'float32', got {value!r}")
    return dtype


def as_like(name: str, value: Any, other_name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array that has the shape and dtype of another argument."""
    array = as_array(name, value)
    expected, got = f"{dtype} of shape {shape}", f"{array.dtype} of shape {array.shape}"
    if array.shape != shape:
        raise mistake(name, f"{expected}, as {other_name}", got)
    if array.dtype != dtype:
        raise TypeError(f"{name}: expected {expected}, as {other_name}, got {got}; jnp.asarray({name}, '{dtype}')")
    return array


def as_direction(name: str, value: Any, other_name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return finite numbers in the shape and dtype of another argument."""
    return as_finite(name, as_like(name, value, other_name, shape, dtype), dtype)


# ---- numbers, names and functions


def as_whole_number(name: str, value: Any, at_least: int) -> int:
    """Return `value` as an int of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected a whole number, got {describe(value)}")
    if value < at_least:
        raise ValueError(f"{name}: expected a whole number of at least {at_least}, got {value}")
    return int(value)


def as_number(name: str, value: Any, dtype: Any) -> Any:
    """Return one finite number as a scalar array in `dtype`."""
    try:
        array = as_array(name, value)
    except TypeError as error:
        raise TypeError(f"{error}; {NOT_A_NUMBER}") from None
    if array.ndim != 0:
        raise mistake(name, "one number", f"shape {array.shape}", "vmap over several")
    array = cast(array, dtype)
    check_values(name, np.isfinite, array, "a finite number")
    return array


NOT_A_NUMBER = "give other arguments to the factory: functools.partial(factory, ...)"


def as_fraction(name: str, value: Any) -> Any:
    """Return `value` as a number in [0, 1]."""
    share = as_array(name, value)
    if share.ndim != 0:
        raise mistake(name, "one number in [0, 1]", f"shape {share.shape}")
    check_values(name, lambda share: (share >= 0) & (share <= 1), share, "a number in [0, 1]")
    return share


def check_key(value: Any) -> None:
    """Check that `value` is one key of jax.random, of the new kind or the old."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    is_new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not is_new and not (dtype == jnp.uint32 and shape in ((2,), (4,))):
        raise TypeError(f"key: expected one key, such as jax.random.key(0), got {describe(value)}")


def check_seed(name: str, value: int) -> None:
    """Check that `jax.random.key` can take a seed as it is."""
    if not 0 <= as_whole_number(name, value, at_least=0) < 2**32:
        raise mistake(name, "a whole number in [0, 2^32)", value)


def check_positive(name: str, value: float) -> None:
    """Check that a number is finite and above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a finite number above 0, got {value}")


def check_choice(name: str, value: Any, known: Any, cure: str = "") -> None:
    """Check that a name is one of the known ones."""
    if value not in known:
        raise mistake(name, f"one of {', '.join(known)}", repr(value), did_you_mean(str(value), list(known)) or cure)


def check_record(name: str, value: Any, kind: type) -> None:
    """Check that `value` is an `Activation` or a `Loss`, and that its functions can be hashed."""
    if not isinstance(value, kind):
        example = {"Activation": "mlp_jax.relu", "Loss": "mlp_jax.cross_entropy"}[kind.__name__]
        raise TypeError(
            f"{name}: expected a record such as {example}, or your own mlp_jax.{kind.__name__}(...), "
            f"got {describe(value)}"
        )
    try:
        hash(value)
    except TypeError as error:
        cure = "define them with def, or as frozen dataclasses"
        raise TypeError(f"{name}: expected functions that can be hashed, got {value} ({error}); {cure}") from None


def as_given(name: str, record: Any, field: str) -> Callable[..., Any]:
    """Return a record's optional function, or raise if it is missing."""
    function: Callable[..., Any] | None = getattr(record, field)
    if function is None:
        cure = f"give mlp_jax.{type(record).__name__}(..., {field}=...)"
        raise mistake(name, f"a record with {field}", f"{record.name!r} without", cure)
    return function


def check_function(name: str, value: Any) -> None:
    """Check that `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {describe(value)}")


# ---- of a network


def as_sizes(value: Any) -> tuple[int, ...]:
    """Return the widths (D, d_1, ..., C) of a network: at least two, each at least 1."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"sizes: expected a tuple of widths (D, d_1, ..., C), got {describe(value)}")
    if len(value) < 2:
        raise ValueError(f"sizes: expected at least the widths of input and output, (D, C), got {value}")
    return tuple(as_whole_number(f"sizes[{i}]", size, at_least=1) for i, size in enumerate(value))


def as_params(value: Any) -> Params:
    """Return the layers: weights (fan_in, fan_out) and biases (fan_out,), each fitting the next, in one dtype."""
    if not isinstance(value, tuple | list) or len(value) == 0:
        raise TypeError(f"params: expected a tuple of Layer(weight, bias), got {describe(value)}")
    layers: list[Layer] = []
    for i, layer in enumerate(value):
        if not isinstance(layer, tuple | list) or len(layer) != 2:
            raise TypeError(f"params[{i}]: expected Layer(weight, bias), got {describe(layer)}")
        weight, bias = as_array(f"params[{i}].weight", layer[0]), as_array(f"params[{i}].bias", layer[1])
        fan_in = layers[-1].weight.shape[1] if layers else weight.shape[0] if weight.ndim == 2 else "fan_in"
        if weight.ndim != 2 or weight.shape[0] != fan_in or 0 in weight.shape:
            raise ValueError(f"params[{i}].weight: expected ({fan_in}, fan_out), got shape {weight.shape}")
        if bias.shape != weight.shape[1:]:
            raise ValueError(f"params[{i}].bias: expected {weight.shape[1:]}, got shape {bias.shape}")
        for name, leaf in (("weight", weight), ("bias", bias)):
            dtype = layers[0].weight.dtype if layers else weight.dtype
            if leaf.dtype != dtype or not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(
                    f"params[{i}].{name}: expected one floating dtype throughout (params[0].weight is {dtype}), "
                    f"got {leaf.dtype}"
                )
        layers.append(Layer(weight, bias))
    return tuple(layers)


def as_tangent(value: Any, params: Params) -> Params:
    """Return a direction of params: weight and bias of every layer, each of its parameter's shape and dtype."""
    is_pairs = isinstance(value, tuple | list) and all(isinstance(v, tuple | list) and len(v) == 2 for v in value)
    if not is_pairs or len(value) != len(params):
        got = f"{len(value)} of them" if is_pairs else describe(value)
        raise TypeError(f"tangent: expected {len(params)} times Layer(weight, bias), as in params, got {got}")
    return tuple(
        Layer(
            *(
                as_direction(f"tangent[{i}].{name}", leaf, f"params[{i}].{name}", parameter.shape, parameter.dtype)
                for name, leaf, parameter in zip(Layer._fields, layer, of_params, strict=True)
            )
        )
        for i, (layer, of_params) in enumerate(zip(value, params, strict=True))
    )


def as_examples(value: Any, width: int | None, name: str = "x") -> Any:
    """Return examples (B, D), B >= 1, without reading their values; a width of None accepts any D."""
    array, shape = as_array(name, value), f"(B, {'D' if width is None else width})"
    if array.ndim != 2:
        cure = "; for one example give x[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name}: expected {shape}, a batch of examples, got shape {array.shape}{cure}")
    if array.shape[0] == 0:
        raise ValueError(f"{name}: expected {shape} with at least one example, got shape {array.shape}")
    if width is not None and array.shape[1] != width:
        raise ValueError(f"{name}: expected {shape} to fit params[0].weight ({width}, ...), got shape {array.shape}")
    return array


def as_inputs(value: Any, width: int | None, dtype: Any, name: str = "x") -> Any:
    """Return examples x (B, D), B >= 1, finite, in the parameters' dtype."""
    return as_finite(name, as_examples(value, width, name), dtype)


def as_logits(value: Any) -> Any:
    """Return logits (..., C), C >= 1, as floats."""
    z = as_floats("logits", value)
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(f"logits: expected (..., C) with at least one class, got shape {z.shape}")
    return z


def as_targets(value: Any, batch: int, classes: int, dtype: Any, name: str = "targets", extra: int = 0) -> Any:
    """Return labels (B,) in [0, C), or floats (B, C) in the logits' dtype; with `extra` columns only floats."""
    t = as_array(name, value)
    is_integer = jnp.issubdtype(t.dtype, jnp.integer)
    if extra:
        if is_integer or t.shape != (batch, classes + extra):
            expected = f"floats ({batch}, {classes} + {extra})"
            raise mistake(name, expected, f"{t.dtype} of shape {t.shape}", "make them by mlp_jax.losses.with_weights")
        return as_finite(name, t, dtype)
    if is_integer and t.shape == (batch,):
        return as_labels(value, classes, name)
    if is_integer or t.shape != (batch, classes):
        cure = ""
        if t.shape == (batch,):
            are_classes = np.issubdtype(t.dtype, np.floating) and not is_traced(t) and np.all(np.asarray(t) % 1 == 0)
            of_values = f"{name}[:, None]" if classes == 1 else f"floats ({batch}, {classes})"
            cure = f"; for classes give integers, labels.astype(int), for values {of_values}"
            cure = cure if are_classes else f"; give {of_values}"
        raise ValueError(
            f"{name}: expected integer labels ({batch},) or floats ({batch}, {classes}), "
            f"got {t.dtype} of shape {t.shape}{cure}"
        )
    return as_finite(name, t, dtype)


def as_labels(value: Any, classes: int, name: str = "labels") -> Any:
    """Return labels (B,) in [0, C) as integers of at least 32 bits; in 8 bits class 300 would wrap around."""
    y = as_array(name, value)
    if y.ndim != 1 or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"{name}: expected integer labels (B,), got {y.dtype} of shape {y.shape}")
    whole = y if isinstance(y, jax.Array) else np.asarray(value)  # before int64 becomes int32
    check_values(name, lambda y: (y >= 0) & (y < classes), whole, f"labels in [0, {classes})")
    return cast(y, jnp.promote_types(y.dtype, jnp.int32))


def check_probabilities(name: str, q: Any) -> None:
    """Check that the rows of float targets (B, C) are distributions, if they can be read."""
    if not is_traced(q):
        check_values(name, lambda q: q >= 0, q, "probabilities, none negative")
        row_sums = np.asarray(q, float).sum(axis=-1)
        check_values(f"{name}' row sums", lambda total: abs(total - 1) <= 1e-2, row_sums, "probabilities that sum to 1")


def check_gradients(actual: Any, params: Any) -> None:
    """Check that a gradient function returned (loss, gradients like the parameters)."""
    if not isinstance(actual, tuple) or len(actual) != 2:
        raise TypeError(f"gradient: expected it to return (loss, gradients), got {describe(actual)}")
    loss, grads = actual
    if getattr(loss, "shape", None) != ():
        raise ValueError(f"gradient: expected a scalar loss, got {describe(loss)}")
    expected, got = str(jax.tree.structure(params)), str(jax.tree.structure(grads))
    if got != expected:
        raise ValueError(f"gradient: expected gradients with the structure of params, {expected}, got {got}")
    for (path, leaf), parameter in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(params), strict=True
    ):
        expected, got = (f"{a.dtype} of shape {a.shape}" for a in map(jnp.asarray, (parameter, leaf)))
        if got != expected:
            raise mistake("gradient", f"{expected} at params{jax.tree_util.keystr(path)}", got)
