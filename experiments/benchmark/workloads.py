"""The benchmark as one table: what is measured, how each side does it, and what the numbers have to keep to.

Data only: a side names the function in `sides` that prepares its task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from typing import Any, Literal

OURS = "mlp_jax"
QUICK_REPEATS = 3

Relation = Literal[">=", "<="]
Quantity = Literal["", "time", "memory", "flops"]
Family = Literal[
    "machine", "epoch", "steps", "sweep", "large sweep", "gradient", "training", "derivative", "norms", "loss", "call",
    "process", "memory", "growth",
]  # fmt: skip


@dataclass(frozen=True)
class Aim:
    """What a side's numbers have to keep to: their ratio to a baseline's, repeat by repeat, or the numbers themselves.

    Attributes:
      relation, bound: what the median has to keep to; without a bound it is only reported.
      baseline: the side that is divided by; "" for the numbers themselves.
      quantity: what is compared, if that has to be said: "time" is what was measured, "memory" and "flops" are facts.
      minus: a side whose numbers are subtracted before all else.
      words: what is compared, instead of the names of side, baseline and quantity.
    """

    relation: Relation
    bound: float | None = None
    baseline: str = ""
    quantity: Quantity = ""
    minus: str = ""
    words: str = ""


@dataclass(frozen=True)
class Side:
    """One way of doing a workload.

    Attributes:
      name: unique in its workload.
      worker: the kind of process that it works in; sides of one kind share a process.
      function: module:function in `sides`, which prepares the task.
      aims: what its numbers have to keep to.
      options: keyword arguments of that function.
      size: its place on the axis of the workload's growth; 0 for none.
      fresh: whether every repeat takes a new process.
      quick: whether a quick run has it.
    """

    name: str
    worker: str
    function: str
    aims: tuple[Aim, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    size: float = 0.0
    fresh: bool = False
    quick: bool = True


@dataclass(frozen=True)
class Growth:
    """How the numbers of a workload grow with the sizes of its sides.

    Attributes:
      of: what the size is.
      bound: of the slope of the numbers over the sizes, both on log axes: 1 if they grow in proportion.
      least: the smallest size that the slope is taken of.
      since: the same in words.
      title: of the picture; "" for none.
    """

    of: str
    bound: float
    least: float = 1.0
    since: str = ""
    title: str = ""


@dataclass(frozen=True)
class Workload:
    """One thing to do, in several ways.

    Attributes:
      name: unique, and what `--only` takes.
      family: workloads that the table, README and the pictures treat alike.
      unit: what the numbers are: "s an epoch", say. Less is better.
      sides: all have to come to the result of the first one.
      sizes, activation: of the network; no sizes if there is none.
      batch, steps: examples per step, and steps of one repeat.
      quick: steps in a quick run, which leaves the workload out if they are 0.
      full_batch: whether the batch is all the examples.
      nets: networks at once.
      repeats: how often the sides take their turn.
      growth: what the numbers grow with.
    """

    name: str
    family: Family
    unit: str
    sides: tuple[Side, ...]
    sizes: tuple[int, ...] = ()
    batch: int = 0
    steps: int = 1
    quick: int = 0
    activation: str = "relu"
    full_batch: bool = False
    nets: int = 1
    repeats: int = 7
    growth: Growth | None = None

    @property
    def examples(self) -> int:
        """How many the data set has: whole batches, so that no side compiles a second shape."""
        return self.batch if self.full_batch else self.steps * self.batch


def chosen(quick: bool, only: tuple[str, ...] = ()) -> tuple[Workload, ...]:
    """Return the workloads of a run: all, or those whose names begin with one of `only`."""
    workloads = tuple(w for w in WORKLOADS if not only or w.name.startswith(only))
    return tuple(quickened(w) for w in workloads if w.quick) if quick else workloads


def quickened(workload: Workload) -> Workload:
    """Return a workload as a quick run has it."""
    sides = tuple(side for side in workload.sides if side.quick)
    return replace(workload, sides=sides, steps=workload.quick, repeats=min(QUICK_REPEATS, workload.repeats))


# ---- the entries of the table


def at_least(bound: float | None = None, baseline: str = OURS, words: str = "") -> Aim:
    """Return an aim of others: how many times as long as the baseline they take."""
    return Aim(">=", bound, baseline, words=words)


def at_most(
    bound: float | None = None, baseline: str = "", quantity: Quantity = "", minus: str = "", words: str = ""
) -> Aim:
    """Return an aim of ours: how many times as long as the baseline it takes, or what its own numbers are."""
    return Aim("<=", bound, baseline, quantity, minus, words)


def _side(
    name: str, worker: str, function: str, /, *aims: Aim, size: float = 0.0, fresh: bool = False, quick: bool = True,
    **options: Any,
) -> Side:  # fmt: skip
    return Side(name, worker, function, aims, options, size, fresh, quick)


def _like(
    workload: Workload, name: str, family: Family, unit: str, sides: Iterable[Side], steps: int, quick: int = 0,
    **others: Any,
) -> Workload:  # fmt: skip
    """Return another workload on the same network."""
    return replace(
        workload, name=name, family=family, unit=unit, sides=tuple(sides), steps=steps, quick=quick, **others
    )


def _network(sizes: tuple[int, ...], batch: int, activation: str = "") -> str:
    """Name a network, 784-128-10 relu, batch 32, or what is logits only: 1024 x 10."""
    if len(sizes) == 2:
        return f"{batch} x {sizes[-1]}"
    return f"{'-'.join(map(str, sizes))}{activation and f' {activation}'}, batch {batch}"


def _parameters(sizes: tuple[int, ...]) -> int:
    """Count the weights and biases of a network."""
    return sum(a * b + b for a, b in pairwise(sizes))


_PEAKS = (_side("matrix product", "mlp_jax", "limits:peak"), _side("triad", "mlp_jax", "limits:bandwidth"))
MACHINE = Workload("machine", "machine", "s", _PEAKS, quick=1)

# ---- training next to peers

PRODUCTS = "its matrix products alone"
EAGER, PLAIN, COMPILED = "PyTorch eager", "PyTorch eager, plain Adam", "PyTorch compiled"
SCIKIT_LEARN, STEPS, EQUINOX, FLAX = "scikit-learn", "per-step jit", "equinox", "flax"
_PEERS = (
    _side(EAGER, "pytorch", "pytorch:training"),
    _side(SCIKIT_LEARN, "scikit-learn", "scikit_learn:training"),
    _side(STEPS, "optax", "per_step:with_optax"),
    _side(PLAIN, "pytorch", "pytorch:training", quick=False, adam="plain"),
    _side(COMPILED, "pytorch", "pytorch:training", quick=False, compiled=True),
    _side(EQUINOX, "equinox", "per_step:with_equinox"),
    _side(FLAX, "flax", "per_step:with_flax"),
)


def _training(over_products: float | None, peers: Mapping[str, float | None]) -> tuple[Side, ...]:
    """Return our side, the peers with the bounds of their aims, and the matrix products."""
    by_name = {side.name: side for side in _PEERS}
    return (
        _side(OURS, "mlp_jax", "ours:training", at_most(over_products, PRODUCTS)),
        *(replace(by_name[name], aims=(at_least(bound),)) for name, bound in peers.items()),
        _side(PRODUCTS, "mlp_jax", "limits:matrix_products"),
    )


def _epoch(sizes: tuple[int, ...], batch: int, steps: int, quick: int, *bounds: float | None) -> Workload:
    """Return a quarter or half of an epoch of MNIST. The bounds are those of the products and of the first peers."""
    over_products, *of_peers = bounds
    peers = dict(zip_longest((side.name for side in _PEERS), of_peers))
    sides = _training(over_products, peers)
    return Workload(f"epoch {_network(sizes, batch)}", "epoch", "s an epoch", sides, sizes, batch, steps, quick)


EPOCHS = (
    _epoch((784, 128, 10), 32, 900, 300, 1.6, 3.5, 4.0, 1.5),
    _epoch((784, 128, 10), 128, 240, 120, 1.6, 2.0, 1.8),
    _epoch((784, 512, 512, 10), 128, 120, 40, 1.6, 1.7, 2.2),
    _epoch((784, 1024, 1024, 10), 512, 30, 10, 1.2),
)
_PEERS_OF_TINY = {EAGER: 11.0, COMPILED: 11.0, PLAIN: None, STEPS: None, EQUINOX: None, FLAX: None}
TINY = Workload(
    "steps 2-32-32-2", "steps", "s a step", _training(None, _PEERS_OF_TINY), (2, 32, 32, 2), 256, 1500, 500, "tanh",
    full_batch=True,
)  # fmt: skip

# ---- many networks at once

ENSEMBLE, ENSEMBLE_COMPILED = "torch.func", "torch.func compiled"
ALONE, ALONE_EAGER = "one after another", "PyTorch eager, one by one"
ONE_DEVICE, MANY_STEPS = "on one device", "vmap of the per-step loop"
_AT_ONCE = _side(OURS, "devices", "ours:many")
_SLOW = (  # too slow for thousands of networks
    _side(ENSEMBLE_COMPILED, "pytorch", "pytorch_ensemble:many", at_least(2.5), compiled=True),
    _side(ENSEMBLE, "pytorch", "pytorch_ensemble:many", at_least()),
    _side(ALONE_EAGER, "pytorch", "pytorch:one_by_one", at_least(25.0), nets=2, steps=400),
    _side(ALONE, "mlp_jax", "ours:one_by_one", at_least(1.8), nets=4, steps=1000),
)
_FAST = (
    _side(MANY_STEPS, "optax", "per_step:many", at_least()),
    _side(ONE_DEVICE, "mlp_jax", "ours:many", at_least(1.6, words=f"{ONE_DEVICE}, over all devices"), one_device=True),
)


def _sweep(family: Family, nets: int, steps: int, quick: int, *others: Side) -> Workload:
    name, unit = f"{nets} nets at once", "s a step of one net"
    return _like(TINY, name, family, unit, (_AT_ONCE, *others), steps, quick, nets=nets)


SWEEPS = (
    _sweep("sweep", 64, 300, 60, *_SLOW, *_FAST),
    _sweep("sweep", 1024, 30, 0, *_SLOW, *_FAST),
    _sweep("large sweep", 4096, 10, 0, *_FAST),
)

# ---- by hand next to autodiff

BACKPROP, AUTODIFF = "backprop", "autodiff"
BY_HAND, BY_GRAD, OPTAX = "by hand", "jax.grad of ours", "optax"
ONE_GRADIENT, VMAPPED = "one gradient", "vmapped gradients"


def _gradients(family: Family, unit: str, function: str) -> tuple[Workload, ...]:
    """Return both gradients in one process, on every network and activation; a quick run has them outside training."""

    def workload(network: Workload, phi: str, steps: int) -> Workload:
        bound = None if network is TINY else 1.0 if phi == "relu" else 1.05
        aims = at_most(bound, AUTODIFF, "time"), at_most(bound, AUTODIFF, "memory")
        by_hand = _side(BACKPROP, "mlp_jax", function, *aims, name=BACKPROP)
        sides = by_hand, _side(AUTODIFF, "mlp_jax", function, name=AUTODIFF)
        quick = steps // 2 if family == "gradient" and (network is TINY or phi == "relu") else 0
        name = f"{family} {_network(network.sizes, network.batch, phi)}"
        return _like(network, name, family, unit, sides, steps, quick, activation=phi)

    epochs = (workload(epoch, phi, epoch.steps // 3) for epoch in EPOCHS for phi in ("relu", "tanh", "sigmoid"))
    return *epochs, workload(TINY, TINY.activation, 1000)


GRADIENTS = _gradients("gradient", "s a gradient", "gradients:alone")
TRAININGS = _gradients("training", "s a step", "gradients:in_training")
_ONE_GRADIENT = _side(ONE_GRADIENT, "mlp_jax", "gradients:one_gradient")


def _derivative(name: str, by: str, function: str, /, *aims: Aim, **options: Any) -> Side:
    return _side(name, "mlp_jax", "gradients:derivative", *aims, name=function, by=by, **options)


def _of_derivative(function: str, network: Workload, calls: int, *others: Side, quick: int = 0) -> Workload:
    """Return a derivative by hand, by autodiff, and other sides for their time."""
    aims = at_most(None, AUTODIFF, "time"), at_most(None, AUTODIFF, "memory"), at_most(1.05, AUTODIFF, "flops")
    by_hand = _derivative(BY_HAND, BY_HAND, function, *aims, *(at_most(None, other.name, "time") for other in others))
    sides = by_hand, _derivative(AUTODIFF, AUTODIFF, function), *others
    name = f"derivative {function} {_network(network.sizes, network.batch)}"
    return _like(network, name, "derivative", "s a call", sides, calls, quick, full_batch=True)


_NARROW, _WIDE = EPOCHS[0], EPOCHS[2]
DERIVATIVES = (
    _of_derivative("logits_jvp", _WIDE, 50),
    _of_derivative("logits_vjp", _WIDE, 50),
    _of_derivative("logits_jacobian", _NARROW, 3),  # 32 x 10 x 101,770 numbers
    _of_derivative("logits_input_jacobian", _WIDE, 10),
    _of_derivative("softmax_jacobian", replace(_NARROW, sizes=(10, 10), batch=1024), 400),
    _of_derivative("input_gradient", _WIDE, 80),
    _of_derivative("per_example_gradients", _NARROW, 50),
    _of_derivative("hessian_vector_product", _WIDE, 30, _ONE_GRADIENT, quick=15),
    _of_derivative("gauss_newton_vector_product", _WIDE, 40),
    _of_derivative("fisher_vector_product", _WIDE, 40),
)
_AIMS_OF_NORMS = (
    at_most(None, VMAPPED, "time"),
    at_most(0.1, VMAPPED, "memory"),
    at_most(1.05, VMAPPED, "flops"),
    at_most(1.3, ONE_GRADIENT, "time"),
)
_SIDES_OF_NORMS = (
    _derivative(BY_HAND, BY_HAND, "per_example_gradient_norms", *_AIMS_OF_NORMS),
    _derivative(VMAPPED, AUTODIFF, "per_example_gradient_norms", calls=1),  # 1,024 x 669,706 numbers
    _ONE_GRADIENT,
)
NORMS = _like(
    _WIDE, f"per-example norms {_network(_WIDE.sizes, 1024)}", "norms", "s a call", _SIDES_OF_NORMS, 12, batch=1024,
    full_batch=True,
)  # fmt: skip
_SIDES_OF_LOSS = (
    _side(BY_HAND, "mlp_jax", "gradients:of_loss", at_most(1.4, OPTAX), name=BY_HAND),
    _side(BY_GRAD, "mlp_jax", "gradients:of_loss", at_most(None, OPTAX), name=BY_GRAD),
    _side(OPTAX, "mlp_jax", "gradients:of_loss", name=OPTAX),
)
LOSSES = tuple(
    Workload(
        f"cross-entropy {_network((classes, classes), batch)}", "loss", "s a value and gradient", _SIDES_OF_LOSS,
        (classes, classes), batch, 500, 200, full_batch=True,
    )
    for batch, classes in ((8192, 10), (1024, 1000))
)  # fmt: skip

# ---- single calls, imports and whole processes

ONE_PASS, OF_JAX = "numpy.sum of x", "jax, optax"
FIRST, SECOND, SCRIPT = "first start", "second start", "PyTorch script"


def jitted(name: str) -> str:
    """Name the side that calls a jitted function."""
    return f"jax.jit({name})"


def _call(function: str, name: str, /, *aims: Aim, jit: bool = False, **options: Any) -> Side:
    """Return a side of a process without a cache on disk, new for a first call, and else the same as the others'."""
    first, written = function == "first", jitted(name) if jit else name
    worker = "compilation" if first else "mlp_jax"
    return _side(written, worker, f"calls:{function}", *aims, fresh=first, name=name, jitted=jit, **options)


