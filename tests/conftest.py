"""All strictness in one place: annotations are checked at run time, warnings are errors, ranks must match."""

import os

from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # correctness is a matter of float64, which GPUs do slowly

with install_import_hook("mlp_jax", "beartype.beartype"):
    import mlp_jax

import jax
import pytest
from jaxtyping import config as jaxtyping_config

assert mlp_jax.__file__
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
