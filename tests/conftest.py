"""All strictness in one place: annotations are checked at run time, warnings are errors, ranks must match."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # correctness is a matter of float64, which GPUs do slowly
# Compiling is most of the time: workers, child processes and the next run share what was compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# The programs of the plain tests are small and run once, so they are compiled fast and not to be fast. The slow tests,
# and all with XLA_FLAGS empty, compile as users do. 32 layers crash with the last flag, and all with an unknown one.
os.environ.setdefault(
    "XLA_FLAGS",
    " ".join(
        flag
        for flag, versions in {
            "--xla_backend_optimization_level=0": ("0.10", "0.11", "0.12"),
            "--xla_llvm_disable_expensive_passes=true": ("0.10", "0.11", "0.12"),
            "--xla_cpu_use_fusion_emitters=false": ("0.10",),
        }.items()
        if version("jaxlib").startswith(versions) and not any("slow" in argument for argument in sys.argv)
    ),
)

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
