"""How the programs of tests are compiled: fast, or as users compile."""

import os
import sys
from importlib.metadata import version

# An unknown flag ends the process, so each is given only to the versions of jaxlib that know it.
QUICK_FLAGS = {
    "--xla_backend_optimization_level=0": ("0.10", "0.11", "0.12"),
    "--xla_llvm_disable_expensive_passes=true": ("0.10", "0.11", "0.12"),
    "--xla_cpu_use_fusion_emitters=false": ("0.10",),
}


def xla_flags():
    """Programs of tests are small and run once, so compiling them is most of the time.

    With TESTS_COMPILE=quick, the default but for `-m slow`, XLA optimises less, which takes a third of the time
    on jaxlib 0.10. Networks of 32 layers crash that compiler, so they are among the slow tests.
    """
    mode = os.environ.setdefault("TESTS_COMPILE", "users" if "slow" in sys.argv else "quick")  # workers inherit it
    known = [flag for flag, versions in QUICK_FLAGS.items() if version("jaxlib").startswith(versions)]
    return " ".join(known) if mode == "quick" else ""
