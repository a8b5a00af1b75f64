"""Run a JAX function's own primal code, without its custom derivative rules, and as differences should see it.

A function is traced once (`jax.make_jaxpr`) and its equations are evaluated one by one, through jit, checkpoint,
cond, scan and while. What cannot be looked into, a callback or a kernel, is called as it is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

Ways = Mapping[str, Callable[[JaxprEqn, list[Any]], list[Any]]]  # primitive -> how to run it instead

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
        return _run(f, args, {})

    return plain


def stopped_at(f: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """Return f with what passes through `stop_gradient` kept as it is at args: autodiff takes its slopes.

    Inside of loops it is not kept.

    Example:
      >>> straight_through = lambda x: x + jax.lax.stop_gradient(jnp.round(x) - x)
      >>> f = stopped_at(straight_through, 0.7)
      >>> print(f"{f(0.7):.1f} {f(0.4):.1f}")
      1.0 0.7
    """
    if all(eqn.primitive.name != "stop_gradient" for eqn in equations(jax.make_jaxpr(f)(*args).jaxpr)):
        return f

    @jax.jit
    def values(*args: Any) -> list[Any]:
        found: list[Any] = []

        def keep(eqn: JaxprEqn, inputs: list[Any]) -> list[Any]:
            found.append(inputs[0])
            return inputs

        _run(f, args, {"stop_gradient": keep})
        return found

    kept = values(*args)

    def stopped(*args: Any) -> Any:
        rest = iter(kept)
        return _run(f, args, {"stop_gradient": lambda eqn, inputs: [next(rest)]})

    return stopped


def iterated_longer(f: Callable[..., Any], turns: int) -> Callable[..., Any]:
    """Return f with some more turns of every loop that may be a solver's: it only carries, or stops by a float.

    Of an iteration that converges, that shows how far it is from the end; of any other loop, it is nonsense.

    Example:
      >>> halve = lambda x: jax.lax.while_loop(lambda x: x > 0.1, lambda x: x / 2, x)
      >>> print(halve(1.0), iterated_longer(halve, 1)(1.0))
      0.0625 0.03125
    """
    ways: Ways = {"while": partial(_while, turns=turns), "scan": partial(_scan, turns=turns)}

    def longer(*args: Any) -> Any:
        return _run(f, args, ways)

    return longer


def has_iteration(jaxpr: Jaxpr) -> bool:
    """Whether a function has a loop that `iterated_longer` runs longer."""
    return any(_may_be_solver(eqn) for eqn in equations(jaxpr))


def equations(jaxpr: Jaxpr) -> Iterable[JaxprEqn]:
    """Yield every equation of a jaxpr, those inside of others included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from equations(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner)


def float_dtype(jaxpr: Jaxpr) -> str:
    """Return the coarsest float in which anything is computed from the arguments, "float64" if nothing is."""
    used = {"float64"}
    for eqn in equations(jaxpr):
        if any(not isinstance(v, Literal) and _is_inexact(v) for v in eqn.invars):
            used |= {jnp.finfo(_dtype(v)).dtype.name for v in eqn.outvars if _is_inexact(v)}
    return coarsest(used)


def coarsest(dtypes: Iterable[str]) -> str:
    """Return the float with the fewest digits."""
    return max(dtypes, key=lambda name: float(jnp.finfo(name).eps))


def _is_jaxpr(node: Any) -> bool:
    return isinstance(node, Jaxpr | ClosedJaxpr)


def _dtype(var: Any) -> Any:
    return getattr(var.aval, "dtype", bool)


def _is_inexact(var: Any) -> bool:
    return bool(jnp.issubdtype(_dtype(var), jnp.inexact))


def _run(f: Callable[..., Any], args: tuple[Any, ...], ways: Ways) -> Any:
    """Evaluate f equation by equation, some of them in another way; inside of control flow as they are."""
    jaxpr, out = jax.make_jaxpr(f, return_shape=True)(*args)
    values = _evaluate(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(args), ways)
    return jax.tree.unflatten(jax.tree.structure(out), values)


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], ways: Ways) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    for eqn in jaxpr.eqns:
        inputs = [v.val if isinstance(v, Literal) else values[v] for v in eqn.invars]
        name = eqn.primitive.name
        if name in CALLS:
            outputs = _closed(eqn.params[CALLS[name]], ways)(*inputs)
        elif name in ways:
            outputs = ways[name](eqn, inputs)
        elif name in CONTROL_FLOW:
            outputs = CONTROL_FLOW[name](eqn, inputs)
        else:
            bound = eqn.primitive.get_bind_params(eqn.params)
            functions, params = bound if isinstance(bound, tuple) else ((), bound)  # by JAX's version
            result = eqn.primitive.bind(*functions, *inputs, **params)
            outputs = list(result) if eqn.primitive.multiple_results else [result]
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [v.val if isinstance(v, Literal) else values[v] for v in jaxpr.outvars]


def _closed(jaxpr: Jaxpr | ClosedJaxpr, ways: Ways) -> Callable[..., list[Any]]:
    """Return a jaxpr as a function."""
    inner, consts = (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else (jaxpr, ())
    return lambda *inputs: _evaluate(inner, consts, inputs, ways)


def _cond(eqn: JaxprEqn, inputs: list[Any]) -> list[Any]:
    index, *operands = inputs
    return lax.switch(index, [_closed(branch, {}) for branch in eqn.params["branches"]], *operands)


def _parts(eqn: JaxprEqn, values: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what a scan takes: constants, what is carried, and what it goes along."""
    p = eqn.params
    if "ft_in" in p:  # by JAX's version
        consts, carry, xs = map(list, p["ft_in"].update(values).unpack())
        return consts, carry, xs
    n, m = p["num_consts"], p["num_consts"] + p["num_carry"]
    return values[:n], values[n:m], values[m:]


def _scan(eqn: JaxprEqn, inputs: list[Any], turns: int = 0) -> list[Any]:
    p, body = eqn.params, _closed(eqn.params["jaxpr"], {})
    consts, carry, xs = _parts(eqn, inputs)

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        outputs = body(*consts, *carry, *x)
        return outputs[: len(carry)], outputs[len(carry) :]

    carry, ys = lax.scan(step, carry, xs, length=p["length"], reverse=p["reverse"], unroll=p["unroll"])
    for _ in range(turns if _may_be_solver(eqn) else 0):
        carry = body(*consts, *carry)
    return [*carry, *ys]


def _while(eqn: JaxprEqn, inputs: list[Any], turns: int = 0) -> list[Any]:
    p = eqn.params
    n, m = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    condition, body = _closed(p["cond_jaxpr"], {}), _closed(p["body_jaxpr"], {})
    carry = lax.while_loop(
        lambda carry: condition(*inputs[:n], *carry)[0], lambda carry: body(*inputs[n:m], *carry), inputs[m:]
    )
    for _ in range(turns if _may_be_solver(eqn) else 0):
        carry = body(*inputs[n:m], *carry)
    return list(carry)


CONTROL_FLOW: dict[str, Callable[[JaxprEqn, list[Any]], list[Any]]] = {"cond": _cond, "scan": _scan, "while": _while}


def _may_be_solver(eqn: JaxprEqn) -> bool:
    """Whether a loop only carries from turn to turn, or stops by a float."""
    if eqn.primitive.name == "scan":
        _, carry, xs = _parts(eqn, list(eqn.invars))
        return not xs and len(eqn.outvars) == len(carry)
    return eqn.primitive.name == "while" and any(
        _is_inexact(v) for inner in equations(eqn.params["cond_jaxpr"].jaxpr) for v in inner.invars
    )
