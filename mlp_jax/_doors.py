"""The checks at the door: what each public function does with bad input, in one line at its top.

A check returns its argument as a JAX array, or raises a `ValueError` (`TypeError` for a wrong type) that names
the argument, what was expected, what came, and the cure where there is one. Shapes and dtypes are always
checked, values where they can be read. Under jit, grad or vmap they cannot: there a bad label, probability or share
gives NaN instead, and so does NaN in x.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ArrayLike = jax.typing.ArrayLike | Sequence[Any]  # what the doors take: arrays of JAX and numpy, numbers, nested lists


def mistake(where: object, expected: object, got: object, cure: str = "") -> ValueError:
    """Return the error of this library's form: where, what was expected, what came, and the cure."""
    return ValueError(f"{where}: expected {expected}, got {got}" + (f"; {cure}" if cure else ""))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the question, if a name is close to one that is known."""
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else ""


def as_array(name: str, value: Any) -> jax.Array:
    """Return `value` as an array of real numbers."""
    try:
        array = value if isinstance(value, jax.Array) or is_traced(value) else np.asarray(value)
        dtype = jnp.result_type(array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of numbers, got {_describe(value)}") from error
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{name}: expected real numbers, got dtype {dtype}")
    with np.errstate(over="ignore"):  # what is too large for the dtype is inf in it, and found to be
        return jnp.asarray(array)


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}{'' if shape is None else f' of shape {shape}'}: {str(value)[:60]!r}"


def is_traced(tree: Any) -> bool:
    """Whether a pytree holds values that cannot be read, because jit, grad or vmap is tracing."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _all(name: str, good: Callable[[np.ndarray], Any], value: Any, expected: str, dtype: Any = None) -> None:
    """Check values where they can be read, in numpy: under jit, JAX would trace even values that are known."""
    if is_traced(value):
        return
    with np.errstate(over="ignore"):
        host = np.asarray(value, dtype)
    is_good = np.asarray(good(host))
    if not is_good.all():
        bad = tuple(int(i) for i in np.argwhere(~is_good)[0])
        where = f" at {name}[{', '.join(map(str, bad))}]" if bad else ""
        raise ValueError(f"{name}: expected {expected}, got {host[bad]}{where}")


def _is_finite(a: np.ndarray) -> Any:
    """Return np.isfinite(a), or in half the time True where all are: only finite numbers have a finite sum."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isfinite(np.sum(a)) or np.isfinite(a)


def as_whole_number(name: str, value: Any, at_least: int) -> int:
    """Return `value` as an int of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected a whole number, got {_describe(value)}")
    if value < at_least:
        raise ValueError(f"{name}: expected a whole number of at least {at_least}, got {value}")
    return int(value)


def as_number(name: str, value: Any, dtype: Any) -> jax.Array:
    """Return one finite number as a scalar array in `dtype`."""
    try:
        array = as_array(name, value)
    except TypeError as error:
        raise TypeError(f"{error}; what is no number goes into the factory: functools.partial(factory, ...)") from None
    if array.ndim != 0:
        raise mistake(name, "one number", f"shape {array.shape}", "vmap over several")
    _all(name, np.isfinite, value, "a finite number", dtype)
    return array.astype(dtype)


def check_key(value: Any) -> None:
    """Check that `value` is one key of jax.random, of the new kind or the old."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    is_new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not is_new and not (dtype == jnp.uint32 and shape in ((2,), (4,))):
        raise TypeError(f"key: expected one key, such as jax.random.key(0), got {_describe(value)}")


def check_seed(name: str, value: int) -> None:
    """Check that `jax.random.key` can take a seed as it is."""
    if not 0 <= as_whole_number(name, value, at_least=0) < 2**32:
        raise mistake(name, "a whole number in [0, 2^32)", value)


def check_positive(name: str, value: float) -> None:
    """Check that a number is finite and above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a finite number above 0, got {value}")


def as_fraction(name: str, value: Any) -> jax.Array:
    """Return `value` as a number in [0, 1]."""
    share = as_array(name, value)
    if share.ndim != 0:
        raise mistake(name, "one number in [0, 1]", f"shape {share.shape}")
    _all(name, lambda share: (share >= 0) & (share <= 1), value, "a number in [0, 1]")
    return jnp.where((share >= 0) & (share <= 1), share, jnp.nan)


def check_choice(name: str, value: Any, known: Any, cure: str = "") -> None:
    """Check that a name is one of those that are known."""
    if value not in known:
        raise mistake(name, f"one of {', '.join(known)}", repr(value), did_you_mean(str(value), list(known)) or cure)


