"""Random weights in the backward pass: feedback alignment against backprop, and with what angle it learns.

Backprop (BP), feedback alignment (FA), direct feedback alignment (DFA) and, so that "it trains" says something, the
last layer alone on random features. tanh networks, momentum 0.9, constant learning rate: for each rule the rate with
the lowest mean validation error after all epochs. Random matrices are as long as the weights at first, since a longer
one is a larger learning rate. The angle is that between the rule's dW_l and the true one, 90 degrees being useless.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.tasks import Dataset, mnist_or_reason
from experiments.why_forward.feedback import RULES, Feedback, angles, feedback_for, gradient_by
from experiments.why_forward.networks import initial
from mlp_jax import Params, backprop, datasets

FORMULA = (
    r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \qquad "
    r"\text{FA: } (\delta_{l+1} B_{l+1}) * \varphi'(z_l), \qquad \text{DFA: } (\delta_L B_l) * \varphi'(z_l)"
)
CAPTION = (
    "Learning with fixed random weights on the way back. Left, the validation error; right, the angle between each "
    "rule's update and the gradient in every hidden layer."
)
NAMES = {"BP": "backprop", "FA": "feedback alignment", "DFA": "direct feedback alignment", "last": "last layer alone"}
COLORS = {"BP": "tab:blue", "FA": "tab:orange", "DFA": "tab:green", "last": "0.5"}
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


@dataclass(frozen=True)
class Config:
    """A training on each data set."""

    digits: Training = Training(hidden=(100, 100, 100), epochs=30, batch_size=32, seeds=20, tuned_on=20)
    mnist: Training | None = Training(hidden=(256, 256), epochs=8, batch_size=128, seeds=5, tuned_on=1)


FULL = Config()
QUICK = Config(Training(hidden=(32, 32), epochs=8, batch_size=32, seeds=4, tuned_on=4, rates=(0.03,)), mnist=None)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Check the hand-written rules, then train with each on digits and on MNIST."""
    of_checks, of_digits, of_mnist = jax.random.split(key, 3)
    data: dict[str, Any] = {"digits": trained(config.digits, of_digits, datasets.load_digits())}
    progress(0.25)
    mnist, reason = mnist_or_reason(config.mnist is not None)
    if mnist is not None and config.mnist is not None:
        data["mnist"] = trained(config.mnist, of_mnist, mnist)
    claims = [
        *exact_claims(of_checks),
        *_claims("digits", config.digits, data["digits"], ""),
        *_claims("mnist", config.mnist or FULL.mnist or config.digits, data.get("mnist"), reason),
    ]
    return Finding(tuple(claims), data)


# ---- the rules themselves


def exact_claims(key: jax.Array) -> list[Claim]:
    """With one hidden layer both alignments are one; and with s = 1 the pass is backprop."""
    with jax.enable_x64(True):
        x, labels = (a[:32] for a in datasets.load_digits(dtype=np.float64).train)
        one, three = (initial(key, (64, *hidden, 10), mlp_jax.tanh) for hidden in ((20,), (20, 20, 20)))
        drawn = [feedback_for("FA", key, one), feedback_for("DFA", key, one), feedback_for("BP", key, three)]
        FA, DFA, BP, true = jax.jit(_gradients)(drawn, one, three, x, labels)
        apart, off = _difference(FA, DFA), _difference(BP, true)
    return [
        Claim(
            "one hidden layer",
            "With one hidden layer feedback alignment and direct feedback alignment are the same.",
            "<=",
            1e-14,
            "derived: delta_2 is delta_L",
            apart,
            "relative L2 difference of the updates, float64, 64-20-10",
            exact=True,
        ),
        Claim(
            "weights as feedback",
            "With the weights in place of the random matrices the backward pass is backprop.",
            "<=",
            1e-14,
            "derived: the chain rule",
            off,
            "relative L2 difference to mlp_jax.backprop, float64, 64-20-20-20-10",
            exact=True,
        ),
    ]


