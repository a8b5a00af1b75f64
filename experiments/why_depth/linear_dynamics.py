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
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.integrate import quad, solve_ivp

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from mlp_jax import Layer, Params

FORMULA = r"\frac{\mathrm{d}u}{\mathrm{d}t} = L \, u^{2 - 2/L} \, (s - u)"
CAPTION = "A mode of strength s = 1 being learnt, by depth: gradient descent (dots) on the exact theory (lines)."


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
QUICK = Config(depths=(2, 5), rates=(2e-3, 1e-3))


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Compare the modes at every step with the exact solution, at every rate."""
    slowest = config.strengths[-1]
    deviations: dict[int, list[float]] = {}
    ratios: dict[str, list[float]] = {"deviation": [], "delay": []}  # measured over expected, at the smallest rate
    growth: dict[int, tuple[float, float]] = {}  # by depth: of the half-time with the smaller start, measured and exact
    curves: dict[int, dict[str, Any]] = {}
    for i, L in enumerate(config.depths):
        progress(i / len(config.depths))
        deviations[L] = []
        for rate in config.rates:
            t, u = descend(config, jax.random.fold_in(key, L), L, rate, config.start)
            exact = np.stack([solution(t, L, s, config.start) for s in config.strengths], axis=1)
            deviations[L].append(float(np.max(np.abs(u - exact) / np.array(config.strengths))))
        half = [crossing(t, u[:, j], s / 2) for j, s in enumerate(config.strengths)]
        theory = [half_time(L, s, config.start) for s in config.strengths]
        expected = max(deviation(L, s, config.start) for s in config.strengths)
        ratios["deviation"].append(deviations[L][-1] / (config.rates[-1] * expected))
        for measured, exact_time, s in zip(half, theory, config.strengths, strict=True):
            delay = config.rates[-1] * float(lag((s / 2) ** (1 / L), L, s, config.start))
            ratios["delay"].append((measured - exact_time) / delay)
        t_later, u_later = descend(config, jax.random.fold_in(key, L), L, config.rates[0], config.smaller_start)
        growth[L] = (
            crossing(t_later, u_later[:, -1], slowest / 2) / half[-1],
            half_time(L, slowest, config.smaller_start) / theory[-1],
        )
        along = t / t[-1] + u[:, -1] / slowest  # so that the picture's points are evenly apart on the curve
        shown = np.searchsorted(along, np.linspace(along[0], along[-1], 200))
        curves[L] = {"t": t[shown], "u": u[shown, -1], "exact": exact[shown, -1], "half": half[-1]}
    data = {"start": config.start, "strength": slowest, "rates": config.rates, "curves": curves} | {
        "deviations": deviations,
        "growth": growth,
    }
    return Finding(_claims(config, deviations, ratios, growth, curves), data)


def _claims(config: Config, deviations: Any, ratios: Any, growth: Any, curves: Any) -> tuple[Claim, ...]:
    saxe = "Saxe, McClelland & Ganguli (2014); derived for the mean squared error: t = 2 eta k"
    orders = [
        float(np.log(d1 / d2) / np.log(r1 / r2))
        for of_depth in deviations.values()
        for (d1, d2), (r1, r2) in zip(pairwise(of_depth), pairwise(config.rates), strict=True)
    ]
    shallowest, deepest = config.depths[0], config.depths[-1]
    slowest = config.strengths[-1]
    ratio = [half_time(L, slowest, config.start) for L in (deepest, shallowest)]
    modes = f"L = {', '.join(map(str, config.depths))}, modes {', '.join(map(str, config.strengths))}, float64"
    return (
        Claim(
            "order in the rate",
            "Gradient descent is off the exact curves by the first order of its rate: ten times less a decade.",
            "=",
            1,
            f"{saxe}; Euler's method is of first order",
            max(orders, key=lambda order: abs(order - 1)),
            f"log of the deviations' ratio over log of the rates' ratio, the depth farthest from 1; {modes}; "
            "10^0.02 is 10 +- 0.5 a decade",
            tolerance=0.02,
            exact=True,
        ),
        Claim(
            "deviation",
            "The largest deviation from the exact curves is the one that the step size explains.",
            "=",
            1,
            "derived: Euler's first order, (h/2) ln(f(a) / f(a_0)) later, h = 2 eta",
            max(ratios["deviation"], key=lambda ratio: abs(ratio - 1)),
            f"max over modes and steps of |u - u_exact| / s, over the derived one, the depth farthest from 1; {modes}; "
            "5 % for the second order",
            tolerance=0.05,
            exact=True,
        ),
        Claim(
            "half-times",
            "Half of a mode is learnt at the exact time, but for the delay that the step size explains.",
            "=",
            1,
            f"derived, as before; {saxe}",
            max(ratios["delay"], key=lambda ratio: abs(ratio - 1)),
            f"measured minus exact half-time, over the derived delay, the one farthest from 1; {modes}; "
            "5 % for the second order",
            tolerance=0.05,
            exact=True,
        ),
        Claim(
            "deeper waits longer",
            f"From the same start {deepest} layers learn half {ratio[0] / ratio[1]:.1f} times as late as {shallowest}.",
            "=",
            ratio[0] / ratio[1],
            "derived: the integral in the description, by quadrature",
            curves[deepest]["half"] / curves[shallowest]["half"],
            f"half-times of s = {slowest:g} from u_0 = {config.start:g}, measured; 1 % for the rate's first order",
            tolerance=0.01 * ratio[0] / ratio[1],
            exact=True,
        ),
        *(
            Claim(
                f"wait of {L} layers",
                f"With a start ten times smaller {L} layers wait {growth[L][1]:.2f} times as long.",
                "=",
                growth[L][1],
                "derived: the integral; its leading term has "
                + ("ln(1 / u_0)" if L == 2 else f"10^(1 - 2/{L}) = {10 ** (1 - 2 / L):.2f}"),
                growth[L][0],
                f"half-times of s = {slowest:g} from u_0 = {config.smaller_start:g} and {config.start:g}, measured; "
                "1 % for the rate's first order",
                tolerance=0.01 * growth[L][1],
                exact=True,
            )
            for L in (shallowest, deepest)
        ),
    )


def half_time(L: int, s: float, start: float) -> float:
    """The time from u_0 to s / 2, by quadrature."""
    return float(quad(lambda a: 1 / (a ** (L - 1) * (s - a**L)), start ** (1 / L), (s / 2) ** (1 / L), epsrel=1e-12)[0])


def solution(t: np.ndarray, L: int, s: float, start: float) -> np.ndarray:
    """u(t): the closed form for two layers, else the differential equation of a = u^(1/L)."""
    if L == 2:
        decay = np.exp(-2 * s * t)
        return s / (1 - decay + decay * s / start)
    solved = solve_ivp(
        lambda _, a: a ** (L - 1) * (s - a**L), (t[0], t[-1]), [start ** (1 / L)], "DOP853", t, rtol=1e-12, atol=1e-14
    )
    return solved.y[0] ** L


def lag(a: Any, L: int, s: float, start: float) -> Any:
    """How much later than theory gradient descent comes to a, in units of its rate."""
    a_0 = start ** (1 / L)
    return np.log(a ** (L - 1) * (s - a**L) / (a_0 ** (L - 1) * (s - start)))


def deviation(L: int, s: float, start: float) -> float:
    """The largest deviation |u - u_exact| / s, in units of the rate: du/dt times the lag."""
    a = np.linspace(start ** (1 / L), s ** (1 / L), 10_001)[:-1]
    return float(np.max(np.abs(L * a ** (2 * L - 2) * (s - a**L) * lag(a, L, s, start)))) / s


def crossing(t: np.ndarray, u: np.ndarray, level: float) -> float:
    """When u first reaches a level, between the steps by a straight line."""
    after = int(np.argmax(u >= level))
    share = (level - u[after - 1]) / (u[after] - u[after - 1])
    return float(t[after - 1] + share * (t[after] - t[after - 1]))


def descend(config: Config, key: jax.Array, L: int, rate: float, start: float) -> tuple[np.ndarray, np.ndarray]:
    """The modes' strengths (steps + 1, modes) under gradient descent, and their times t = 2 eta k."""
    strengths = np.array(config.strengths)
    end = 1.25 * half_time(L, strengths[-1], start) + 2 / strengths[-1]
    steps = int(end / (2 * rate))
    with jax.enable_x64(True):
        of_x, *of_Q = jax.random.split(key, L + 2)
        x = jnp.sqrt(config.examples) * orthonormal(of_x, jnp.ones((config.examples, 1)), config.width)
        Q = [orthonormal(k, jnp.zeros((config.width, 0)), len(strengths)) for k in of_Q]
        a = start ** (1 / L)
        params = tuple(Layer(a * before @ after.T, jnp.zeros(config.width)) for before, after in pairwise(Q))
        result = mlp_jax.train(
            key,
            params,
            (x, x @ Q[0] @ jnp.diag(strengths) @ Q[-1].T),
            optimizer=optax.sgd(rate),
            epochs=steps,
            batch_size=config.examples,
            activation=mlp_jax.activations.identity,
            loss=mlp_jax.squared_error,
            record=jax.tree_util.Partial(modes, Q[0], Q[-1]),
        )
        u = np.concatenate([np.full((1, len(strengths)), start), np.asarray(result.recorded)])
    return 2 * rate * np.arange(steps + 1), u


