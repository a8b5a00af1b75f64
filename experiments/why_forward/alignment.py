"""Random weights in the backward pass, next to backprop.

Backprop, feedback alignment, direct feedback alignment and, so that "it trains" says something, the last layer alone on
random features. tanh networks, momentum 0.9, constant learning rate: for each rule the rate with the lowest mean
validation error after all epochs. Random matrices are as long as the weights at first, since a longer one is a larger
learning rate. The angle is that between the rule's dW_l and the true one, 90 degrees being useless.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

import mlp_jax
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference, exact, mean
from experiments.runs_at_once import over_runs
from experiments.tasks import Dataset, mnist_or_reason
from experiments.why_forward.feedback import (
    BP,
    DFA,
    FA,
    LAST,
    RULES,
    Feedback,
    angle_of,
    feedback_for,
    gradient_by,
    products,
)
from experiments.why_forward.networks import errors, initial, is_right, keys, shared_by_runs
from mlp_jax import Params, backprop, datasets

FORMULA = (
    r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \qquad "
    r"\text{FA: } (\delta_{l+1} B_{l+1}) * \varphi'(z_l), \qquad \text{DFA: } (\delta_L B_l) * \varphi'(z_l)"
)
DATA = ("digits", "MNIST")
RANDOM = (FA, DFA)
ROUNDING = 1e-14
EXAMPLES = 500  # of the training data, for the angles


@dataclass(frozen=True)
class Training:
    """The rule and the learning rate are varied, the rest is held fixed."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    seeds: int
    tuned_on: int  # seeds at every learning rate; then all at the best
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    examples: int | None = None  # of the training data; a multiple of the batches compiles faster


@dataclass(frozen=True)
class Config:
    """A training on each data set."""

    digits: Training = Training(hidden=(100, 100, 100), epochs=30, batch_size=32, seeds=20, tuned_on=20)
    mnist: Training | None = Training(hidden=(256, 256), epochs=8, batch_size=128, seeds=5, tuned_on=1)


