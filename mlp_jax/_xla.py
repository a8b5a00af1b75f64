"""Protection from XLA's YNNPACK fusion, which computes silently wrong results on CPU.

jaxlib 0.10.2 and later fuse a matrix product with the operations around it. Some of these programs are wrong:
`jnp.sum((E @ jnp.broadcast_to(c, (k, k))) * E, axis=1)` gives 1e+31, NaN or numbers of the wrong size (jax issues
39103, 39257 and 40412). `import mlp_jax` turns the fusion off for the whole process, which does not make it slower.

- It appends `FLAG` to XLA_FLAGS. A user's own setting of this flag is kept, whatever its value.
- `MLP_JAX_KEEP_YNN=1` keeps the fusion.
- XLA reads XLA_FLAGS once, when JAX starts. If that is too late, a warning says what to do.
- XLA ends a process whose XLA_FLAGS holds an unknown flag, so only the versions in `VERSIONS` get it. On any other
  version nothing is set and programs run as that version compiles them. jaxlib 0.10.0 has the fusion off.
- Child processes inherit XLA_FLAGS. A child whose jaxlib does not know the flag would end at once; every jaxlib from
  0.8.3 to 0.12.0.1 that was tried knows it. Give such a child another `env`.
- The flag only concerns programs for the CPU. CUDA plugins have the version of jaxlib, so they know the flag, too.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import jax
from jaxlib.version import __version__ as JAXLIB

# To add a version: `XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= python -c "import jax; jax.devices()"` must end
# well with it, and tests/test_compiler.py must pass with the version in this list.
VERSIONS = ("0.10.1", "0.10.2", "0.11.0", "0.11.1", "0.11.2", "0.12.0", "0.12.0.1")
OPTION = "xla_cpu_experimental_ynn_fusion_type"
FLAG = f"--{OPTION}="
OFF, ON = {OPTION: ""}, {OPTION: "LIBRARY_FUSION_TYPE_DOT"}


def _settings(flags: str) -> list[str]:
    """Return the settings of the fusion in XLA_FLAGS, which holds flags or names a file of flags."""
    if _names_file(flags):
        with suppress(OSError, ValueError):
            flags = Path(flags).read_text(encoding="utf-8")
    return [flag for flag in flags.split() if flag.startswith(f"--{OPTION}")]


def _names_file(flags: str) -> bool:
    return flags.strip() != "" and not flags.strip().startswith("-")


def _has_started() -> bool:
    """Return whether JAX has started, without starting it: then it refuses another number of CPU devices."""
    number = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # flags come into being at run time
    try:
        jax.config.update("jax_num_cpu_devices", number + 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", number)
    return False


def turn_ynn_off() -> bool:
    """Turn the fusion off for this process unless the user has decided; return whether it is known to be off."""
    flags = os.environ.get("XLA_FLAGS", "")
    settings = _settings(flags)
    if settings or JAXLIB not in VERSIONS or os.environ.get("MLP_JAX_KEEP_YNN", "0") not in ("", "0"):
        return settings[-1:] == [FLAG]
    late = "JAX has started before mlp_jax was imported" if _has_started() else ""
    if late or _names_file(flags):
        cure = "import mlp_jax first, or set" if late else "add to that file, or set to"
        warnings.warn(
            f"{late or 'XLA_FLAGS names a file'}: some programs may give wrong results on CPU, by a fusion of XLA that "
            f"import mlp_jax would have turned off; {cure} XLA_FLAGS={FLAG} (MLP_JAX_KEEP_YNN=1 hides this warning)",
            RuntimeWarning,
            stacklevel=4,  # who imports mlp_jax
        )
        return False
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()
    return True


@cache
def _knows_option() -> bool:
    """Return whether this jaxlib knows the option of the fusion, which it may on versions that are not listed."""
    try:
        jax.jit(lambda: 0, compiler_options=OFF)()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def jit_without_ynn(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `jax.jit(f)` with the fusion off, whatever the process has; not for use inside of another jit."""
    known = JAXLIB in VERSIONS or _knows_option()
    return jax.jit(f, compiler_options=OFF if known else None)


def jit_with_ynn(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `jax.jit(f)` with the fusion on; on versions that are not listed, as the process has it."""
    return jax.jit(f, compiler_options=ON if JAXLIB in VERSIONS else None)


def operation_by_operation() -> AbstractContextManager[Any]:
    """Return a context in which no jit inside of a function applies the fusion."""
    return nullcontext() if YNN_IS_OFF else jax.disable_jit()


YNN_IS_OFF = turn_ynn_off()