def _programs(name: str, bound: int) -> Side:
    return _call("first", name, at_most(bound, words=f"first call of {name}: programs"), count=True)


def _later_calls(name: str) -> tuple[Side, Side]:
    more = at_most(1.0, minus=jitted(name), words=f"{name} without jit: ms more")
    return _call("later", name, more, at_most(None, jitted(name))), _call("later", name, jit=True)


_FIRST_CALLS = (
    *(_call("first", name, at_most(None, jitted(BACKPROP))) for name in ("init_params", BACKPROP, AUTODIFF)),
    _call("first", BACKPROP, jit=True),
)
_PROGRAMS = _programs("init_params", 3), _programs(BACKPROP, 2), _programs(AUTODIFF, 2)
_LATER_CALLS = *_later_calls(BACKPROP), *_later_calls(AUTODIFF)
_SMALL = "call 20-32-3, batch 64"
FIRST_CALL = Workload(f"first {_SMALL}", "call", "s", _FIRST_CALLS, (20, 32, 3), 64, full_batch=True)
PROGRAMS = _like(FIRST_CALL, f"programs of a first {_SMALL}", "call", "compiled programs", _PROGRAMS, 1, repeats=1)
EAGER_CALL = _like(FIRST_CALL, f"eager {_SMALL}", "call", "ms a call", _LATER_CALLS, 500, quick=500)
_DOOR = at_most(1.5, ONE_PASS, minus=jitted("forward"), words="check of 60,000 x 784, over numpy.sum of it")
_FORWARD = (
    _call("later", "forward", _DOOR),
    _call("later", "forward", jit=True),
    _side(ONE_PASS, "mlp_jax", "calls:pass_over_x"),
)
LARGE_X = Workload(
    "door of forward, 60,000 x 784", "call", "ms a call", _FORWARD, (784, 10), 60_000, 10, full_batch=True
)
_OVER_JAX = at_most(1.5, OF_JAX, words=f"import {OURS}, over import {OF_JAX}")
_IMPORTS = (
    _side(OURS, "commands", "processes:imports", _OVER_JAX, names=OURS),
    _side(OF_JAX, "commands", "processes:imports", names=OF_JAX),
)
IMPORT = Workload("import", "call", "s", _IMPORTS)
_OVER_STARTS = (
    at_least(1.0, SECOND, words=f"{SCRIPT}, over the {SECOND}"),
    at_least(None, FIRST, words=f"{SCRIPT}, over the {FIRST}"),
)
_COMMANDS = (
    _side(SECOND, "commands", "processes:mlp_jax_command"),
    _side(FIRST, "commands", "processes:mlp_jax_command", quick=False, first=True),
    _side(SCRIPT, "commands", "processes:pytorch_script", *_OVER_STARTS),
)
PROCESS = Workload("whole process", "process", "s", _COMMANDS, repeats=5, quick=1)

