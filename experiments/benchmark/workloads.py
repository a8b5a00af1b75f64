"""What is measured, and on which sides: data alone."""

import dataclasses
from dataclasses import dataclass
from typing import Any

OURS = "mlp_jax"


@dataclass(frozen=True)
class Side:
    """One way of doing a workload.

    Attributes:
      name: unique in its workload.
      worker: the kind of process that it works in; sides of one kind share a process.
      function: module:function in `sides`, which prepares the task.
      options: keyword arguments of that function.
      fresh: whether every repeat takes a new process.
      quick: whether a quick run has it.
    """

    name: str
    worker: str
    function: str
    options: tuple[tuple[str, Any], ...] = ()
    fresh: bool = False
    quick: bool = True


@dataclass(frozen=True)
class Workload:
    """One thing to do, in several ways.

    Attributes:
      name: unique, and what `--only` takes.
      unit: what the numbers are: "s an epoch", say. Less is better.
      sides: the first is ours.
      sizes, activation: of the network; no sizes where there is none.
      batch, steps: examples a step, and steps of one repeat.
      full_batch: whether the batch is all the examples.
      nets: networks at once.
      repeats: at most, in a full run.
      quick: what a quick run changes; None leaves the workload out.
    """

    name: str
    unit: str
    sides: tuple[Side, ...]
    sizes: tuple[int, ...] = ()
    activation: str = "relu"
    batch: int = 0
    steps: int = 1
    full_batch: bool = False
    nets: int = 1
    repeats: int = 7
    quick: tuple[tuple[str, Any], ...] | None = ()

    @property
    def examples(self) -> int:
        """How many the data set has: whole batches, so that no side compiles a second shape."""
        return self.batch if self.full_batch else self.steps * self.batch

    @property
    def settings(self) -> dict[str, Any]:
        """What is worth recording beside the numbers."""
        names = ("unit", "sizes", "activation", "batch", "steps", "examples", "nets")
        return {name: getattr(self, name) for name in names}


def chosen(quick: bool, only: tuple[str, ...] = ()) -> tuple[Workload, ...]:
    """Return the workloads of a run: all, or those whose names begin with one of `only`."""
    workloads = [w for w in WORKLOADS if not only or any(w.name.startswith(name) for name in only)]
    return tuple(quickened(w) for w in workloads if w.quick is not None) if quick else tuple(workloads)


def quickened(workload: Workload) -> Workload:
    """Return a workload as a quick run has it."""
    sides = tuple(side for side in workload.sides if side.quick)
    return dataclasses.replace(workload, sides=sides, **dict(workload.quick or ()))


# ---- the workloads

PRODUCTS = "its matrix products alone"
EAGER, PLAIN, COMPILED = "PyTorch eager", "PyTorch eager, plain Adam", "PyTorch compiled"
STEPS = "per-step jit"
BACKPROP, AUTODIFF = "backprop", "autodiff"
BY_HAND, BY_GRAD, OPTAX = "by hand", "jax.grad of ours", "optax"
ONE_GRADIENT, VMAPPED = "one gradient", "vmapped gradients"
ENSEMBLE, ENSEMBLE_COMPILED = "torch.func", "torch.func compiled"
ALONE, ALONE_EAGER = "one after another", "PyTorch eager, one by one"
ONE_DEVICE, MANY_STEPS = "on one device", "vmap of the per-step loop"

