"""A file for `mlp-jax check` to fill in, for any settings."""

from mlp_jax.check._diagnosis.problems import Settings

SHAPES = {
    "rows": ("(B, D)", "(fan_in, fan_out)", "(fan_out,)", "h @ W + b", "(B, fan_out)"),
    "columns": ("(D, B)", "(fan_out, fan_in)", "(fan_out, 1)", "W @ h + b", "(fan_out, B)"),
    "torch": ("(B, D)", "(fan_out, fan_in)", "(fan_out,)", "h @ W.T + b", "(B, fan_out)"),
}


def skeleton(settings: Settings) -> str:
    """Return the text of the file."""
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