FULL = Config()
QUICK = Config(
    Training((32, 32), epochs=20, batch_size=96, seeds=4, tuned_on=4, rates=(0.1,), examples=1248), mnist=None
)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Check the hand-written rules, then train with each on digits and on MNIST.

    Returns:
      "one hidden layer" and "weights as feedback", relative differences, and what `trained` returns for each data set,
      such as "digits test".
    """
    of_checks, of_digits, of_mnist = keys(key, 3)
    arrays: dict[str, Any] = {"rule": np.array(RULES), **differences(of_checks)}
    arrays |= {f"digits {name}": a for name, a in trained(config.digits, of_digits, datasets.load_digits()).items()}
    progress(0.25)
    mnist, reason = mnist_or_reason(config.mnist is not None)
    if mnist is None or config.mnist is None:
        return arrays | {f"MNIST {name}": NotMeasured(reason) for name in ("tuning", "rate", *SCORES)}
    return arrays | {f"MNIST {name}": a for name, a in trained(config.mnist, of_mnist, mnist).items()}


SETTING = (
    "the learning rate with the lowest validation error; data set, network and training as in the configuration; "
    "random matrices as long as the weights at first"
)


@at_most(
    ROUNDING,
    "With one hidden layer feedback alignment and direct feedback alignment are the same.",
    source="derived: delta_2 is delta_L",
    how="relative L2 difference of the updates, float64, 64-20-10",
    must=True,
)
def one_hidden_layer(n: Numbers) -> Statistic:
    return exact(n["one hidden layer"])


@at_most(
    ROUNDING,
    "With the weights in place of the random matrices the backward pass is backprop.",
    source="derived: the chain rule",
    how="relative L2 difference to mlp_jax.backprop, float64, 64-20-20-10",
    must=True,
)
def weights_as_feedback(n: Numbers) -> Statistic:
    return exact(n["weights as feedback"])


@at_most(
    0.05,
    "Backprop learns {data}: its test error is small.",
    source="ours: multilayer perceptrons reach 2 to 3 % on both sets",
    how="test error; " + SETTING,
    data=DATA,
)
def backprop_error(n: Numbers, data: str) -> Statistic:
    return mean(_test_error(n, data, BP))


@at_most(
    0.1,
    "On {data} {rule} learns too.",
    source="Lillicrap et al. (2016), Nøkland (2016): it trains; chance is an error of 0.9",
    how="test error; " + SETTING,
    data=DATA,
    rule=RANDOM,
)
def error(n: Numbers, data: str, rule: str) -> Statistic:
    return mean(_test_error(n, data, rule))


GAP = "test error minus backprop's, paired by seed; " + SETTING


@at_most(
    0.01,
    "On digits {rule} is at most 1 point of test error behind backprop.",
    source="ours: a small gap, as papers report on MNIST",
    how=GAP,
    rule=RANDOM,
)
def gap_digits(n: Numbers, rule: str) -> Statistic:
    return difference(_test_error(n, "digits", rule), _test_error(n, "digits", BP))


@at_most(
    0.003,
    "On MNIST {rule} is at most 0.3 points of test error behind backprop.",
    source="Nøkland (2016), table 1, as quoted elsewhere and not checked: 2x800 tanh, 300 epochs of RMSprop, 1.60 % by "
    "backprop, 1.64 % by feedback alignment and 1.74 % by direct feedback alignment",
    how=GAP,
    rule=RANDOM,
)
def gap_MNIST(n: Numbers, rule: str) -> Statistic:
    return difference(_test_error(n, "MNIST", rule), _test_error(n, "MNIST", BP))


@at_least(
    0,
    "On {data} {rule} trains the layers below: it is better than the last layer alone.",
    source="Lillicrap et al. (2016): the hidden layers learn",
    how="test error of the last layer alone minus the rule's, paired by seed; " + SETTING,
    data=DATA,
    rule=RANDOM,
)
def beats_the_last_layer(n: Numbers, data: str, rule: str) -> Statistic:
    return difference(_test_error(n, data, LAST), _test_error(n, data, rule))


@at_most(
    90,
    "On {data}, in every hidden layer, the update of {rule} comes to lie within 90 degrees of the gradient.",
    source="Lillicrap et al. (2016): the weights turn towards the feedback; 90 degrees at first, useless",
    how=f"degrees after the last epoch, the worst hidden layer, on {EXAMPLES} training examples; {SETTING}",
    data=DATA,
    rule=RANDOM,
)
def angle(n: Numbers, data: str, rule: str) -> Statistic:
    return mean(n[f"{data} angles"][n.at(rule=rule), :, -1].max(axis=1))


def _test_error(n: Numbers, data: str, rule: str) -> np.ndarray:
    return n[f"{data} test"][n.at(rule=rule)]


def picture(n: Numbers) -> Figure:
    """Draw errors and angles over epochs, of MNIST if it was trained."""
    data = "digits" if "MNIST validation" in n.missing else "MNIST"
    figure, (left, right) = panels(1, 2, figsize=(7.5, 3.8))
    colors = dict(zip(RULES, ("C0", "C1", "C2", "0.5"), strict=True))
    for rule, curve in zip(RULES, 100 * n[f"{data} validation"].mean(axis=1), strict=True):
        left.plot(np.arange(1, len(curve)), curve[1:], color=colors[rule], label=rule)
    for rule, label in ((FA, "FA"), (DFA, "DFA")):
        curves = n[f"{data} angles"][n.at(rule=rule)].mean(axis=0).T
        for l, (curve, style) in enumerate(zip(curves, ("-", "--", ":"), strict=False), start=1):
            right.plot(curve, style, color=colors[rule], label=f"{label}, layer {l}")
    right.axhline(90, color="k", lw=1)
    right.annotate("useless", (1, 90), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    left.set(xlabel="epochs", ylabel="validation error, %", yscale="log", title=data)
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="epochs", ylabel="degrees", title="angle to the gradient", ylim=(None, 95))
    for axes in (left, right):
        axes.legend(fontsize=8)
    return figure


def differences(key: jax.Array) -> dict[str, float]:
    """Return how far apart both alignments are with one hidden layer, and the pass with s = 1 and backprop with two."""
    with jax.enable_x64(True):
        x, labels = (a[:32] for a in datasets.load_digits(dtype=np.float64).train)
        one, two = (initial(key, (64, *hidden, 10), mlp_jax.tanh) for hidden in ((20,), (20, 20)))
        ways = [feedback_for(rule, key, params) for rule, params in ((FA, one), (DFA, one), (BP, two))]
        by_FA, by_DFA, by_BP, true = jax.device_get(jax.jit(_updates)(ways, one, two, x, labels))
    return {"one hidden layer": _apart(by_FA, by_DFA), "weights as feedback": _apart(by_BP, true)}


def _updates(ways: list[Feedback], one: Params, two: Params, x: Any, labels: Any) -> tuple[Params, ...]:
    networks = zip(ways, (one, one, two), strict=True)
    ours = [gradient_by(way, p, x, labels, mlp_jax.tanh, mlp_jax.cross_entropy)[1] for way, p in networks]
    return (*ours, backprop(two, x, labels, mlp_jax.tanh)[1])


def _apart(actual: Params, expected: Params) -> float:
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (actual, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


SCORES = ("validation", "angles", "test")


def trained(training: Training, key: jax.Array, dataset: Dataset) -> dict[str, np.ndarray]:
    """Train with every rule at every learning rate, and all seeds at the best.

    Returns:
      The last validation error at every rate, "tuning" (rules, rates, seeds), and the best "rate" (rules,). At that
      rate "validation" errors (rules, seeds, 1 + epochs) and "angles" (rules, seeds, 1 + epochs, hidden layers) at the
      start and after every epoch, and "test" errors (rules, seeds).
    """
    shared = shared_by_runs(dataset, training.examples)
    params = initial(key, (shared[0].shape[1], *training.hidden, 10), mlp_jax.tanh, (training.seeds,))
    feedback = [feedback_for(rule, key, params) for rule in RULES]

    def at(rules: Any, rates: Any, seeds: Any) -> dict[str, np.ndarray]:
        """Return the results of runs, one per entry of the three grids."""
        of_runs = jax.tree.map(lambda *each: np.stack(each)[rules.ravel(), seeds.ravel()], *feedback)
        starts = jax.tree.map(lambda a: a[seeds.ravel()], params)
        found = over_runs(partial(_run, training), (starts, of_runs, np.float32(rates).ravel()), shared, at_once=1)
        between, right = (a.reshape(*rules.shape, *a.shape[1:]) for a in found)
        validation, test = errors(right, dataset)
        return {"validation": validation, "angles": angle_of(between).astype(np.float32), "test": test[..., -1]}

    rules, rates, seeds = np.indices((len(RULES), len(training.rates), training.tuned_on))
    found = at(rules, np.asarray(training.rates)[rates], seeds)
    tuning = found["validation"][..., -1]
    best = tuning.mean(axis=2).argmin(axis=1)
    if training.tuned_on == training.seeds:
        found = {name: a[np.arange(len(RULES)), best] for name, a in found.items()}
    else:
        rules, seeds = np.indices((len(RULES), training.seeds))
        found = at(rules, np.asarray(training.rates)[best][rules], seeds)
    return {"tuning": tuning, "rate": np.asarray(training.rates)[best], **found}


def _run(
    training: Training, params: Params, feedback: Feedback, rate: Any, x: Any, labels: Any, *held_out: Any
) -> tuple[jax.Array, jax.Array]:
    """Return what `_recorded` says of the start and after every epoch.

    Epoch 0 changes nothing: so the start is recorded by the same code, which compiles only once.
    """
    return mlp_jax.train(
        jax.random.key(0),  # without shuffling nothing is random
        params,
        (x, labels),
        optimizer=partial(_momentum, -(-len(x) // training.batch_size)),
        hyperparameters={"learning_rate": rate},
        epochs=1 + training.epochs,
        batch_size=training.batch_size,
        activation=mlp_jax.tanh,
        gradient=Partial(gradient_by, feedback),
        record=Partial(_recorded, feedback, held_out),
        shuffle=False,  # their order is random
    ).recorded


def _momentum(dry: int, learning_rate: jax.Array) -> optax.GradientTransformation:
    """Return gradient descent with momentum whose first steps do nothing."""
    return optax.chain(optax.scale_by_schedule(lambda step: step >= dry), optax.sgd(learning_rate, momentum=0.9))


def _recorded(feedback: Feedback, held_out: Any, params: Params, x: Any, labels: Any) -> tuple[jax.Array, jax.Array]:
    between = products(feedback, params, x[:EXAMPLES], labels[:EXAMPLES], mlp_jax.tanh)
    return between, is_right(params, mlp_jax.tanh, *held_out)