PEERS = (
    Side(OURS, "mlp_jax", "ours:training"),
    Side(EAGER, "pytorch", "pytorch:training"),
    Side(PLAIN, "pytorch", "pytorch:training", (("adam", "plain"),), quick=False),
    Side(COMPILED, "pytorch", "pytorch:training", (("compiled", True),), quick=False),
    Side("scikit-learn", "scikit-learn", "scikit_learn:training"),
    Side(STEPS, "optax", "per_step:with_optax"),
    Side("equinox", "equinox", "per_step:with_equinox"),
    Side("flax", "flax", "per_step:with_flax"),
)
ALONE_PRODUCTS = Side(PRODUCTS, "mlp_jax", "limits:matrix_products")
NETS = (  # sizes, batch, steps of a repeat (a quarter or half of an epoch), of a quick one
    ((784, 128, 10), 32, 900, 300),
    ((784, 128, 10), 128, 240, 120),
    ((784, 512, 512, 10), 128, 120, 40),
    ((784, 1024, 1024, 10), 512, 30, 10),
)


def written(sizes: tuple[int, ...]) -> str:
    """Name a network: 784-128-10."""
    return "-".join(map(str, sizes))


EPOCHS = tuple(
    Workload(
        f"epoch {written(sizes)}, batch {batch}",
        "s an epoch",
        (*PEERS, ALONE_PRODUCTS),
        sizes,
        batch=batch,
        steps=steps,
        quick=(("steps", quick),),
    )
    for sizes, batch, steps, quick in NETS
)
TINY = Workload(
    "steps 2-32-32-2",
    "s a step",
    (*(side for side in PEERS if side.name != "scikit-learn"), ALONE_PRODUCTS),
    (2, 32, 32, 2),
    "tanh",
    batch=256,
    steps=1500,
    full_batch=True,
    quick=(("steps", 500),),
)


def _many(nets: int, steps: int, quick: tuple[tuple[str, Any], ...] | None) -> Workload:
    """4,096 networks only on the sides that are fast enough."""
    sides = (
        Side(OURS, "devices", "ours:many"),
        Side(ONE_DEVICE, "mlp_jax", "ours:many", (("one_device", True),)),
        Side(MANY_STEPS, "optax", "per_step:many"),
        Side(ALONE, "mlp_jax", "ours:one_by_one", (("nets", 4), ("steps", 1000))),
        Side(ALONE_EAGER, "pytorch", "pytorch:one_by_one", (("nets", 2), ("steps", 400))),
        Side(ENSEMBLE, "pytorch", "pytorch_ensemble:many"),
        Side(ENSEMBLE_COMPILED, "pytorch", "pytorch_ensemble:many", (("compiled", True),)),
    )
    return Workload(
        f"{nets} nets at once",
        "s a step of one net",
        sides if nets <= 1024 else sides[:3],
        (2, 32, 32, 2),
        "tanh",
        batch=256,
        steps=steps,
        full_batch=True,
        nets=nets,
        quick=quick,
    )


