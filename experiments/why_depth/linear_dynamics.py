r"""The exact dynamics of deep linear networks: how long depth waits before it learns, against gradient descent.

Whitened inputs, x^T x / B = 1 with mean 0, so that biases stay 0, and targets x M with M = U diag(s) V^T: the squared
error is |W_1 ... W_L - M|^2, and gradient descent at a rate eta through `mlp_jax.train` (identity activation, float64)
is Euler's method with steps of 2 eta on dW_l/dt = -(d loss / d W_l) / 2. Balanced and aligned weights, W_l = Q_{l-1}
diag(u_0^(1/L)) Q_l^T with Q_0 = U, Q_L = V, stay so: with a = u^(1/L) in every layer, da/dt = a^(L-1) (s - a^L) (Saxe,
McClelland & Ganguli, 2014), which for u = a^L is the formula here. For L = 2

    u(t) = s e^(2 s t) / (e^(2 s t) - 1 + s / u_0),    half-time  ln(s / u_0 - 1) / (2 s),

and for more layers the half-time is the integral of da / (a^(L-1) (s - a^L)) from u_0^(1/L) to (s/2)^(1/L), and u(t)
the solution of the differential equation, by Runge-Kutta to 12 digits. Of that integral the start dominates:
u_0^-(1 - 2/L) / ((L - 2) s), where L = 2 has ln(1 / u_0) / (2 s).

Euler's method on da/dt = f(a) with steps h follows f (1 - (h/2) f') up to h^2, so it comes to a later than theory by
(h/2) ln(f(a) / f(a_0)), h = 2 eta: that is the deviation to expect, of first order in the rate.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.integrate import quad, solve_ivp

import mlp_jax
from experiments import tasks
from experiments.frame.claims import equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, farthest
from mlp_jax import Layer, Params

FORMULA = r"\frac{\mathrm{d}u}{\mathrm{d}t} = L \, u^{2 - 2/L} \, (s - u)"
SHOWN = 200  # points of a curve that are recorded


@dataclass(frozen=True)
class Config:
    """The depth and the learning rate are varied, the rest is held fixed."""

    depths: tuple[int, ...] = (2, 3, 5, 8)  # weight layers L
    rates: tuple[float, ...] = (1e-3, 1e-4)  # eta, falling; the picture shows the last
    strengths: tuple[float, ...] = (2.0, 1.5, 1.0)  # s, the slowest last
    start: float = 1e-3  # u_0
    smaller_start: float = 1e-4
    width: int = 8
    examples: int = 16


FULL = Config()
QUICK = Config(depths=(2, 8), rates=(8e-3, 4e-3))


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Compare the modes at every step with the exact solution, at every rate.

    Returns:
      By depth: the largest "deviation" |u - u_exact| / s (depths, rates), the "half-time" of each mode at the smallest
      rate (depths, modes), that of the slowest from the smaller start, "later" (depths,), and points of the slowest
      mode's curve at the smallest rate, "t", "u" and "exact" (depths, points).
    """
    strengths, rng = np.array(config.strengths), tasks.generator(key)
    numbers: dict[str, list[Any]] = {name: [] for name in ("deviation", "half-time", "later", "t", "u", "exact")}
    for i, L in enumerate(config.depths):
        progress(i / len(config.depths))
        *at_rates, (t_later, u_later) = descend(config, rng, L)
        deviations = []
        for t, u in at_rates:
            exact = solution(t, L, strengths, config.start)
            deviations.append(np.max(np.abs(u - exact) / strengths))
        numbers["deviation"].append(deviations)
        numbers["half-time"].append([crossing(t, u_s, s / 2) for u_s, s in zip(u.T, strengths, strict=True)])
        numbers["later"].append(crossing(t_later, u_later[:, -1], strengths[-1] / 2))
        along = t / t[-1] + u[:, -1] / strengths[-1]  # so that the points are evenly apart on the curve
        shown = np.searchsorted(along, np.linspace(along[0], along[-1], SHOWN))
        for name, values in (("t", t), ("u", u[:, -1]), ("exact", exact[:, -1])):
            numbers[name].append(values[shown])
    return {"depth": np.array(config.depths), **{name: np.array(values) for name, values in numbers.items()}}


SAXE = "Saxe, McClelland & Ganguli (2014); derived for the mean squared error: t = 2 eta k"
MODES = "L = {n.config.depths}, modes {n.config.strengths}, float64"