def check_record(name: str, value: Any, kind: type) -> None:
    """Check that `value` is an `Activation` or a `Loss`."""
    if not isinstance(value, kind):
        example = {"Activation": "mlp_jax.relu", "Loss": "mlp_jax.cross_entropy"}[kind.__name__]
        raise TypeError(
            f"{name}: expected a record such as {example}, or your own mlp_jax.{kind.__name__}(...), "
            f"got {_describe(value)}"
        )


def as_required(name: str, record: Any, field: str) -> Callable[..., jax.Array]:
    """Return a function that a record may lack."""
    found: Callable[..., jax.Array] | None = getattr(record, field)
    if found is None:
        kind = type(record).__name__
        raise mistake(
            name, f"a record with {field}", f"{record.name!r} without", f"give mlp_jax.{kind}(..., {field}=...)"
        )
    return found


def check_function(name: str, value: Any) -> None:
    """Check that `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {_describe(value)}")


def as_sizes(value: Any) -> tuple[int, ...]:
    """Return the widths (D, d_1, ..., C) of a network: at least two, each at least 1."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"sizes: expected a tuple of widths (D, d_1, ..., C), got {_describe(value)}")
    if len(value) < 2:
        raise ValueError(f"sizes: expected at least the widths of input and output, (D, C), got {value}")
    return tuple(as_whole_number(f"sizes[{i}]", size, at_least=1) for i, size in enumerate(value))


def as_floats(name: str, value: Any) -> jax.Array:
    """Return an array of floats; whole numbers become jax.numpy's default float."""
    array = as_array(name, value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def as_logits(value: Any) -> jax.Array:
    """Return logits (..., C), C >= 1, as floats."""
    z = as_floats("logits", value)
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(f"logits: expected (..., C) with at least one class, got shape {z.shape}")
    return z


def as_logits_and_targets(logits_value: Any, targets_value: Any) -> tuple[jax.Array, jax.Array]:
    """Return logits (B, C) and their targets, for a loss."""
    z = as_logits(logits_value)
    if z.ndim != 2 or z.shape[0] == 0:
        raise ValueError(f"logits: expected (B, C), a batch of at least one example, got shape {z.shape}")
    return z, as_targets(targets_value, z.shape[0], z.shape[1], z.dtype)


def as_targets(value: Any, batch: int, classes: int, dtype: Any, name: str = "targets") -> jax.Array:
    """Return labels (B,) in [0, C), or floats (B, C) in the logits' dtype."""
    t = as_array(name, value)
    if jnp.issubdtype(t.dtype, jnp.integer) and t.shape == (batch,):
        return as_labels(value, classes, name)
    if jnp.issubdtype(t.dtype, jnp.integer) or t.shape != (batch, classes):
        cure = "; labels must be integers: labels.astype(int)" if t.shape == (batch,) else ""
        raise ValueError(
            f"{name}: expected integer labels ({batch},) or floats ({batch}, {classes}), "
            f"got {t.dtype} of shape {t.shape}{cure}"
        )
    _all(name, _is_finite, value, "finite numbers", dtype)
    return t.astype(dtype)


def as_labels(value: Any, classes: int, name: str = "labels") -> jax.Array:
    """Return labels (B,), integers in [0, C)."""
    y = as_array(name, value)
    if y.ndim != 1 or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"{name}: expected integer labels (B,), got {y.dtype} of shape {y.shape}")
    _all(name, lambda y: (y >= 0) & (y < classes), value, f"labels in [0, {classes})")
    return y.astype(jnp.promote_types(y.dtype, jnp.int32))  # in 8 bits a comparison with class 300 would wrap round


def check_probabilities(q: Any) -> None:
    """Check that the rows of float targets (B, C) are distributions, where they can be read."""
    if not is_traced(q):
        _all("targets", lambda q: q >= 0, q, "probabilities, none negative")
        row_sums = np.asarray(q, float).sum(axis=-1)
        _all("targets' row sums", lambda total: abs(total - 1) <= 1e-2, row_sums, "probabilities that sum to 1")


