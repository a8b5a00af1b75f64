"""Run a JAX function's own primal code: without its custom derivative rules, or with a record of its branches.

A function is traced once (`jax.make_jaxpr`) and its equations are evaluated one by one, through jit, checkpoint,
cond, scan and while. What cannot be looked into, a callback or a kernel, is called as it is.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

Decide = Callable[[JaxprEqn, list[Any], list[Any]], Any]  # equation, inputs, outputs -> its decisions; None for none

CALLS = {  # equations that only call a function, and where they keep it
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
RULES = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


def undecorated(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f without any `jax.custom_vjp` or `jax.custom_jvp` inside it: autodiff then sees the code itself.

    Args:
      f: a function of pytrees of arrays, which JAX can trace.

    Returns:
      A function with the same values, which may run under jit, vmap and grad.

    Example:
      >>> print(jax.grad(jax.nn.relu)(0.0), jax.grad(undecorated(jax.nn.relu))(0.0))  # max(x, 0) is tied at 0
      0.0 0.5
    """

    def plain(*args: Any) -> Any:
        jaxpr, out = jax.make_jaxpr(f, return_shape=True)(*args)
        values, _ = _evaluate(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(args), _no_decisions)
        return jax.tree.unflatten(jax.tree.structure(out), values)

    return plain


def branch_decisions(f: Callable[..., Any]) -> Callable[..., tuple[Any, jax.Array]]:
    """Return a function that gives f's value and a number that stands for all branches that f took on the way.

    Which side of a maximum, an absolute value, a comparison, a sort, a rounding or a loop's condition was taken is
    hashed into 32 bits, so two points with the same number lie on the same smooth piece of f. Another number means
    that a kink or a jump may lie between them, or that only an inner choice changed that f does not depend on.

    Args:
      f: a function of pytrees of arrays, which JAX can trace.

    Returns:
      A function of the same arguments with the result (f's value, the number as a uint32 scalar), which may run
      under jit and vmap. Custom derivative rules are not part of it.

    Example:
      >>> _, decisions = jax.vmap(branch_decisions(jax.nn.relu))(jnp.array([-2.0, -1.0, 1.0, 2.0]))
      >>> print(decisions[:-1] == decisions[1:])
      [ True False  True]
    """

    def recorded(*args: Any) -> tuple[Any, jax.Array]:
        jaxpr, out = jax.make_jaxpr(f, return_shape=True)(*args)
        values, digest = _evaluate(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(args), _decisions)
        return jax.tree.unflatten(jax.tree.structure(out), values), digest

    return recorded


def equations(jaxpr: Jaxpr) -> Iterable[JaxprEqn]:
    """Yield every equation of a jaxpr, those inside of others included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from equations(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner)


def float_dtype(jaxpr: Jaxpr) -> str:
    """Return the coarsest float in which anything is computed from the arguments, "float64" where there is none."""
    used = {"float64"}
    for eqn in equations(jaxpr):
        if any(not isinstance(v, Literal) and _is_inexact(v) for v in eqn.invars):
            used |= {jnp.finfo(_dtype(v)).dtype.name for v in eqn.outvars if _is_inexact(v)}
    return max(used, key=lambda name: float(jnp.finfo(name).eps))


def _is_jaxpr(node: Any) -> bool:
    return isinstance(node, Jaxpr | ClosedJaxpr)


def _dtype(var: Any) -> Any:
    return getattr(var.aval, "dtype", bool)


def _is_inexact(var: Any) -> bool:
    return bool(jnp.issubdtype(_dtype(var), jnp.inexact))


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], decide: Decide) -> tuple[list[Any], jax.Array]:
    """Return the outputs of a jaxpr and the digest of its decisions."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    digest = jnp.uint32(0)
    for eqn in jaxpr.eqns:
        inputs = [v.val if isinstance(v, Literal) else values[v] for v in eqn.invars]
        name = eqn.primitive.name
        if name in CALLS:
            outputs, inner = _closed(eqn.params[CALLS[name]], decide)(*inputs)
        elif name in CONTROL_FLOW:
            outputs, inner = CONTROL_FLOW[name](eqn, inputs, decide)
        else:
            bound = eqn.primitive.get_bind_params(eqn.params)
            functions, params = bound if isinstance(bound, tuple) else ((), bound)  # by JAX's version
            result = eqn.primitive.bind(*functions, *inputs, **params)
            outputs = list(result) if eqn.primitive.multiple_results else [result]
            inner = decide(eqn, inputs, outputs)
        digest = digest if inner is None else digest * jnp.uint32(2654435761) + inner
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [v.val if isinstance(v, Literal) else values[v] for v in jaxpr.outvars], digest


