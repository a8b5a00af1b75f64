r"""Whether training finds the exact weights: sawtooths of 2^k pieces, by depth, at about equally many parameters.

Networks of 1, 2, 4 and 8 hidden layers with 414 to 451 parameters, each wide enough to represent every one of these
sawtooths; those weights are written down and evaluated. 512 points x = (i + 1/2) / 512, given to the network as z = 2 x
- 1, in full batches; Adam at 3e-3 with cosine decay to 0, He's initialisation, biases from U(+-1 / sqrt(fan_in)). A run
succeeds where its mean squared error is below 0.03^2; the constant 1/2 has 1/12 = 0.289^2. The deepest network is also
started near the exact weights for the most pieces, each multiplied by 1 + 1e-3 e, e standard normal, and trained in the
same way; and once more at a rate of 1e-5, since Adam's first steps move every weight by the whole rate, and 3e-3 is
more than the distance to the exact weights.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.intervals import median_and_interval, share_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.why_depth.exact_nets import on_symmetric_inputs, sawtooth_net
from experiments.why_depth.trainings import adam_to_zero, near, random_start
from mlp_jax import Params

FORMULA = r"\int_0^1 \left(g^{(k)}(x) - \tfrac{1}{2}\right)^2 \mathrm{d}x = \tfrac{1}{12}"
CAPTION = "Runs that find a sawtooth, by depth and number of pieces. Weights without any error exist in every cell."
WIDTHS = {1: 150, 2: 19, 4: 11, 8: 7}  # by depth: 451, 438, 430 and 414 parameters
SUCCESS = 0.03**2  # mean squared error


@dataclass(frozen=True)
class Config:
    """The depth and the pieces are varied, the number of parameters is held about fixed."""

    depths: tuple[int, ...] = tuple(WIDTHS)  # hidden layers
    ks: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    seeds: int = 20
    steps: int = 6000
    points: int = 512
    learning_rate: float = 3e-3
    small_rate: float = 1e-5  # for starts near the exact weights
    perturbation: float = 1e-3  # relative


FULL = Config()
QUICK = Config(depths=(4,), ks=(1, 6), seeds=5, steps=600)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Evaluate the exact weights, and train every seed and every k of one depth as one program."""
    x = (jnp.arange(config.points)[:, None] + 0.5) / config.points
    train = partial(_error_after_training, optimizer=partial(adam_to_zero, config.steps), steps=config.steps)
    exact = [[_error(exact_weights(depth, k), 2.0**k, x) for k in config.ks] for depth in config.depths]
    errors = []
    for i, depth in enumerate(config.depths):
        progress(i / len(config.depths))
        errors.append(over_runs(train, _runs(config, jax.random.fold_in(key, depth), depth), (x,)))
    stayed, stayed_small = errors[-1][len(config.ks) * config.seeds :].reshape(2, -1)  # the deepest network's last runs
    mse = np.array([e[: len(config.ks) * config.seeds].reshape(len(config.ks), config.seeds) for e in errors])
    shares = [[share_and_interval(runs < SUCCESS) for runs in of_depth] for of_depth in mse]
    data = {
        "depths": list(config.depths),
        "pieces": [2**k for k in config.ks],
        "seeds": config.seeds,
        "found": (mse < SUCCESS).sum(axis=2),
        "shares": [[share for share, _ in row] for row in shares],
        "intervals": [[interval for _, interval in row] for row in shares],
        "median mse": np.median(mse, axis=2),
        "best mse": mse.min(axis=2),
        "near": np.sort(stayed),
        "near, small rate": np.sort(stayed_small),
        "exact": exact,
    }
    return Finding(_claims(config, mse, stayed, stayed_small, exact), data)


