"""Many runs as one program: each equals its run alone, however many go side by side and over however many devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.sweeps._many_runs import CACHE, MOST_AT_ONCE, over_devices, padded, runs_at_once

A, B = np.arange(8, dtype=np.float32), np.arange(16, dtype=np.float32).reshape(8, 2)


def run(a, b, shared):
    return {"dot": (b * shared).sum() + a, "shape": jnp.full(3, a)}


@pytest.mark.parametrize("at_once", [0, 1, 2, 8])
def test_every_run_is_its_run_alone(at_once):
    shared = np.array([2.0, 3.0], np.float32)
    results = jax.jit(over_devices(run, tuple(jax.devices()), at_once))((A, B), (shared,))
    np.testing.assert_array_equal(results["dot"], B @ shared + A)
    np.testing.assert_array_equal(results["shape"], np.repeat(A[:, None], 3, axis=1))


@pytest.mark.parametrize(("count", "multiple", "expected"), [(3, 2, 4), (4, 2, 4), (1, 8, 8), (5, 1, 5)])
def test_padding_repeats_the_first_runs(count, multiple, expected):
    runs = padded((A[:count], jax.random.split(jax.random.key(0), count)), multiple)
    np.testing.assert_array_equal(runs[0], A[np.arange(expected) % count])
    assert runs[1].shape == (expected,)


@pytest.mark.parametrize(
    ("size", "platform", "expected"),
    [
        (1, "cpu", MOST_AT_ONCE),
        (CACHE // 5, "cpu", 4),  # a power of two
        (CACHE // 3, "cpu", 1),  # 2 or 3 are slower than 1
        (10 * CACHE, "cpu", 1),
        (1, "gpu", 0),  # all
    ],
    ids=str,
)
def test_as_many_at_once_as_the_cache_holds(size, platform, expected):
    assert runs_at_once(size, platform) == expected


@pytest.mark.slow
def test_two_devices_share_out_the_runs():
    code = """
import jax, jax.numpy as jnp
jax.config.update("jax_num_cpu_devices", 2)
from mlp_jax.sweeps import over_devices
devices = tuple(jax.devices())
for at_once in (0, 1, 2):
    results = jax.jit(over_devices(lambda a, b: a * b, devices, at_once))((jnp.arange(4.0),), (3.0,))
    assert len(results.sharding.device_set) == 2
    assert results.tolist() == [0, 3, 6, 9], results
print("shared")
"""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "shared\n", done.stderr