def modes(U: jax.Array, V: jax.Array, params: Params, *_: Any) -> jax.Array:
    """The diagonal of U^T W_1 ... W_L V."""
    product = U.T
    for layer in params:
        product = product @ layer.weight
    return jnp.diag(product @ V)


def orthonormal(key: jax.Array, first: jax.Array, columns: int) -> jax.Array:
    """Random orthonormal columns, at right angles to those given first."""
    drawn = jax.random.normal(key, (len(first), columns), first.dtype)
    return jnp.linalg.qr(jnp.concatenate([first, drawn], axis=1))[0][:, first.shape[1] :]


def picture(data: dict[str, Any]) -> Figure:
    """The slowest mode over time, by depth."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for color, (L, curve) in zip(("#0072b2", "#d55e00", "#009e73", "#cc79a7"), data["curves"].items(), strict=False):
        axes.plot(curve["t"], curve["exact"], color=color, lw=1.5)
        axes.plot(curve["t"][::8], curve["u"][::8], "o", ms=4, color=color)
        label = f"{L} layers:\nhalf at {curve['half']:.1f}"
        axes.text(curve["half"], 1.05 * data["strength"], label, ha="center", fontsize=9, color=color)
    axes.axhline(data["strength"] / 2, color="0.6", ls=":", lw=1)
    axes.set(xlabel="time t = 2 × learning rate × steps", ylabel=f"strength u of the mode s = {data['strength']:g}")
    axes.set_title(f"Deep linear networks from u = {data['start']:g}: theory (lines), measured (dots)", fontsize=11)
    axes.set_ylim(-0.05, 1.25 * data["strength"])
    axes.grid(alpha=0.3)
    return figure