@equals(
    1,
    "Gradient descent is off the exact curves by the first order of its rate: ten times less a decade.",
    within=0.02,
    source=SAXE + "; Euler's method is of first order",
    how="log of the deviations' ratio over log of the rates' ratio, by depth; 10^0.02 is 10 +- 0.5 a decade; " + MODES,
    must=True,
)
def order_in_the_rate(n: Numbers) -> Statistic:
    return farthest(np.diff(np.log(n["deviation"]), axis=1) / np.diff(np.log(n.config.rates)), 1)


@equals(
    1,
    "The largest deviation from the exact curves is the one that the step size explains.",
    within=0.05,
    source="derived: Euler's first order, (h/2) ln(f(a) / f(a_0)) later, h = 2 eta",
    how="largest |u - u_exact| / s over modes and steps, over the derived one, by depth; 5 % for second order; "
    + MODES,
    must=True,
)
def deviation(n: Numbers) -> Statistic:
    c = n.config
    expected = [c.rates[-1] * max(derived_deviation(L, s, c.start) for s in c.strengths) for L in c.depths]
    return farthest(n["deviation"][:, -1] / expected, 1)


@equals(
    1,
    "Half of a mode is learnt at the exact time, but for the delay that the step size explains.",
    within=0.05,
    source="derived, as before; " + SAXE,
    how="measured minus exact half-time, over the derived delay; 5 % for the second order; " + MODES,
    must=True,
)
def half_times(n: Numbers) -> Statistic:
    c = n.config
    theory = [[half_time(L, s, c.start) for s in c.strengths] for L in c.depths]
    delay = [[c.rates[-1] * float(lag((s / 2) ** (1 / L), L, s, c.start)) for s in c.strengths] for L in c.depths]
    return farthest((n["half-time"] - theory) / delay, 1)


def longer(n: Numbers) -> float:
    """Return how many times as long the deepest network waits as the shallowest, by theory."""
    shallowest, deepest = (half_time(n.config.depths[i], n.config.strengths[-1], n.config.start) for i in (0, -1))
    return deepest / shallowest


@equals(
    longer,
    "From the same start 8 layers learn half {expected:.1f} times as late as 2.",
    within=lambda n: 0.01 * longer(n),
    source="derived: the integral in the description, by quadrature",
    how="half-times of the slowest mode from u_0 = {n.config.start:g}; 1 % for the rate's first order",
    must=True,
)
def deeper_waits_longer(n: Numbers) -> Statistic:
    slowest = n["half-time"][:, -1]
    return exact(slowest[n.at(depth=8)] / slowest[n.at(depth=2)])


def growth(n: Numbers, L: int) -> float:
    """Return how many times as long L layers wait from the smaller start, by theory."""
    later, sooner = (half_time(L, n.config.strengths[-1], start) for start in (n.config.smaller_start, n.config.start))
    return later / sooner


@equals(
    growth,
    "With a start ten times smaller {L} layers wait {expected:.2f} times as long.",
    within=lambda n, L: 0.01 * growth(n, L),
    L=(2, 8),
    source="derived: the integral; its leading term has ln(1 / u_0) for 2 layers, and 10^(1 - 2/L) for more",
    how="half-times of the slowest mode from both starts; 1 % for the rate's first order",
    must=True,
)
def wait_of_layers(n: Numbers, L: int) -> Statistic:
    i = n.at(depth=L)
    return exact(n["later"][i] / n["half-time"][i, -1])


def picture(n: Numbers) -> Figure:
    """Draw the slowest mode over time, by depth."""
    figure, axes = panels(figsize=(6.5, 4))
    slowest = n.config.strengths[-1]
    for i, (color, L) in enumerate(zip(("#0072b2", "#d55e00", "#009e73", "#cc79a7"), n["depth"], strict=False)):
        axes.plot(n["t"][i], n["exact"][i], color=color, lw=1.5)
        axes.plot(n["t"][i, ::8], n["u"][i, ::8], "o", ms=4, color=color)
        half = n["half-time"][i, -1]
        axes.text(half, 1.05 * slowest, f"{L} layers:\nhalf at {half:.1f}", ha="center", fontsize=9, color=color)
    axes.axhline(slowest / 2, color="0.6", ls=":", lw=1)
    axes.set(xlabel="time t = 2 × learning rate × steps", ylabel=f"strength u of the mode s = {slowest:g}")
    axes.set_title(f"Deep linear networks from u = {n.config.start:g}: theory (lines), measured (dots)")
    axes.set_ylim(-0.05, 1.25 * slowest)
    return figure


