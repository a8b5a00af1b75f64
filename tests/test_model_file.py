"""Model files: what is saved comes back, and a tampered file is one error that names it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import mlp_jax
from mlp_jax.datasets import Model, load_model, save_model

TENSORS = {f"layers.{i}.weight": np.ones((3 - i, 2), np.float32) for i in range(2)}
TENSORS |= {f"layers.{i}.bias": np.ones(2, np.float32) for i in range(2)}
METADATA = {"activation": "tanh", "mean": "[0, 1, 2]", "scale": "[1, 2, Infinity]", "classes": '["a", "b"]'}
METADATA |= {"features": '["u", "v", "w"]', "label": "kind"}
DEEP = "[" * 10**5


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3,)], ids=str)
def test_what_is_saved_comes_back(tmp_path, shape, dtype):
    params = mlp_jax.init_params(jax.random.key(0), (3, 4, 2), dtype=dtype)
    model = Model(params, "relu", np.full(shape, 0.1), np.full(shape, np.inf), ("ß", "猫"), ("α", "b", "c"), "kind")
    for version in (model, replace(model, label="other", clip=3.0)):  # the second replaces the first
        save_model(tmp_path / "m.safetensors", version, "0")
        back = load_model(tmp_path / "m.safetensors")
        for name, value in vars(version).items():
            jax.tree.map(np.testing.assert_array_equal, getattr(back, name), value)
        assert back.params[0].weight.dtype == dtype and back.mean.dtype == back.scale.dtype == np.float64
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_what_is_given_replaces_metadata(tmp_path):
    save_file(TENSORS, tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors", activation="sin", mean=(1.0,), scale=2, classes=["x", "y"])
    assert (model.activation, model.mean, model.scale, model.classes) == ("sin", [1.0], 2.0, ("x", "y"))


TAMPERED = {
    "deep JSON": (dict(mean=DEEP), ("mean: expected JSON", "recursion")),
    "JSON of many levels": (dict(mean="[" * 100 + "]" * 100), ("mean: expected finite numbers, one or 3", "[[[")),
    "no JSON": (dict(classes='["a", "b"'), ("classes: expected JSON", "'[\"a\", \"b\"'")),
    "mean is text": (dict(mean='"1"'), ("mean: expected finite numbers", "got '1'")),
    "mean of texts": (dict(mean='["1", "2", "3"]'), ("mean: expected finite numbers", "['1', '2', '3']")),
    "mean of truth values": (dict(mean="[true, 1, 2]"), ("mean: expected finite numbers", "[True, 1.0, 2.0]")),
    "mean is an object": (dict(mean='{"u": 1}'), ("mean: expected finite numbers", "{'u': 1.0}")),
    "mean of rows": (dict(mean="[[0, 1, 2]]"), ("mean: expected finite numbers", "[[0.0, 1.0, 2.0]]")),
    "mean of ragged rows": (dict(mean="[[0], [1, 2], 3]"), ("mean: expected finite", "[[0.0], [1.0, 2.0], 3.0]")),
    "mean too short": (dict(mean="[0, 1]"), ("mean: expected finite numbers, one or 3, got 2 of them",)),
    "mean empty": (dict(mean="[]"), ("mean: expected finite numbers", "got 0 of them")),
    "mean infinite": (dict(mean="[0, Infinity, 0]"), ("mean: expected finite numbers", "got inf")),
    "mean too long a number": (dict(mean="9" * 5000), ("mean: expected finite numbers", "got inf")),
    "mean is null": (dict(mean="null"), ("expected metadata with mean, got none", "--mean")),
    "scale too long": (dict(scale="[1, 1, 1, 1]"), ("scale: expected numbers above 0, one or 3, got 4 of them",)),
    "clip 0": (dict(clip="0"), ("clip: expected a finite number above 0", "got 0.0")),
    "clip NaN": (dict(clip="NaN"), ("clip: expected a finite number above 0", "got nan")),
    "clip infinite": (dict(clip="Infinity"), ("clip: expected a finite number above 0", "got inf")),
    "clip of texts": (dict(clip='"3"'), ("clip: expected a finite number above 0", "'3'")),
    "several clips": (dict(clip="[3, 3]"), ("clip: expected a finite number above 0", "2 of them")),
    "scale 0": (dict(scale="[1, 0, 1]"), ("scale: expected numbers above 0", "got 0.0")),
    "scale negative": (dict(scale="-2"), ("scale: expected numbers above 0", "got -2.0")),
    "scale NaN": (dict(scale="NaN"), ("scale: expected numbers above 0", "got nan")),
    "feature missing": (dict(features='["u", "v"]'), ("features: expected 0 or 3 different texts, got 2 of them",)),
    "feature twice": (dict(features='["u", "v", "u"]'), ("features: expected", "got 'u' twice")),
    "feature is a number": (dict(features='["u", "v", 3]'), ("features: expected", "['u', 'v', 3.0]")),
    "features are false": (dict(features="false"), ("features: expected", "got False")),
    "class too many": (dict(classes='["a", "b", "c"]'), ("classes: expected 2 different texts, got 3 of them",)),
    "class twice": (dict(classes='["a", "a"]'), ("classes: expected 2 different texts", "got 'a' twice")),
    "classes are numbers": (dict(classes="[0, 1]"), ("classes: expected 2 different texts", "[0.0, 1.0]")),
    "classes are one text": (dict(classes='"ab"'), ("classes: expected 2 different texts", "got 'ab'")),
    "activation misspelt": (dict(activation="tanhh"), ("activation: expected one of", "did you mean 'tanh'?")),
    "activation unknown": (dict(activation=DEEP[:9]), ("activation: expected one of", "'[[[[[[[[['")),
}  # fmt: skip


@pytest.mark.parametrize(("metadata", "words"), TAMPERED.values(), ids=TAMPERED)
def test_tampered_metadata(tmp_path, metadata, words):
    save_file(TENSORS, tmp_path / "m.safetensors", METADATA | metadata)
    assert_refused(tmp_path / "m.safetensors", *words)


ONE_OUTPUT = {"layers.1.weight": np.ones((2, 1), np.float32), "layers.1.bias": np.ones(1, np.float32)}
VALUES = METADATA | {"classes": "[]", "target_mean": "1.5", "target_scale": "2"}
TAMPERED_VALUES = {
    "no target mean": (dict(target_mean="null"), ("target_mean: expected a finite number", "got None")),
    "no target scale": (dict(target_scale="null"), ("target_scale: expected a finite number above 0", "got None")),
    "target mean is false": (dict(target_mean="false"), ("target_mean: expected a finite number", "got False")),
    "target mean NaN": (dict(target_mean="NaN"), ("target_mean: expected a finite number", "got nan")),
    "target scale 0": (dict(target_scale="0"), ("target_scale: expected a finite number above 0", "got 0.0")),
    "target scale infinite": (dict(target_scale="Infinity"), ("target_scale: expected a finite", "got inf")),
    "two target scales": (dict(target_scale="[1, 2]"), ("target_scale: expected a finite", "got 2 of them")),
    "target scale of texts": (dict(target_scale='["1"]'), ("target_scale: expected a finite", "['1']")),
    "classes and values": (dict(classes='["a"]'), ("classes: expected 0 different texts, got 1 of them",)),
}  # fmt: skip


@pytest.mark.parametrize(("metadata", "words"), TAMPERED_VALUES.values(), ids=TAMPERED_VALUES)
def test_tampered_metadata_of_values(tmp_path, metadata, words):
    save_file(TENSORS | ONE_OUTPUT, tmp_path / "m.safetensors", VALUES | metadata)
    assert_refused(tmp_path / "m.safetensors", *words)


def test_a_model_of_values_comes_back(tmp_path):
    params = mlp_jax.init_params(jax.random.key(0), (3, 1))
    model = Model(params, "relu", np.zeros(3), np.ones(3), (), target_mean=0.1, target_scale=1e-7)
    save_model(tmp_path / "m.safetensors", model, "0")
    back = load_model(tmp_path / "m.safetensors")
    assert (back.classes, back.target_mean, back.target_scale) == ((), 0.1, 1e-7)
    save_file(TENSORS, tmp_path / "m.safetensors", VALUES)
    assert_refused(tmp_path / "m.safetensors", "target_scale: expected one output, as values have, got 2 outputs")


@pytest.mark.parametrize("name", ["activation", "mean", "scale", "classes"])
def test_missing_metadata(tmp_path, name):
    save_file(TENSORS, tmp_path / "m.safetensors", {key: value for key, value in METADATA.items() if key != name})
    assert_refused(tmp_path / "m.safetensors", f"expected metadata with {name}, got none", f"give --{name}")


BAD_TENSORS = {
    "NaN": ({"layers.1.bias": np.array([0, np.nan], "float32")}, ("layers.1.bias: expected finite numbers, got nan",)),
    "infinite": ({"layers.0.weight": TENSORS["layers.0.weight"] * np.inf}, ("layers.0.weight: expected finite", "inf")),
    "integers": ({"layers.0.weight": np.ones((3, 2), int)}, ("params[0].weight: expected one floating dtype", "int")),
    "truth values": ({"layers.0.bias": np.ones(2, bool)}, ("params[0].bias: expected real numbers", "bool")),
    "no chain": ({"layers.1.weight": np.ones((5, 2), "float32")}, ("params[1].weight: expected (2,", "(5, 2)")),
    "bias too long": ({"layers.0.bias": np.ones(3, "float32")}, ("params[0].bias: expected (2,)", "(3,)")),
    "no features": ({"layers.0.weight": np.ones((0, 2), "float32")}, ("params[0].weight: expected", "(0, 2)")),
    "another name": ({"layers.2.gain": np.ones(2)}, ("expected the tensors layers.0.weight, layers.0.bias", "gain")),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "words"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tampered_tensors(tmp_path, tensors, words):
    save_file(TENSORS | tensors, tmp_path / "m.safetensors", METADATA)
    assert_refused(tmp_path / "m.safetensors", *words)


def header(**tensor):
    text = json.dumps({"layers.0.weight": tensor}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"a,b\n1,2\n", id="text"),
        pytest.param((2).to_bytes(8, "little") + b"{}", id="no tensors"),
        pytest.param(header(dtype="F32", shape=[2], data_offsets=[0, 80]), id="truncated"),
        pytest.param(header(dtype="F8_E4M3", shape=[8], data_offsets=[0, 8]), id="a type that numpy lacks"),
    ],
)
def test_other_contents(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    assert_refused(tmp_path / "m.safetensors", "copy the file again whole, or train again")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(activation="rleu"), ("activation: expected one of", "did you mean 'relu'?")),
        (dict(mean=(1.0, 2.0)), ("mean: expected finite numbers, one or 3, got 2 of them", "correct it")),
        (dict(scale=(0.0,)), ("scale: expected numbers above 0", "got 0.0", "correct it")),
        (dict(classes=("a",)), ("classes: expected 2 different texts", "correct it")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_argument_that_does_not_fit_does_not_blame_the_file(tmp_path, given, words):
    save_file(TENSORS, tmp_path / "m.safetensors", METADATA)
    with pytest.raises(ValueError) as error:
        load_model(tmp_path / "m.safetensors", **given)
    assert all(word in str(error.value) for word in words) and "safetensors" not in str(error.value)


def assert_refused(path, *words):
    with pytest.raises(ValueError) as error:
        load_model(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 500
    assert all(word in message for word in ("expected ", "got ", "; ", *words)), message
