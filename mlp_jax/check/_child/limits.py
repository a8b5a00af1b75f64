"""Limits on the process that runs a file, and on each one that it starts; a superuser can lift them."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

MEMORY = 4 * 2**30  # bytes
PER_CORE = 64 * 2**20  # and for the threads of a core: their stacks, and buffers of NumPy and JAX
FILE = 2**28  # bytes of a file that it writes
PROCESSES = 1000  # that may begin, next to those that run already
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


def limits(seconds: float) -> dict[str, int]:
    """Return the limits by their names in `resource`, for a file that may take some seconds."""
    cores = os.cpu_count() or 1
    memory = MEMORY + cores * PER_CORE
    found = {
        "RLIMIT_DATA": memory,
        "RLIMIT_AS": 4 * memory,  # large libraries map files of several GiB
        "RLIMIT_FSIZE": FILE,
        "RLIMIT_CPU": int((seconds + 5) * cores) + 1,  # for what outlives both this process and the judge
        "RLIMIT_CORE": 0,
    }
    with suppress(OSError, ValueError):  # the user's other programs count too, so their number is needed
        threads = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2]
        found["RLIMIT_NPROC"] = int(threads) + PROCESSES + 4 * cores**2  # some threads per core, in a process per core
    return found


def limit(seconds: float) -> None:
    """Limit this process."""
    try:
        import resource
    except ImportError:  # Windows has none; there only the judge's clock ends a process
        return
    for name, most in limits(seconds).items():
        number = getattr(resource, name, None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with suppress(ValueError, OSError):  # macOS refuses some
                resource.setrlimit(number, (most, most))


def go_on_in_a_child() -> None:
    """Go on in a new process and session, while this one waits and then ends as it does.

    So the parent that a file sees is not the judge. On Linux this process is also the parent of what the file's
    processes leave behind, so that the judge finds them.
    """
    if not hasattr(os, "fork"):
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        os.setsid()
        return
    limit(0)  # it leaves no core either
    os.close(0)  # the pipes are the child's
    os.close(1)
    ended, status = 0, 0
    while ended != child:
        ended, status = os.wait()
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