def as_params(value: Any) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Return the layers' (weight, bias), (fan_in, fan_out) and (fan_out,), each fitting the next, one dtype."""
    if not isinstance(value, tuple | list) or len(value) == 0:
        raise TypeError(f"params: expected a tuple of Layer(weight, bias), got {_describe(value)}")
    layers: list[tuple[jax.Array, jax.Array]] = []
    for i, layer in enumerate(value):
        if not isinstance(layer, tuple | list) or len(layer) != 2:
            raise TypeError(f"params[{i}]: expected Layer(weight, bias), got {_describe(layer)}")
        weight, bias = as_array(f"params[{i}].weight", layer[0]), as_array(f"params[{i}].bias", layer[1])
        fan_in = layers[-1][0].shape[1] if layers else weight.shape[0] if weight.ndim == 2 else "fan_in"
        if weight.ndim != 2 or weight.shape[0] != fan_in or 0 in weight.shape:
            raise ValueError(f"params[{i}].weight: expected ({fan_in}, fan_out), got shape {weight.shape}")
        if bias.shape != weight.shape[1:]:
            raise ValueError(f"params[{i}].bias: expected {weight.shape[1:]}, got shape {bias.shape}")
        for name, leaf in (("weight", weight), ("bias", bias)):
            dtype = layers[0][0].dtype if layers else weight.dtype
            if leaf.dtype != dtype or not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(
                    f"params[{i}].{name}: expected one floating dtype throughout (params[0].weight is {dtype}), "
                    f"got {leaf.dtype}"
                )
        layers.append((weight, bias))
    return tuple(layers)


def as_tangent(value: Any, params_value: Any) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Return a direction of params: (weight, bias) of every layer, each of the parameter's shape and dtype."""
    is_pairs = isinstance(value, tuple | list) and all(isinstance(v, tuple | list) and len(v) == 2 for v in value)
    if not is_pairs or len(value) != len(params_value):
        got = f"{len(value)} of them" if is_pairs else _describe(value)
        raise TypeError(f"tangent: expected {len(params_value)} times Layer(weight, bias), as in params, got {got}")
    return tuple(
        (
            as_direction(f"tangent[{i}].weight", weight, f"params[{i}].weight", layer[0]),
            as_direction(f"tangent[{i}].bias", bias, f"params[{i}].bias", layer[1]),
        )
        for i, ((weight, bias), layer) in enumerate(zip(value, params_value, strict=True))
    )


def as_direction(name: str, value: Any, other_name: str, other: Any) -> jax.Array:
    """Return finite numbers in the shape and dtype of another array."""
    array = as_like(name, value, other_name, other)
    _all(name, _is_finite, value, "finite numbers", other.dtype)
    return array


def as_like(name: str, value: Any, other_name: str, other: Any) -> jax.Array:
    """Return an array that has the shape and dtype of another."""
    array = as_array(name, value)
    expected, got = (f"{a.dtype} of shape {a.shape}" for a in (other, array))
    if array.shape != other.shape:
        raise mistake(name, f"{expected}, as {other_name}", got)
    if array.dtype != other.dtype:
        cure = f"jnp.asarray({name}, '{other.dtype}')"
        raise TypeError(f"{name}: expected {expected}, as {other_name}, got {got}; {cure}")
    return array


def as_inputs(value: Any, width: int | None, dtype: Any, name: str = "x") -> jax.Array:
    """Return examples x (B, D), B >= 1, finite, in the parameters' dtype; D is not checked where width is None."""
    x = as_array(name, value)
    shape = f"(B, {'D' if width is None else width})"
    if x.ndim != 2:
        cure = "; for one example give x[None, :]" if x.ndim == 1 else ""
        raise ValueError(f"{name}: expected {shape}, a batch of examples, got shape {x.shape}{cure}")
    if x.shape[0] == 0:
        raise ValueError(f"{name}: expected {shape} with at least one example, got shape {x.shape}")
    if width is not None and x.shape[1] != width:
        raise ValueError(f"{name}: expected {shape} to fit params[0].weight ({width}, ...), got shape {x.shape}")
    _all(name, _is_finite, value, "finite numbers", dtype)
    return x.astype(dtype)


def check_gradients(actual: Any, params_value: Any) -> None:
    """Check that a gradient function returned (loss, gradients like the parameters)."""
    if not isinstance(actual, tuple) or len(actual) != 2:
        raise TypeError(f"gradient: expected it to return (loss, gradients), got {_describe(actual)}")
    loss, grads = actual
    if getattr(loss, "shape", None) != ():
        raise ValueError(f"gradient: expected a scalar loss, got {_describe(loss)}")
    expected, got = str(jax.tree.structure(params_value)), str(jax.tree.structure(grads))
    if got != expected:
        raise ValueError(f"gradient: expected gradients with the structure of params, {expected}, got {got}")
    for (path, leaf), parameter in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(params_value), strict=True
    ):
        expected, got = (f"{a.dtype} of shape {a.shape}" for a in map(jnp.asarray, (parameter, leaf)))
        if got != expected:
            raise mistake("gradient", f"{expected} at params{jax.tree_util.keystr(path)}", got)
