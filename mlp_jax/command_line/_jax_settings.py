"""Settings of JAX for the whole process, made before its first computation."""

import os
from contextlib import suppress

DEVICES = 8  # at most: more would take more memory than they save time


def use_all_cores() -> None:
    """Use one CPU device per core, over which runs are shared out. No effect once JAX has started."""
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
