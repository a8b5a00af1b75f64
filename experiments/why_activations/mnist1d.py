"""MNIST-1D in its source's own setting, with and without ReLU.

The setting of the source's executed notebook (Greydanus & Kobak, 2024): 4,000 training and 1,000 test examples of 40
numbers as drawn, not scaled; Adam at 1e-2, batches of 100 in fixed order, 6,000 steps; weights and biases uniform
within 1 / sqrt(fan_in). The network is 40-100-100-10 with a residual hidden layer: h_1 = relu(x W_1 + b_1),
h_2 = h_1 + relu(h_1 W_2 + b_2). The seed chooses the initial parameters and nothing else.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from mlp_jax import Activation, Layer, Loss, Params, datasets, relu
from mlp_jax.network import linear

FORMULA = r"h_1 = \mathrm{relu}(x W_1 + b_1), \quad h_2 = h_1 + \mathrm{relu}(h_1 W_2 + b_2), \quad z = h_2 W_3 + b_3"
CAPTION = "Test accuracy on MNIST-1D with and without ReLU, mean and range of the seeds, and the source's own run."
NETWORKS = {"regression": (40, 10), "MLP": (40, 100, 100, 10)}
NOTEBOOK = {  # test accuracy after 1,000 ... 6,000 steps in the notebook mnist1d-classification, as executed
    "regression": (0.321, 0.320, 0.316, 0.313, 0.315, 0.315),
    "MLP": (0.609, 0.647, 0.656, 0.652, 0.657, 0.651),
}


@dataclass(frozen=True)
class Config:
    """The network is varied, the rest is held fixed."""

    seeds: int = 10
    epochs: int = 150  # of 40 steps
    learning_rate: float = 1e-2


FULL = Config()
QUICK = Config(seeds=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train both networks, and hold them against the notebook and the README."""
    (x, labels), test = mnist1d_as_drawn()
    found = {}
    for i, (name, sizes) in enumerate(NETWORKS.items()):
        progress(i / len(NETWORKS))

        def run(key: jax.Array, x: Any, labels: Any, test: Any, sizes: tuple[int, ...] = sizes) -> Any:
            result = mlp_jax.train(
                key,
                uniform_params(key, sizes),
                (x, labels),
                validation=test,
                optimizer=optax.adam(config.learning_rate),
                epochs=config.epochs,
                batch_size=100,
                shuffle=False,
                gradient=residual_gradient,
                forward=residual_forward,
            )
            train_accuracy = jnp.mean(mlp_jax.predict(residual_forward(result.params, x)) == labels)
            return result.history.validation_accuracy, train_accuracy

        found[name] = over_runs(run, (jax.random.split(jax.random.fold_in(key, i), config.seeds),), (x, labels, test))
    final = {name: test_accuracy[:, -1] for name, (test_accuracy, _) in found.items()}
    notebook = "Greydanus & Kobak (2024), executed notebook mnist1d-classification, one seed"
    claims = (
        _claim("regression", "Softmax regression, without a hidden layer, is right on 31.5 % of the test set.", 0.315,
               notebook, final["regression"], "test accuracy; 0.5 points: the loss is convex, seeds hardly matter",
               0.005),
        _claim("regression train", "It is right on 37.2 % of what it was trained on: it cannot even learn it.", 0.372,
               notebook, found["regression"][1], "training accuracy; 0.3 points: it moves by as much from step to step",
               0.003),
        _claim("MLP", "With ReLU the MLP is right on 65.1 % of the test set.", 0.651, notebook, final["MLP"],
               "test accuracy; 1.5 points, about the spread of one seed", 0.015),
        _claim("MLP train", "And on all of what it was trained on.", 1, notebook, found["MLP"][1],
               "training accuracy; 0.5 points", 0.005),
        _claim("README", "Its README's 68 % is what the MLP reaches.", 0.68, "Greydanus & Kobak, README of mnist1d",
               final["MLP"], "the same runs; 1.5 points", 0.015,
               "The source contradicts itself: the notebooks in its repository print 65.1, 66.0 (pixels shuffled) and "
               "64.6 % for this network, and none of them 68."),
    )  # fmt: skip
    curves = {name: test_accuracy[:, ::3] for name, (test_accuracy, _) in found.items()}
    return Finding(claims, {"steps": [40 * (e + 1) for e in range(0, config.epochs, 3)], "accuracy": curves})


def _claim(
    name: str, statement: str, expected: float, source: str, values: np.ndarray, reason: str, tolerance: float,
    explanation: str = "",
) -> Claim:  # fmt: skip
    mean, interval = mean_and_interval(values)
    return Claim(
        name, statement, "=", expected, source, mean, f"mean over seeds of the {reason}", interval, len(values),
        tolerance, explanation,
    )  # fmt: skip


def mnist1d_as_drawn() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The source's 4,000 training and 1,000 test examples, not scaled."""
    dataset = datasets.load_mnist1d()
    parts = [dataset.train, dataset.validation, dataset.test]
    x = [tasks.as_drawn(dataset, part).astype(np.float32) for part in parts]
    labels = [part.labels for part in parts]
    return (np.concatenate(x[:2]), np.concatenate(labels[:2])), (x[2], labels[2])


def uniform_params(key: jax.Array, sizes: tuple[int, ...]) -> Params:
    """PyTorch's default: weights and biases uniform within 1 / sqrt(fan_in)."""
    keys = jax.random.split(key, (len(sizes) - 1, 2))

    def uniform(key: jax.Array, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        return jax.random.uniform(key, shape, minval=-(fan_in**-0.5), maxval=fan_in**-0.5)

    return tuple(
        Layer(uniform(of_weight, (fan_in, fan_out), fan_in), uniform(of_bias, (fan_out,), fan_in))
        for (of_weight, of_bias), fan_in, fan_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    )


def residual_forward(params: Params, x: Any, activation: Activation = relu) -> jax.Array:
    """The first hidden layer is plain, the others add to what comes in."""
    h = jnp.asarray(x)
    for i, layer in enumerate(params[:-1]):
        h = activation.value(linear(layer, h)) + (h if i else 0)
    return linear(params[-1], h)


def residual_gradient(params: Params, x: Any, targets: Any, activation: Activation, loss: Loss) -> Any:
    """The loss and its gradient, by autodiff."""
    return jax.value_and_grad(lambda params: loss(residual_forward(params, x, activation), targets))(params)


def picture(data: dict[str, Any]) -> Figure:
    """Test accuracy over steps."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    colors = {"regression": "#0072b2", "MLP": "#d55e00"}
    labels = {"regression": "softmax regression", "MLP": "MLP with ReLU, 40-100-100-10"}
    for name, color in colors.items():
        rows = 100 * np.array(data["accuracy"][name])
        axes.plot(data["steps"], rows.mean(axis=0), color=color, label=labels[name])
        axes.fill_between(data["steps"], rows.min(axis=0), rows.max(axis=0), color=color, alpha=0.2, lw=0)
        label = "the source's notebook" if name == "MLP" else None
        steps = range(1000, 7000, 1000)
        axes.plot(steps, 100 * np.array(NOTEBOOK[name]), "kx", ms=7, label=label)
    axes.axhline(68, color="grey", ls=":", label="the source's README")
    axes.set(xlabel="steps of Adam", ylabel="test accuracy, %", ylim=(0, 80))
    axes.set_title("MNIST-1D with and without a nonlinearity")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower right")
    return figure
