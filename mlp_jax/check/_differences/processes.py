"""Start the process that runs a file, as a user with few rights if possible, and end it with all that it has started.

What is found is what the process and its descendants start, also in groups and sessions of their own. A process is not
found if it both outlives the first one and has run another program with an empty environment; nor is one that the file
has another service start, such as cron.
"""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

MARK = "MLP_JAX_CHECKED"  # the environment's variable by which descendants are known
MOST_SCANS = 20


class Child(NamedTuple):
    """A process that runs a file: itself, the mark of its descendants, and the name of its user if not the judge's."""

    popen: subprocess.Popen[bytes]
    process: psutil.Process
    mark: str
    user: str


def start(command: Sequence[str], environment: Mapping[str, str], reads: Sequence[Path]) -> Child:
    """Start a process with pipes for questions and answers, which has to be able to read some paths."""
    mark, user = secrets.token_hex(16), nobody(reads)
    given: Any = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
        "env": {**environment, MARK: mark},
        "start_new_session": True,
    }
    if user:
        with suppress(OSError):  # in some containers no process can change its user
            popen = subprocess.Popen(command, **given, **user)
            return Child(popen, psutil.Process(popen.pid), mark, "nobody")
    popen = subprocess.Popen(command, **given)
    return Child(popen, psutil.Process(popen.pid), mark, "")


def is_superuser() -> bool:
    """Return whether this process may do everything."""
    return os.name == "posix" and os.geteuid() == 0


def nobody(reads: Sequence[Path]) -> dict[str, Any]:
    """Return the arguments of `Popen` for the user nobody, if this is the superuser and everyone can read the paths."""
    if not is_superuser() or not all(map(is_public, reads)):
        return {}
    import pwd

    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return {}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def is_public(path: Path) -> bool:
    """Return whether every user can read a file, or can list a folder and pass through it."""
    try:
        for way in {path.absolute(), path.resolve()}:
            needs = 0o5 if way.is_dir() else 0o4
            if way.stat().st_mode & needs != needs or not all(folder.stat().st_mode & 0o1 for folder in way.parents):
                return False
    except OSError:
        return False
    return True


def end(child: Child) -> None:
    """End a process and its descendants: all are stopped first, so that none starts another meanwhile."""
    found: set[psutil.Process] = set()
    with suppress(psutil.Error):
        child.process.suspend()
    for _ in range(MOST_SCANS):
        new = set(_descendants(child)) - found
        if not new:
            break
        for process in new:
            with suppress(psutil.Error):
                process.suspend()
        found |= new
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    if child.popen.poll() is None:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.popen.pid, signal.SIGKILL)
        child.popen.kill()
        child.popen.wait()


def _descendants(child: Child) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):  # it has ended
        yield from child.process.children(recursive=True)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != child.popen.pid and process.environ().get(MARK) == child.mark:
                yield process
