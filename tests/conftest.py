"""All strictness in one place: annotations are checked at run time, warnings are errors, ranks must match."""

import os
from pathlib import Path

from compilation import xla_flags
from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # correctness is a matter of float64, which GPUs do slowly
# Compiling is most of the time: workers, child processes and the next run share what was compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("XLA_FLAGS", xla_flags())

# imported inside, so that the annotations of its modules that compute with arrays are checked
with install_import_hook(
    [
        "mlp_jax.activations",
        "mlp_jax.backpropagation",
        "mlp_jax.derivatives",
        "mlp_jax.losses",
        "mlp_jax.network",
        "mlp_jax.sweeps._program",
        "mlp_jax.training._batches",
        "mlp_jax.training._engine",
    ],
    "beartype.beartype",
):
    import mlp_jax  # noqa: F401

import jax
import pytest
from jaxtyping import config as jaxtyping_config

collect_ignore = ["wild"]  # files as people write them, which change settings when they are imported

jax.config.update("jax_numpy_rank_promotion", "raise")  # (B,) - (B, 1) is a mistake, not a (B, B)


@pytest.fixture
def float64():
    """Run one test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def no_annotation_checks():
    """Let bad input reach our own check and its words, as it does for users."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _names_for_doctests(doctest_namespace):
    """Examples in docstrings may use these without an import."""
    doctest_namespace.update(jax=jax, jnp=jax.numpy)