def _claims(
    config: Config, mse: np.ndarray, stayed: np.ndarray, stayed_small: np.ndarray, exact: list[list[float]]
) -> tuple[Claim, ...]:
    depths, seeds = len(config.depths), len(config.depths) * config.seeds
    nets = f"{depths} depth{'s' * (depths > 1)} of {config.seeds} seeds each, {config.steps} steps"
    claims = []
    for k in (5, 6):
        if k in config.ks:
            share, interval = share_and_interval(mse[:, config.ks.index(k)].ravel() < SUCCESS)
            claims.append(
                Claim(
                    f"found {2**k}",
                    f"No run finds the sawtooth of {2**k} pieces, at any depth.",
                    "<=",
                    0,
                    "expected after Malach & Shalev-Shwartz (2019): gradient descent fails on fine fractals",
                    share,
                    f"share of runs with a root mean squared error below 0.03; {nets}",
                    interval,
                    seeds,
                )
            )
    easiest = mse[:, 0].ravel()
    share, interval = share_and_interval(easiest < SUCCESS)
    claims.append(
        Claim(
            "found 2",
            "The sawtooth of 2 pieces is found by nearly all runs: the same training does work.",
            ">=",
            0.9,
            "expected: two ReLUs are enough",
            share,
            f"share of runs with a root mean squared error below 0.03; {nets}",
            interval,
            seeds,
        )
    )
    median, interval = median_and_interval(12 * mse[:, -1].ravel())
    claims += [
        Claim(
            "plateau",
            f"At {2 ** config.ks[-1]} pieces training stays at the error of the constant 1/2, 1/12.",
            "=",
            1,
            "derived: the variance of a uniform number, 1/12, whatever k",
            median,
            f"12 times the mean squared error, median; within 10 %: little was learnt; {nets}",
            interval,
            seeds,
            tolerance=0.1,
        ),
        Claim(
            "exact weights",
            f"Yet networks of these very sizes represent every one, to {2 ** config.ks[-1]} pieces, without any error.",
            "<=",
            0,
            "derived: the product of the layers' pieces, with dyadic weights (Telgarsky, 2015)",
            float(np.max(exact)),
            f"mean squared error of the written weights in float32, the worst of {depths * len(config.ks)}",
            exact=True,
        ),
        Claim(
            "near exact weights",
            f"Started within 1e-3 of the exact weights for {2 ** config.ks[-1]} pieces, the same training stays there.",
            "<=",
            SUCCESS,
            "the same bound that counts as success",
            float(stayed.max()),
            f"mean squared error after training, {config.depths[-1]} layers, the worst of {config.seeds} runs",
            seeds=config.seeds,
            explanation=f"Adam's first steps move every weight by the whole rate, {config.learning_rate:g}, more "
            f"than {config.perturbation:g}, and the first step alone multiplies the error; at "
            f"{config.small_rate:g} the same starts stay (see the next claim)",
        ),
        Claim(
            "near at small steps",
            "Started there and trained with steps smaller than that distance, it stays.",
            "<=",
            SUCCESS,
            "the same bound that counts as success",
            float(stayed_small.max()),
            f"as before, with Adam at {config.small_rate:g}: a hundredth of the distance a step",
            seeds=config.seeds,
        ),
    ]
    return tuple(claims)


def exact_weights(depth: int, k: int) -> Params:
    """The sawtooth of 2^k pieces as a network of the given depth, on inputs in [-1, 1]: each layer folds its share."""
    folds = [2 ** ((k + layer) // depth) for layer in range(depth)]
    return on_symmetric_inputs(sawtooth_net(folds, WIDTHS[depth]))


def _runs(config: Config, key: jax.Array, depth: int) -> tuple[Params, jax.Array, jax.Array]:
    """Start, pieces and rate of every run: all k and seeds, and for the deepest network those near its weights."""
    of_random, of_near = jax.random.split(key)
    pieces = jnp.repeat(2.0 ** jnp.array(config.ks), config.seeds)
    sizes = (1, *depth * (WIDTHS[depth],), 1)
    starts = jax.vmap(partial(random_start, sizes=sizes))(jax.random.split(of_random, len(pieces)))
    rates = jnp.full(len(pieces), config.learning_rate)
    if depth != config.depths[-1]:
        return starts, pieces, rates
    exact = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), exact_weights(depth, config.ks[-1]))
    keys = jnp.tile(jax.random.split(of_near, config.seeds), 2)  # the same starts at both rates
    perturbed = jax.vmap(partial(near, params=exact, distance=config.perturbation))(keys)
    near_rates = jnp.repeat(jnp.array([config.learning_rate, config.small_rate]), config.seeds)
    return (
        jax.tree.map(lambda a, b: jnp.concatenate([a, b]), starts, perturbed),
        jnp.concatenate([pieces, jnp.full(len(near_rates), pieces[-1])]),
        jnp.concatenate([rates, near_rates]),
    )


def _error_after_training(
    params: Params, pieces: Any, learning_rate: jax.Array, x: jax.Array, optimizer: Any, steps: int
) -> jax.Array:
    result = mlp_jax.train(
        jax.random.key(0),  # full batches: nothing is random
        params,
        (2 * x - 1, tasks.sawtooth(x, pieces)),
        optimizer=optimizer,
        epochs=steps,
        batch_size=len(x),
        loss=mlp_jax.squared_error,
        hyperparameters={"learning_rate": learning_rate},
    )
    return _mean_squared_error(result.params, pieces, x)


def _mean_squared_error(params: Params, pieces: Any, x: jax.Array) -> jax.Array:
    return mlp_jax.squared_error(mlp_jax.forward(params, 2 * x - 1), tasks.sawtooth(x, pieces))


def _error(params: Params, pieces: float, x: jax.Array) -> float:
    params = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), params)
    return float(_mean_squared_error(params, pieces, x))


def picture(data: dict[str, Any]) -> Figure:
    """The share of runs that succeed, by depth and pieces."""
    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    shares = np.array(data["shares"])
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(data["found"]):
        for j, count in enumerate(row):
            color = "black" if shares[i, j] > 0.5 else "white"
            rmse = np.sqrt(data["median mse"][i][j])
            error = f"{rmse:.2f}" if rmse >= 0.01 else f"{rmse:.0e}".replace("e-0", "e-")
            text = f"{count} of {data['seeds']}\nrmse {error}"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color=color)
    axes.set_xticks(range(len(data["pieces"])), map(str, data["pieces"]))
    axes.set_yticks(range(len(data["depths"])), map(str, data["depths"]))
    axes.set(xlabel="pieces of the sawtooth", ylabel="hidden layers")
    axes.set_title("Runs that find the sawtooth, and their median error (a constant: 0.29)", fontsize=11)
    figure.colorbar(image, ax=axes, label="share that succeeds")
    return figure
