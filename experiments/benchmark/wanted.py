"""Which ratios are wanted: data alone."""

from dataclasses import dataclass
from typing import Literal

from experiments.benchmark.workloads import (
    ALONE,
    ALONE_EAGER,
    AUTODIFF,
    BACKPROP,
    BY_GRAD,
    BY_HAND,
    COMPILATION,
    COMPILED,
    DERIVATIVES,
    EAGER,
    EAGER_CALL,
    ENSEMBLE,
    ENSEMBLE_COMPILED,
    EPOCHS,
    FIRST,
    FIRST_CALL,
    GRADIENTS,
    IMPORT,
    JITTED,
    LARGE_X,
    LOSSES,
    MANY,
    MANY_STEPS,
    MEMORY,
    NORMS,
    OF_JAX,
    ONE_DEVICE,
    ONE_GRADIENT,
    ONE_PASS,
    OPTAX,
    OURS,
    PLAIN,
    PROCESS,
    PRODUCTS,
    PROGRAMS,
    SCRIPT,
    SECOND,
    STEPS,
    TINY,
    TRAININGS,
    Workload,
)

Quantity = Literal["ratio", "memory", "flops", "slope", "value"]


@dataclass(frozen=True)
class Wanted:
    """A ratio, or another number, that a workload's measurements have to keep to.

    Attributes:
      workload: its name.
      of: what is compared, in words.
      quantity: "ratio" of two sides' numbers, paired by repeat; "memory" and "flops", the ratio of these facts of the
        sides; "slope" of the log of the numbers of all sides that have a size of `least` or more over the log of the
        size; "value".
      numerator, denominator: sides.
      relation, bound: what the number has to keep to; a bound of None: it is reported alone.
      least: the smallest size of a slope.
      less: a side whose numbers are subtracted from the numerator's, repeat by repeat, before all else.
    """

    workload: str
    of: str
    quantity: Quantity
    numerator: str = ""
    denominator: str = ""
    relation: Literal[">=", "<="] = ">="
    bound: float | None = None
    least: float = 0.0
    less: str = ""


def _faster(workload: Workload, bounds: dict[str, float | None]) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(workload.name, f"{side}, over {OURS}", "ratio", side, OURS, ">=", bound)
        for side, bound in bounds.items()
    )


def _over_products(workload: Workload, bound: float | None) -> Wanted:
    return Wanted(workload.name, f"{OURS}, over {PRODUCTS}", "ratio", OURS, PRODUCTS, "<=", bound)


QUANTITIES: dict[str, Quantity] = {"time": "ratio", "memory": "memory", "flops": "flops"}


def _over_autodiff(workload: Workload, **bounds: float | None) -> tuple[Wanted, ...]:
    """The first side over the second."""
    by_hand, autodiff = (side.name for side in workload.sides[:2])
    return tuple(
        Wanted(workload.name, f"{by_hand}, over {autodiff}: {words}", QUANTITIES[words], by_hand, autodiff, "<=", bound)
        for words, bound in bounds.items()
    )


def _of_gradient(workload: Workload) -> tuple[Wanted, ...]:
    bound = None if workload.sizes[0] == 2 else 1.0 if workload.activation == "relu" else 1.05
    return _over_autodiff(workload, time=bound, memory=bound)


def _of_derivative(
    workload: Workload, memory: float | None = None, gradients: float | None = None
) -> tuple[Wanted, ...]:
    """Beside autodiff and, where that is a side, in gradients."""
    rows = _over_autodiff(workload, time=None, memory=memory, flops=1.05)
    if ONE_GRADIENT not in [side.name for side in workload.sides]:
        return rows
    of = f"{BY_HAND}, over {ONE_GRADIENT}: time"
    return *rows, Wanted(workload.name, of, "ratio", BY_HAND, ONE_GRADIENT, "<=", gradients)