def half_time(L: int, s: float, start: float) -> float:
    """Return the time from u_0 to s / 2, by quadrature."""
    return float(quad(lambda a: 1 / (a ** (L - 1) * (s - a**L)), start ** (1 / L), (s / 2) ** (1 / L), epsrel=1e-12)[0])


def solution(t: np.ndarray, L: int, s: np.ndarray, start: float) -> np.ndarray:
    """Return u(t) (times, modes): the closed form for two layers, else the differential equation of a = u^(1/L)."""
    if L == 2:
        decay = np.exp(-2 * t[:, None] * s)
        return s / (1 - decay + decay * s / start)
    a = np.full(len(s), start ** (1 / L))
    solved = solve_ivp(lambda _, a: a ** (L - 1) * (s - a**L), (t[0], t[-1]), a, "DOP853", t, rtol=1e-12, atol=1e-14)
    return solved.y.T**L


def lag(a: Any, L: int, s: float, start: float) -> Any:
    """Return how much later than theory gradient descent comes to a, in units of its rate."""
    a_0 = start ** (1 / L)
    return np.log(a ** (L - 1) * (s - a**L) / (a_0 ** (L - 1) * (s - start)))


def derived_deviation(L: int, s: float, start: float) -> float:
    """Return the largest deviation |u - u_exact| / s, in units of the rate: du/dt times the lag."""
    a = np.linspace(start ** (1 / L), s ** (1 / L), 10_001)[:-1]
    return float(np.max(np.abs(L * a ** (2 * L - 2) * (s - a**L) * lag(a, L, s, start)))) / s


def crossing(t: np.ndarray, u: np.ndarray, level: float) -> float:
    """Return when u first reaches a level, between the steps by a straight line."""
    after = int(np.argmax(u >= level))
    share = (level - u[after - 1]) / (u[after] - u[after - 1])
    return float(t[after - 1] + share * (t[after] - t[after - 1]))


def descend(config: Config, rng: np.random.Generator, L: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return times t = 2 eta k and the modes' strengths (times, modes), at every rate, and at the first from less."""
    rates = np.array([*config.rates, config.rates[0]])
    starts = np.array([*len(config.rates) * [config.start], config.smaller_start])
    slowest = config.strengths[-1]
    ends = np.array([1.25 * half_time(L, slowest, start) + 2 / slowest for start in starts])
    steps = (ends / (2 * rates)).astype(int)
    x = np.sqrt(config.examples) * orthonormal(rng, np.ones((config.examples, 1)), config.width)
    Q = [orthonormal(rng, np.zeros((config.width, 0)), len(config.strengths)) for _ in range(L + 1)]
    targets = x @ Q[0] @ np.diag(config.strengths) @ Q[-1].T
    with jax.enable_x64(True):
        u = np.asarray(trained(rates, starts, x, targets, Q, int(steps.max())))
    return [(2 * rate * np.arange(k + 1), of_run[: k + 1]) for rate, k, of_run in zip(rates, steps, u, strict=True)]


@partial(jax.jit, static_argnames="steps")
def trained(rates: Any, starts: Any, x: Any, targets: Any, Q: Any, steps: int) -> jax.Array:
    """Return the modes' strengths at the start and after every step (runs, times, modes)."""

    def run(rate: jax.Array, start: jax.Array) -> jax.Array:
        a = start ** (1 / (len(Q) - 1))
        params = tuple(Layer(a * before @ after.T, jnp.zeros(len(before))) for before, after in pairwise(Q))
        after_steps = mlp_jax.train(
            jax.random.key(0),  # full batches: nothing is random
            params,
            (x, targets),
            optimizer=optax.sgd,
            epochs=steps,
            batch_size=len(x),
            activation=mlp_jax.activations.identity,
            loss=mlp_jax.squared_error,
            record=jax.tree_util.Partial(modes, Q[0], Q[-1]),
            hyperparameters={"learning_rate": rate},
        ).recorded
        return jnp.concatenate([modes(Q[0], Q[-1], params)[None], after_steps])

    return jax.vmap(run)(rates, starts)


def modes(U: jax.Array, V: jax.Array, params: Params, *_: Any) -> jax.Array:
    """Return the diagonal of U^T W_1 ... W_L V."""
    product = U.T
    for layer in params:
        product = product @ layer.weight
    return jnp.diag(product @ V)


def orthonormal(rng: np.random.Generator, first: np.ndarray, columns: int) -> np.ndarray:
    """Return random orthonormal columns, at right angles to those given first."""
    drawn = rng.standard_normal((len(first), columns))
    return np.linalg.qr(np.concatenate([first, drawn], axis=1))[0][:, first.shape[1] :]
