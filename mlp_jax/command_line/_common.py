"""What several commands share: names of optimizers, a line on the data, and the end by Ctrl-C."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

OPTIMIZERS = ("adam", "adamw", "sgd", "momentum")


DEVICES = 8  # at most: more would take more memory than they save time


def use_all_cores() -> None:
    """On the CPU, one device a core, over which runs are shared out; as it is where JAX has started already."""
    import jax

    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(DEVICES, os.cpu_count() or 1))


def keep_compiled_programs() -> None:
    """Let the next start find what this one compiles, in the user's cache folder or $JAX_COMPILATION_CACHE_DIR."""
    import jax

    from mlp_jax._cache import cache_folder

    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]  # flags come into being at run time
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def optimizer_factory(name: str) -> Callable[..., Any]:
    """Return the optax factory of that name."""
    import optax

    momentum = partial(optax.sgd, momentum=0.9, nesterov=True)
    return {"adam": optax.adam, "adamw": optax.adamw, "sgd": optax.sgd, "momentum": momentum}[name]


def default_epochs(examples: int, batch_size: int) -> int:
    """Return as many passes as make 2,000 steps, and at least 10."""
    steps = -(-examples // batch_size)  # an epoch
    return max(10, -(-2000 // steps))


def describe_data(dataset: Any) -> None:
    """Print the sizes of a data set."""
    print(
        f"data {dataset.name}: {len(dataset.train.x):,} train, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test examples, {dataset.train.x.shape[1]} features, {len(dataset.classes)} classes"
    )


def interrupted(signal_number: int, frame: Any, words: str = "") -> None:
    """End at once, also inside a library that would swallow a KeyboardInterrupt; show the cursor that a bar hides."""
    print("\x1b[?25h" if sys.stderr.isatty() else "", end="", file=sys.stderr)
    print(f"\ninterrupted{words}", file=sys.stderr, flush=True)
    os._exit(130)