DOOR = "check of 60,000 x 784, over numpy.sum of it"
OTHERS: dict[str, float | None] = {PLAIN: None, COMPILED: None, "equinox": None, "flax": None}
WANTED: tuple[Wanted, ...] = (
    *_faster(EPOCHS[0], {EAGER: 3.5, "scikit-learn": 4.0, STEPS: 1.5, **OTHERS}),
    *_faster(EPOCHS[1], {EAGER: 2.0, "scikit-learn": 1.8, STEPS: None, **OTHERS}),
    *_faster(EPOCHS[2], {EAGER: 1.7, "scikit-learn": 2.2, STEPS: None, **OTHERS}),
    *_faster(EPOCHS[3], {EAGER: None, "scikit-learn": None, STEPS: None, **OTHERS}),
    *(_over_products(workload, bound) for workload, bound in zip(EPOCHS, (1.6, 1.6, 1.6, 1.2), strict=True)),
    *_faster(TINY, {EAGER: 11.0, COMPILED: 11.0, PLAIN: None, STEPS: None, "equinox": None, "flax": None}),
    _over_products(TINY, None),
    *_faster(MANY[0], {ENSEMBLE_COMPILED: 2.5, ENSEMBLE: None, ALONE_EAGER: 25.0, ALONE: 1.8, MANY_STEPS: None}),
    *_faster(MANY[1], {ENSEMBLE_COMPILED: 2.5, ENSEMBLE: None, ALONE_EAGER: 25.0, ALONE: 1.8, MANY_STEPS: None}),
    *_faster(MANY[2], {MANY_STEPS: None}),
    *(
        Wanted(workload.name, f"{ONE_DEVICE}, over all devices", "ratio", ONE_DEVICE, OURS, ">=", 1.6)
        for workload in MANY
    ),
    *(wanted for workload in (*GRADIENTS, *TRAININGS) for wanted in _of_gradient(workload)),
    *(wanted for workload in DERIVATIVES for wanted in _of_derivative(workload)),
    *_of_derivative(NORMS, memory=0.1, gradients=1.3),
    *(Wanted(workload.name, "by hand, over optax", "ratio", BY_HAND, OPTAX, "<=", 1.4) for workload in LOSSES),
    *(Wanted(workload.name, "jax.grad of ours, over optax", "ratio", BY_GRAD, OPTAX) for workload in LOSSES),
    Wanted(COMPILATION.name, "784-128-10", "value", "784-128-10"),
    Wanted(COMPILATION.name, "100 layers of width 32", "value", "100 layers", "", "<=", 10.0),
    Wanted(COMPILATION.name, "slope over layers, from 8 on", "slope", relation="<=", bound=1.1, least=8),
    *(
        Wanted(FIRST_CALL.name, f"{name}, over {JITTED.format(BACKPROP)}", "ratio", name, JITTED.format(BACKPROP), "<=")
        for name in ("init_params", BACKPROP, AUTODIFF)
    ),
    *(
        Wanted(PROGRAMS.name, f"first call of {name}: programs", "value", name, "", "<=", most)
        for name, most in {"init_params": 3, BACKPROP: 2, AUTODIFF: 2}.items()
    ),
    *(
        Wanted(EAGER_CALL.name, f"{name} without jit: ms more", "value", name, "", "<=", 1.0, less=JITTED.format(name))
        for name in (BACKPROP, AUTODIFF)
    ),
    *(
        Wanted(EAGER_CALL.name, f"{name}, over {JITTED.format(name)}", "ratio", name, JITTED.format(name), "<=")
        for name in (BACKPROP, AUTODIFF)
    ),
    Wanted(LARGE_X.name, DOOR, "ratio", "forward", ONE_PASS, "<=", 1.5, less=JITTED.format("forward")),
    Wanted(IMPORT.name, f"import {OURS}, over import {OF_JAX}", "ratio", OURS, OF_JAX, "<=", 1.5),
    Wanted(PROCESS.name, f"{SCRIPT}, over the second start", "ratio", SCRIPT, SECOND, ">=", 1.0),
    Wanted(PROCESS.name, f"{SCRIPT}, over the first start", "ratio", SCRIPT, FIRST),
    *(
        Wanted(workload.name, f"{side}, over {OURS}", "ratio", side, OURS)
        for workload in MEMORY
        for side in (EAGER, "scikit-learn", STEPS)
    ),
    Wanted("width", "slope over parameters, from width 256 on", "slope", relation="<=", bound=1.1, least=270_000),
    Wanted("epochs", "slope over epochs", "slope", relation="<=", bound=1.1),
    Wanted("runs", "slope over runs", "slope", relation="<=", bound=1.1),
    Wanted("memory of a run", "slope over epochs", "slope", relation="<=", bound=0.05),
)