def _gradients(drawn: list[Feedback], one: Params, three: Params, x: Any, labels: Any) -> tuple[Params, ...]:
    """The updates by FA and DFA with one hidden layer, by BP with three, and there the gradient."""
    networks = zip(drawn, (one, one, three), strict=True)
    ours = [gradient_by(feedback, p, x, labels, mlp_jax.tanh, mlp_jax.cross_entropy)[1] for feedback, p in networks]
    return (*ours, backprop(three, x, labels, mlp_jax.tanh)[1])


def _difference(actual: Params, expected: Params) -> float:
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (actual, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


# ---- trainings


def trained(training: Training, key: jax.Array, dataset: Dataset) -> dict[str, Any]:
    """Train with every rule at its best learning rate: errors and angles, seeds first."""
    shared = tuple(tuple(split) for split in (dataset.train, dataset.validation, dataset.test))
    params = initial(key, (shared[0][0].shape[1], *training.hidden, 10), mlp_jax.tanh, (training.seeds,))
    feedback = [feedback_for(rule, key, params) for rule in RULES]

    def at(rules: Any, rates: Any, seeds: Any) -> dict[str, np.ndarray]:
        """Results of runs, one an entry of the three grids."""
        of_runs = jax.tree.map(lambda *each: np.stack(each)[rules.ravel(), seeds.ravel()], *feedback)
        starts = jax.tree.map(lambda a: a[seeds.ravel()], params)
        keys = jax.random.split(key, training.seeds)[seeds.ravel()]
        found = over_runs(partial(_run, training), (keys, starts, of_runs, np.float32(rates).ravel()), shared)
        return {name: a.reshape(*rules.shape, *a.shape[1:]) for name, a in found.items()}

    rules, rates, seeds = np.indices((len(RULES), len(training.rates), training.tuned_on))
    found = at(rules, np.asarray(training.rates)[rates], seeds)
    scores = found["validation"][..., -1].mean(axis=2)
    best = scores.argmin(axis=1)
    if training.tuned_on == training.seeds:
        found = {name: a[np.arange(len(RULES)), best] for name, a in found.items()}
    else:
        rules, seeds = np.indices((len(RULES), training.seeds))
        found = at(rules, np.asarray(training.rates)[best][rules], seeds)
    return {
        rule: {
            "rate": training.rates[best[i]],
            "scores": scores[i],
            "validation": found["validation"][i].mean(axis=0),
            "angles": found["angles"][i].mean(axis=0),
            "test": found["test"][i],
            "train loss": found["train loss"][i],
            "last angles": found["angles"][i][:, -1],
        }
        for i, rule in enumerate(RULES)
    }


def _run(
    training: Training, key: Any, params: Params, feedback: Feedback, rate: Any, train: Any, validation: Any, test: Any
) -> dict[str, jax.Array]:
    result: Any = mlp_jax.train(
        key,
        params,
        train,
        validation,
        optimizer=partial(optax.sgd, momentum=0.9),
        hyperparameters={"learning_rate": rate},
        epochs=training.epochs,
        batch_size=training.batch_size,
        activation=mlp_jax.tanh,
        gradient=Partial(gradient_by, feedback),
        record=Partial(_angles, feedback),
        shuffle=False,  # their order is random
    )
    start = _angles(feedback, params, *train)
    return {
        "validation": 1 - result.history.validation_accuracy,
        "train loss": result.history.train_loss[-1],
        "angles": jnp.concatenate([start[None], result.recorded]),
        "test": 1 - mlp_jax.evaluate(result.params, test[0], test[1], mlp_jax.tanh).accuracy,
    }


def _angles(feedback: Feedback, params: Params, x: Any, targets: Any) -> jax.Array:
    return angles(feedback, params, x[:EXAMPLES], targets[:EXAMPLES], mlp_jax.tanh)


# ---- claims


def _claims(name: str, training: Training, found: dict[str, Any] | None, reason: str) -> list[Claim]:
    """What is claimed of one data set; not run, for a reason, where there are no trainings."""
    sizes = "-".join(map(str, (64 if name == "digits" else 784, *training.hidden, 10)))
    rates = ", ".join(f"{rule} {result['rate']:g}" for rule, result in (found or {}).items())
    setting = (
        f"{sizes} tanh, {training.epochs} epochs in batches of {training.batch_size}, momentum 0.9, learning rates "
        f"{rates}, each the best of {training.rates} by validation error on {training.tuned_on} seed(s)"
    )
    lengths = "as long as the weights at first"

    def claim(label: str, statement: str, relation: Any, expected: float, source: str, values: Any, how: str) -> Claim:
        measured, interval = mean_and_interval(values) if found else (None, None)
        seeds = training.seeds
        return Claim(
            f"{name} {label}", statement, relation, expected, source, measured, f"{how}; {setting}", interval, seeds,
            explanation=reason,
        )  # fmt: skip

    data = {"digits": "digits", "mnist": "MNIST"}[name]
    published = {"FA": "1.64", "DFA": "1.74"}
    small = {"digits": 0.01, "mnist": 0.003}[name]
    test = {rule: result["test"] for rule, result in found.items()} if found else dict.fromkeys(RULES, np.zeros(2))
    claims = [
        claim(
            "BP error",
            f"Backprop learns {data}: its test error is small.",
            "<=",
            0.05,
            "ours: multilayer perceptrons reach 2 to 3 % on both sets",
            test["BP"],
            "mean test error",
        )
    ]
    for rule in ("FA", "DFA"):
        angle = np.max(found[rule]["last angles"][:, :-1], axis=1) if found else None
        claims += [
            claim(
                f"{rule} error",
                f"{NAMES[rule].capitalize()} learns {data} too.",
                "<=",
                0.1,
                "Lillicrap et al. (2016), Nøkland (2016): it trains; chance is an error of 0.9",
                test[rule],
                f"mean test error, random matrices {lengths}",
            ),
            claim(
                f"{rule} gap",
                f"On {data} {NAMES[rule]} is at most {100 * small:g} points of test error behind backprop.",
                "<=",
                small,
                "ours: a small gap, as papers report on MNIST"
                if name == "digits"
                else "Nøkland (2016), table 1, as quoted elsewhere and not checked: 2x800 tanh, 300 epochs of RMSprop, "
                f"1.60 % by backprop and {published[rule]} %",
                test[rule] - test["BP"],
                f"test error minus backprop's, paired by seed; random matrices {lengths}",
            ),
            claim(
                f"{rule} beats the last layer",
                f"{NAMES[rule].capitalize()} trains the layers below: it is better than the last layer alone.",
                ">=",
                0.0,
                "Lillicrap et al. (2016): the hidden layers learn",
                test["last"] - test[rule],
                "test error of the last layer alone minus the rule's, paired by seed",
            ),
            claim(
                f"{rule} angle",
                f"In every hidden layer the update of {NAMES[rule]} comes to lie within 90 degrees of the gradient.",
                "<=",
                90.0,
                "Lillicrap et al. (2016): the weights turn towards the feedback; 90 degrees at first, useless",
                angle,
                f"degrees after the last epoch, the worst hidden layer, on {EXAMPLES} training examples",
            ),
        ]
    return claims


def picture(data: dict[str, Any]) -> Figure:
    """Errors and angles over epochs, of MNIST where it was trained."""
    name = "mnist" if "mnist" in data else "digits"
    found = data[name]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.8), layout="constrained")
    for rule, result in found.items():
        errors = 100 * np.asarray(result["validation"])
        left.plot(np.arange(1, len(errors) + 1), errors, color=COLORS[rule], label=NAMES[rule])
        if rule in ("FA", "DFA"):
            angles = np.asarray(result["angles"])[:, :-1]
            for l, (curve, style) in enumerate(zip(angles.T, ("-", "--", ":"), strict=False), start=1):
                right.plot(curve, style, color=COLORS[rule], label=f"{rule}, layer {l}")
    right.axhline(90, color="k", lw=1)
    right.annotate("useless", (1, 90), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    left.set(
        xlabel="epochs", ylabel="validation error, %", yscale="log", title="MNIST" if name == "mnist" else "digits"
    )
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="epochs", ylabel="degrees", title="angle to the gradient", ylim=(None, 95))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure
