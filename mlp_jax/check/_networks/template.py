"""Files for `mlp-jax check` to fill in: a function for any settings, and lines that train by code of other kinds."""

from mlp_jax.check._networks.problems import Settings

SHAPES = {
    "rows": ("(B, D)", "(fan_in, fan_out)", "(fan_out,)", "h @ W + b", "(B, fan_out)"),
    "columns": ("(D, B)", "(fan_out, fan_in)", "(fan_out, 1)", "W @ h + b", "(fan_out, B)"),
    "torch": ("(B, D)", "(fan_out, fan_in)", "(fan_out,)", "h @ W.T + b", "(B, fan_out)"),
}
# Lines for the end of a file, by what is in it.
LINES = {
    "function": """\
def loss_and_gradients(params, x, labels):  # x (B, D), labels (B,) integers
    (W1, b1), (W2, b2) = params  # W (fan_in, fan_out), b (fan_out,)
    # forward: h = np.tanh(x @ W1 + b1), z = h @ W2 + b2
    # loss: the mean of -log softmax(z)[label]
    # backward: from the last layer to the first
    return loss, [(dW1, db1), (dW2, db2)]
""",
    "class": """\
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
net = MyNetwork(4, 5, 3)
for _ in range(3):
    net.forward(x); loss = net.loss(y); net.backward(y)
    net.step(0.1)
""",
    "layers": """\
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4)), rng.standard_normal((8, 3))
net = Network([Dense(4, 5), Tanh(), Dense(5, 3)])
for _ in range(3):
    out = net.forward(x); loss = net.loss(out, y); net.backward(out - y)
    net.step(0.1)
""",
    "forward_backward": """\
rng = np.random.default_rng(0)
X, Y = rng.standard_normal((4, 8)), np.eye(3)[rng.integers(0, 3, 8)].T
parameters = initialize_parameters([4, 5, 3])
for _ in range(3):
    A, cache = forward(X, parameters); loss = compute_loss(A, Y); grads = backward(A, Y, cache)
    parameters = update_parameters(parameters, grads, 0.1)
""",
    "step": """\
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
params = [(rng.standard_normal((4, 5)), np.zeros(5)), (rng.standard_normal((5, 3)), np.zeros(3))]
for _ in range(3):
    loss = loss_of(params, x, y)
    params = step(params, x, y, 0.1)
""",
}


def skeleton(settings: Settings) -> str:
    """Return the text of a file with a function."""
    x, weight, bias, affine, z = SHAPES[settings.layout]
    constants = [
        f'{name.upper()} = "{getattr(settings, name)}"'
        for name in ("loss", "layout", "params")
        if getattr(settings, name) != getattr(Settings(), name)
    ]
    constants += [] if settings.layers is None else [f"LAYERS = {settings.layers}"]
    lines = ['"""My backward pass. Check it with: mlp-jax check FILE"""', "", "import numpy as np", ""]
    lines += [f'ACTIVATION = "{settings.activation}"', *constants, "", ""]
    depth = settings.layers or "L"
    if settings.params == "dict":
        given = f'a dict with weights "W1" ... "W{depth}" {weight} and biases "b1" ... "b{depth}" {bias}'
        back = 'a dict with "dW1", "db1", ... of the same shapes'
    else:
        given = f"a list of {depth} pairs (W, b), W {weight}, b {bias}"
        back = "a list of pairs (dW, db) of the same shapes"
    if settings.loss == "squared_error":
        loss = "the mean over the B examples of sum_j (z_j - t_j)^2, t = one_hot(labels), without 1/2"
    else:
        loss = "the mean over the B examples of -log softmax(z)[label], in nats"
    hidden = f"h = {settings.activation}(z)"
    lines += [
        "def loss_and_gradients(params, x, labels):",
        '    """Return (loss, gradients) of the network.',
        "",
        f"    params: {given}",
        f"    x: {x}",
        "    labels: (B,) integers, the classes",
        f"    each layer: z = {affine}, {z}; {hidden} in hidden layers, the last layer has no activation",
        f"    loss: {loss}",
        f"    gradients: {back}",
        '    """',
        f"    # forward: keep every h and z; W, b = {_first(settings)} is the first layer",
        "    # backward: from the last layer to the first",
        "    raise NotImplementedError",
        "    return loss, gradients",
    ]
    return "\n".join(lines) + "\n"


def _first(settings: Settings) -> str:
    return 'params["W1"], params["b1"]' if settings.params == "dict" else "params[0]"