def _closed(jaxpr: Jaxpr | ClosedJaxpr, decide: Decide) -> Callable[..., tuple[list[Any], jax.Array]]:
    """Return a jaxpr as a function: inputs -> (outputs, digest)."""
    inner, consts = (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else (jaxpr, ())
    return lambda *inputs: _evaluate(inner, consts, inputs, decide)


def _cond(eqn: JaxprEqn, inputs: list[Any], decide: Decide) -> tuple[list[Any], jax.Array]:
    index, *operands = inputs
    outputs, digest = lax.switch(index, [_closed(branch, decide) for branch in eqn.params["branches"]], *operands)
    return outputs, digest + jnp.asarray(index, jnp.uint32) * jnp.uint32(40503)


def _scan(eqn: JaxprEqn, inputs: list[Any], decide: Decide) -> tuple[list[Any], jax.Array]:
    p, body = eqn.params, _closed(eqn.params["jaxpr"], decide)
    if "ft_in" in p:  # by JAX's version
        consts, carry, xs = map(list, p["ft_in"].update(inputs).unpack())
    else:
        n, m = p["num_consts"], p["num_consts"] + p["num_carry"]
        consts, carry, xs = inputs[:n], inputs[n:m], inputs[m:]

    def step(carry: tuple[list[Any], jax.Array], x: list[Any]) -> tuple[tuple[list[Any], jax.Array], list[Any]]:
        outputs, digest = body(*consts, *carry[0], *x)
        return (outputs[: len(carry[0])], carry[1] * jnp.uint32(31) + digest), outputs[len(carry[0]) :]

    (carry, digest), ys = lax.scan(
        step, (carry, jnp.uint32(0)), xs, length=p["length"], reverse=p["reverse"], unroll=p["unroll"]
    )
    return [*carry, *ys], digest


def _while(eqn: JaxprEqn, inputs: list[Any], decide: Decide) -> tuple[list[Any], jax.Array]:
    p = eqn.params
    n, m = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    condition, body = _closed(p["cond_jaxpr"], _no_decisions), _closed(p["body_jaxpr"], decide)

    def step(carry: tuple[list[Any], jax.Array]) -> tuple[list[Any], jax.Array]:
        outputs, digest = body(*inputs[n:m], *carry[0])
        return outputs, carry[1] * jnp.uint32(31) + digest + jnp.uint32(1)  # so that each turn counts

    start = (inputs[m:], jnp.uint32(0))
    return lax.while_loop(lambda carry: condition(*inputs[:n], *carry[0])[0][0], step, start)


CONTROL_FLOW: dict[str, Callable[[JaxprEqn, list[Any], Decide], tuple[list[Any], jax.Array]]] = {
    "cond": _cond,
    "scan": _scan,
    "while": _while,
}


def _no_decisions(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> None:
    return None


def _order(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    """Return where each entry of a sorted array came from."""
    p = eqn.params
    position = lax.broadcasted_iota(jnp.int32, np.shape(inputs[0]), p["dimension"])
    return lax.sort((*inputs, position), p["dimension"], p["is_stable"], p["num_keys"])[-1]


def _window(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    """Return by how many windows each entry was picked."""
    _, pull = jax.vjp(partial(eqn.primitive.bind, **eqn.params), inputs[0])
    return pull(jnp.ones_like(outputs[0]))[0].astype(jnp.int32)


def _picked(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    """Return which entries equal the maximum or minimum over the axes."""
    return inputs[0] == jnp.expand_dims(outputs[0], eqn.params["axes"])


def _output(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    return outputs[0]


def _greater(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    return lax.gt(*inputs)


DECISIONS: dict[str, Decide] = {
    "max": _greater,
    "min": _greater,
    "abs": lambda eqn, inputs, outputs: jnp.sign(inputs[0]),
    **dict.fromkeys(("sign", "eq", "ne", "lt", "le", "gt", "ge", "floor", "ceil", "round", "is_finite"), _output),
    **dict.fromkeys(("convert_element_type", "argmax", "argmin"), _output),
    **dict.fromkeys(("reduce_max", "reduce_min"), _picked),
    **dict.fromkeys(("cummax", "cummin"), lambda eqn, inputs, outputs: inputs[0] == outputs[0]),
    **dict.fromkeys(("reduce_window_max", "reduce_window_min"), _window),
    "rem": lambda eqn, inputs, outputs: lax.round((inputs[0] - outputs[0]) / inputs[1]),
    "clamp": lambda eqn, inputs, outputs: jnp.sign(inputs[1] - outputs[0]),
    "top_k": lambda eqn, inputs, outputs: outputs[1],
    "sort": _order,
}


def _decisions(eqn: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> Any:
    """Return one number for the decisions of an equation, None where it decides nothing."""
    name = eqn.primitive.name
    of_floats = any(jnp.issubdtype(jnp.result_type(value), jnp.floating) for value in inputs)
    if name not in DECISIONS or not of_floats:
        return None
    if name == "convert_element_type" and jnp.issubdtype(outputs[0].dtype, jnp.inexact):
        return None
    return _hash(DECISIONS[name](eqn, inputs, outputs))


def _hash(decisions: jax.Array) -> jax.Array:
    """Return a weighted sum, modulo 2^32; the weights are odd, so that one change always changes it."""
    flat = decisions.ravel()
    weight = lax.iota(jnp.uint32, flat.size) * jnp.uint32(2654435761) + jnp.uint32(0x9E3779B9)
    weight = (weight ^ (weight >> 16)) * jnp.uint32(0x85EBCA6B) | jnp.uint32(1)
    return jnp.sum(flat.astype(jnp.int32).astype(jnp.uint32) * weight, dtype=jnp.uint32)