MANY = (_many(64, 300, (("steps", 60),)), _many(1024, 30, None), _many(4096, 10, None))
_DIFFERENTIATED = (  # sizes, batch, steps, activation
    *((sizes, batch, steps // 3, phi) for sizes, batch, steps, _ in NETS for phi in ("relu", "tanh", "sigmoid")),
    ((2, 32, 32, 2), 256, 1000, "tanh"),
)


def _by_hand_and_not(what: str, unit: str, function: str) -> tuple[Workload, ...]:
    """Both gradients in one process, on every network and activation; a quick run has the gradients alone."""
    sides = tuple(Side(name, "mlp_jax", function, (("name", name),)) for name in (BACKPROP, AUTODIFF))
    return tuple(
        Workload(
            f"{what} {written(sizes)} {phi}, batch {batch}",
            unit,
            sides,
            sizes,
            phi,
            batch=batch,
            steps=steps,
            full_batch=sizes[0] == 2,
            quick=(("steps", steps // 2),) if what == "gradient" and (phi == "relu" or sizes[0] == 2) else None,
        )
        for sizes, batch, steps, phi in _DIFFERENTIATED
    )


GRADIENTS = _by_hand_and_not("gradient", "s a gradient", "gradients:alone")
TRAININGS = _by_hand_and_not("training", "s a step", "gradients:in_training")
_NARROW, _WIDE, _LOGITS = (NETS[0][0], 32), (NETS[2][0], 128), ((10, 10), 1024)  # sizes, batch
_DERIVATIVES = (  # function, sizes and batch, calls of a repeat
    ("logits_jvp", _WIDE, 50),
    ("logits_vjp", _WIDE, 50),
    ("logits_jacobian", _NARROW, 3),  # 32 x 10 x 101,770 numbers
    ("logits_input_jacobian", _WIDE, 10),
    ("softmax_jacobian", _LOGITS, 400),
    ("input_gradient", _WIDE, 80),
    ("per_example_gradients", _NARROW, 50),
    ("hessian_vector_product", _WIDE, 30),
    ("gauss_newton_vector_product", _WIDE, 40),
    ("fisher_vector_product", _WIDE, 40),
)


def _derivative(function: str, by: str, name: str = "", **options: Any) -> Side:
    return Side(name or by, "mlp_jax", "gradients:derivative", (("name", function), ("by", by), *options.items()))


_ONE_GRADIENT = Side(ONE_GRADIENT, "mlp_jax", "gradients:one_gradient")
DERIVATIVES = tuple(
    Workload(
        f"derivative {name} " + (f"{batch} x 10" if sizes == _LOGITS[0] else f"{written(sizes)}, batch {batch}"),
        "s a call",
        (_derivative(name, BY_HAND), _derivative(name, AUTODIFF), *((_ONE_GRADIENT,) if "hessian" in name else ())),
        sizes,
        batch=batch,
        steps=calls,
        full_batch=True,
        quick=(("steps", calls // 2),) if "hessian" in name else None,
    )
    for name, (sizes, batch), calls in _DERIVATIVES
)
NORMS = dataclasses.replace(
    DERIVATIVES[0],
    name=f"per-example norms {written(_WIDE[0])}, batch 1024",
    sides=(
        _derivative("per_example_gradient_norms", BY_HAND),
        _derivative("per_example_gradient_norms", AUTODIFF, VMAPPED, calls=1),  # 1,024 x 669,706 numbers
        _ONE_GRADIENT,
    ),
    batch=1024,
    steps=12,
)
LOSSES = tuple(
    Workload(
        f"cross-entropy {batch} x {classes}",
        "s a value and gradient",
        tuple(Side(name, "mlp_jax", "gradients:of_loss", (("name", name),)) for name in (BY_HAND, BY_GRAD, OPTAX)),
        (classes, classes),
        batch=batch,
        steps=500,
        full_batch=True,
        quick=(("steps", 200),),
    )
    for batch, classes in ((8192, 10), (1024, 1000))
)
COMPILATION = Workload(
    "compilation",
    "s",
    tuple(
        Side(name, "compilation", "ours:compilation", (("sizes", sizes),), fresh=True, quick=name != "100 layers")
        for name, sizes in (
            ("784-128-10", (784, 128, 10)),
            *((f"{depth} layers", (32,) * (depth + 1)) for depth in (2, 8, 32, 100)),
        )
    ),
    repeats=5,
    quick=None,
)
JITTED = "jax.jit({})"


def _call(function: str, name: str, jitted: bool = False, **options: Any) -> Side:
    """A side of a process without a cache on disk, new for a first call, and else the same as the others'."""
    first = function == "first"
    options |= {"name": name, "jitted": jitted}
    written = JITTED.format(name) if jitted else name
    return Side(written, "compilation" if first else "mlp_jax", f"calls:{function}", (*options.items(),), fresh=first)


FIRST_CALL = Workload(
    "first call 20-32-3, batch 64",
    "s",
    (*(_call("first", name) for name in ("init_params", BACKPROP, AUTODIFF)), _call("first", BACKPROP, jitted=True)),
    (20, 32, 3),
    batch=64,
    full_batch=True,
    quick=None,
)
PROGRAMS = dataclasses.replace(
    FIRST_CALL,
    name="programs of a first call 20-32-3, batch 64",
    unit="compiled programs",
    sides=tuple(_call("first", name, count=True) for name in ("init_params", BACKPROP, AUTODIFF)),
    repeats=1,
)
EAGER_CALL = Workload(
    "eager call 20-32-3, batch 64",
    "ms a call",
    tuple(_call("later", name, jitted) for name in (BACKPROP, AUTODIFF) for jitted in (False, True)),
    (20, 32, 3),
    batch=64,
    steps=500,
    full_batch=True,
)
ONE_PASS = "numpy.sum of x"
LARGE_X = Workload(
    "door of forward, 60,000 x 784",
    "ms a call",
    (*(_call("later", "forward", jitted) for jitted in (False, True)), Side(ONE_PASS, "mlp_jax", "calls:pass_over_x")),
    (784, 10),
    batch=60_000,
    steps=10,
    full_batch=True,
    quick=None,
)
OF_JAX = "jax, optax"
IMPORT = Workload(
    "import",
    "s",
    tuple(Side(name, "commands", "processes:imports", (("names", name),)) for name in (OURS, OF_JAX)),
    quick=None,
)
FIRST, SECOND, SCRIPT = "first start", "second start", "PyTorch script"
PROCESS = Workload(
    "whole process",
    "s",
    (
        Side(SECOND, "commands", "processes:mlp_jax_command"),
        Side(FIRST, "commands", "processes:mlp_jax_command", (("first", True),), quick=False),
        Side(SCRIPT, "commands", "processes:pytorch_script"),
    ),
    repeats=5,
)
MEMORY = tuple(
    dataclasses.replace(
        workload,
        name=workload.name.replace("epoch", "memory"),
        unit="bytes",
        sides=tuple(
            dataclasses.replace(
                side, function="memory:peak", options=(("function", side.function), ("of", side.options)), fresh=True
            )
            for side in workload.sides
            if side.name not in (PRODUCTS, PLAIN, COMPILED)
        ),
        steps=workload.steps // 4,
        repeats=2,
        quick=None,
    )
    for workload in EPOCHS
)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048)
SCALING = (
    Workload(
        "width",
        "s an example",
        tuple(Side(f"{w}", "mlp_jax", "ours:of_size", (("sizes", (784, w, w, 10)),)) for w in WIDTHS),
        (784, 32, 32, 10),
        batch=256,
        steps=16,
        quick=None,
    ),
    Workload(
        "epochs",
        "s",
        tuple(Side(f"{n} epochs", "mlp_jax", "ours:of_length", (("epochs", n),)) for n in (1, 2, 4, 8)),
        (784, 128, 10),
        batch=128,
        steps=120,
        quick=None,
    ),
    Workload(
        "runs",
        "s",
        tuple(Side(f"{n} runs", "devices", "ours:many", (("nets", n), ("whole", True))) for n in (64, 256, 1024, 4096)),
        (2, 32, 32, 2),
        "tanh",
        batch=256,
        steps=20,
        full_batch=True,
        repeats=5,
        quick=None,
    ),
    Workload(
        "memory of a run",
        "bytes",
        tuple(Side(f"{n} epochs", "mlp_jax", "memory:of_run", (("epochs", n),)) for n in (1, 2, 4, 8)),
        (784, 128, 10),
        batch=128,
        steps=8,
        repeats=1,
        quick=None,
    ),
)
MACHINE = Workload(
    "machine",
    "s",
    (Side("matrix product", "mlp_jax", "limits:peak"), Side("triad", "mlp_jax", "limits:bandwidth")),
)
WORKLOADS = (
    *(MACHINE, *EPOCHS, TINY, *MANY, *GRADIENTS, *TRAININGS, *DERIVATIVES, NORMS, *LOSSES),
    *(COMPILATION, FIRST_CALL, PROGRAMS, EAGER_CALL, LARGE_X, IMPORT, PROCESS, *MEMORY, *SCALING),
)