# ---- memory, and what the cost grows with


def _memory(side: Side) -> Side:
    """Return a side of training whose number is the peak memory of its whole process."""
    aims = (at_least(),) if side.name in (EAGER, SCIKIT_LEARN, STEPS) else ()
    options = {"function": side.function, "of": side.options}
    return replace(side, function="memory:peak", aims=aims, options=options, fresh=True)


def _memory_of(epoch: Workload) -> Workload:
    sides = (_memory(side) for side in epoch.sides if side.name not in (PRODUCTS, PLAIN, COMPILED))
    name = f"memory {_network(epoch.sizes, epoch.batch)}"
    return _like(epoch, name, "memory", "bytes", sides, epoch.steps // 4, repeats=2)


MEMORY = tuple(_memory_of(epoch) for epoch in EPOCHS)


def _width(width: int) -> Side:
    sizes = (784, width, width, 10)
    return _side(f"{width}", "mlp_jax", "ours:of_size", size=_parameters(sizes), sizes=sizes)


def _depth(depth: int, *aims: Aim) -> Side:
    sizes = (32,) * (depth + 1)
    return _side(f"{depth} layers", "compilation", "ours:compilation", *aims, size=depth, fresh=True, sizes=sizes)


_WIDTHS = tuple(_width(width) for width in (32, 64, 128, 256, 512, 1024, 2048))
WIDTH = Workload(
    "width", "growth", "s an example", _WIDTHS, (784, 32, 32, 10), 256, 16,
    growth=Growth("parameters", 1.1, 270_000, ", from width 256 on", "Time of an example"),
)  # fmt: skip
_LENGTHS = tuple(_side(f"{n} epochs", "mlp_jax", "ours:of_length", size=n, epochs=n) for n in (1, 2, 4, 8))
LENGTH = Workload(
    "epochs", "growth", "s", _LENGTHS, (784, 128, 10), 128, 120, growth=Growth("epochs", 1.1, title="Time of a run")
)
_RUNS = (_side(f"{n} runs", "devices", "ours:many", size=n, nets=n, whole=True) for n in (64, 256, 1024, 4096))
RUNS = _like(TINY, "runs", "growth", "s", _RUNS, 20, repeats=5, growth=Growth("runs", 1.1, title="Time of a sweep"))
_DEPTHS = (
    _side("784-128-10", "compilation", "ours:compilation", at_most(), fresh=True, sizes=(784, 128, 10)),
    *(_depth(depth) for depth in (2, 8, 32)),
    _depth(100, at_most(10.0, words="100 layers of width 32")),
)
COMPILATION = Workload(
    "compilation", "growth", "s", _DEPTHS, repeats=5,
    growth=Growth("layers", 1.1, 8, ", from 8 on", "Time of compilation"),
)  # fmt: skip
_MEMORIES = (_side(f"{n} epochs", "mlp_jax", "memory:of_run", size=n, epochs=n) for n in (1, 2, 4, 8))
MEMORY_OF_RUN = _like(
    LENGTH, "memory of a run", "growth", "bytes", _MEMORIES, 8, repeats=1, growth=Growth("epochs", 0.05)
)

WORKLOADS = (
    *(MACHINE, *EPOCHS, TINY, *SWEEPS, *GRADIENTS, *TRAININGS, *DERIVATIVES, NORMS, *LOSSES, FIRST_CALL, PROGRAMS),
    *(EAGER_CALL, LARGE_X, IMPORT, PROCESS, *MEMORY, WIDTH, LENGTH, RUNS, COMPILATION, MEMORY_OF_RUN),
)
