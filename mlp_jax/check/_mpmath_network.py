"""The network and its gradient by mpmath, in as many digits as `mp.dps` says: slow, and sure.

Every function here is of and by mpmath numbers (rows are lists of them), at the precision of the caller's
`mp.workdps`. The chain rule is that of `mlp_jax.backpropagation`, example by example, in loops.
"""

from collections.abc import Sequence
from typing import Any

from mpmath import mp

Row = list[Any]  # of mpmath numbers

# phi, phi' and phi'' of every activation, in forms that lose nothing where units saturate


def _s(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _ds(z: Any) -> Any:
    return mp.sech(z / 2) ** 2 / 4


def _dds(z: Any) -> Any:
    return -_ds(z) * mp.tanh(z / 2)


def _Phi(z: Any) -> Any:
    return mp.erfc(min(-z / mp.sqrt(2), mp.mpf(10**6))) / 2  # mpmath overflows at 1e200


def _phi0(z: Any) -> Any:
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def gelu_u(z: Any) -> Any:
    """u, u' and u'' for which gelu_tanh is z (1 + tanh u) / 2."""
    a, b = mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    return a * (z + b * z**3), a * (1 + 3 * b * z**2), a * 6 * b * z


def _gelu_tanh_derivative(z: Any) -> Any:
    u, du, _ = gelu_u(z)
    return _s(2 * u) + 2 * z * du * _ds(2 * u)


def _gelu_tanh_second_derivative(z: Any) -> Any:
    u, du, ddu = gelu_u(z)
    return (4 * du + 2 * z * ddu) * _ds(2 * u) + 4 * z * du**2 * _dds(2 * u)


def _zero(z: Any) -> Any:
    return mp.mpf(0)


SELU = mp.mpf(1.0507009873554805), mp.mpf(1.6732632423543772)  # lambda and alpha, as a float64 holds them


def _gate(z: Any) -> Any:
    return mp.tanh(mp.log1p(mp.exp(min(z, mp.mpf(10**6)))))


def _dgate(z: Any) -> Any:
    return mp.sech(mp.log1p(mp.exp(min(z, mp.mpf(10**6))))) ** 2 * _s(z)


def _mish_second_derivative(z: Any) -> Any:
    """2 t' + z t'', where t' = s (1 - t^2) and t'' = s' (1 - t^2) - 2 s t t'."""
    return 2 * _dgate(z) + z * _dgate(z) * (_s(-z) - 2 * _s(z) * _gate(z))


ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: mp.mpf(1), _zero),
    "sigmoid": (_s, _ds, _dds),
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "relu": (lambda z: max(z, mp.mpf(0)), lambda z: mp.mpf(z > 0), _zero),
    "leaky_relu": (
        lambda z: z if z > 0 else z * mp.mpf("0.01"),
        lambda z: mp.mpf(1) if z > 0 else mp.mpf("0.01"),
        _zero,
    ),
    "softplus": (lambda z: mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z)), _s, _ds),
    "silu": (lambda z: z * _s(z), lambda z: _s(z) + z * _ds(z), lambda z: 2 * _ds(z) + z * _dds(z)),
    "gelu": (lambda z: z * _Phi(z), lambda z: _Phi(z) + z * _phi0(z), lambda z: _phi0(z) * (2 - z * z)),
    "gelu_tanh": (lambda z: z * _s(2 * gelu_u(z)[0]), _gelu_tanh_derivative, _gelu_tanh_second_derivative),
    "selu": (
        lambda z: SELU[0] * (z if z > 0 else SELU[1] * mp.expm1(z)),
        lambda z: SELU[0] * (mp.mpf(1) if z > 0 else SELU[1] * mp.exp(z)),
        lambda z: mp.mpf(0) if z > 0 else SELU[0] * SELU[1] * mp.exp(z),
    ),
    "mish": (lambda z: z * _gate(z), lambda z: _gate(z) + z * _dgate(z), _mish_second_derivative),
    "sin": (mp.sin, mp.cos, lambda z: -mp.sin(z)),
}


def softmax(row: Row) -> tuple[Row, Row]:
    """Return p and log p of one example's logits, each to full relative accuracy."""
    top = max(range(len(row)), key=row.__getitem__)
    r = [z - row[top] for z in row]
    e = [mp.exp(r_j) for r_j in r]
    S = mp.fsum(e_j for j, e_j in enumerate(e) if j != top)
    log_sum = mp.log1p(S)
    return [e_j / (1 + S) for e_j in e], [r_j - log_sum for r_j in r]


def cross_entropy(row: Row, q: Row) -> tuple[Any, Row]:
    """Return -sum_j q_j log p_j and delta_j = p_j sum_{k != j} q_k - q_j sum_{k != j} p_k, of one example."""
    p, log_p = softmax(row)
    Q = mp.fsum(q)
    others = [mp.fsum(p_k for k, p_k in enumerate(p) if k != j) if q_j else 0 for j, q_j in enumerate(q)]
    delta = [p_j * (Q - q_j) - q_j * rest for p_j, q_j, rest in zip(p, q, others, strict=True)]
    return -mp.fsum(q_j * l_j for q_j, l_j in zip(q, log_p, strict=True) if q_j), delta


def squared_error(row: Row, t: Row) -> tuple[Any, Row]:
    """Return sum_j (z_j - t_j)^2 and delta_j = 2 (z_j - t_j), of one example."""
    difference = [z - t_j for z, t_j in zip(row, t, strict=True)]
    return mp.fsum(d * d for d in difference), [2 * d for d in difference]


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def loss_and_gradient(
    params: Sequence[tuple[Any, Any]], x: Any, targets: Any, activation: str, loss: str
) -> tuple[Any, list[tuple[list[Row], Row]]]:
    """Return the mean loss and (d W_l, d b_l) of every layer.

    Args:
      params: (W_l (d_{l-1}, d_l), b_l (d_l,)), arrays of floats.
      x: examples, (B, D).
      targets: (B, C), labels as one-hot rows.
      activation: a name in `ACTIVATIONS`.
      loss: a name in `LOSSES`.
    """
    phi, derivative, _ = ACTIVATIONS[activation]
    layers = [(_exact(weight), [mp.mpf(float(b)) for b in bias]) for weight, bias in params]
    gradients = [([[mp.mpf(0)] * len(b) for _ in W], [mp.mpf(0)] * len(b)) for W, b in layers]
    total = mp.mpf(0)
    for example, target in zip(_exact(x), _exact(targets), strict=True):
        hs, zs = [example], []
        for i, (W, b) in enumerate(layers):
            columns = zip(*W, strict=True)
            zs.append([mp.fdot(hs[-1], column) + b_j for column, b_j in zip(columns, b, strict=True)])
            hs.append([phi(z) for z in zs[-1]] if i + 1 < len(layers) else zs[-1])
        value, delta = LOSSES[loss](zs[-1], target)
        total += value / len(x)
        for i in reversed(range(len(layers))):
            dW, db = gradients[i]
            for j, delta_j in enumerate(delta):
                db[j] += delta_j / len(x)
                for k, h_k in enumerate(hs[i]):
                    dW[k][j] += h_k * delta_j / len(x)
            if i:
                dh = [mp.fdot(row, delta) for row in layers[i][0]]
                delta = [dh_k * derivative(z) for dh_k, z in zip(dh, zs[i - 1], strict=True)]
    return total, gradients


def _exact(matrix: Any) -> list[Row]:
    return [[mp.mpf(float(entry)) for entry in row] for row in matrix]
