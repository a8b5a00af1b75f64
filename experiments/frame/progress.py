"""How far a run is: a bar in a terminal, and elsewhere a line every ten seconds, with the time left."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlp_jax.command_line import progress_bars

EVERY = 10.0  # seconds between lines

Report = Callable[[float, str], None]


@contextmanager
def progress(unit: str, total: float) -> Iterator[Report]:
    """Yield report(done, words), which shows how much of the total is done, and by words, what is being done."""
    if sys.stderr.isatty():
        with progress_bars() as add_bar:
            yield add_bar(unit, total)
        return
    start, state, ended = time.perf_counter(), [(0.0, "")], threading.Event()

    def report(done: float, words: str = "") -> None:
        state[0] = (done, words)

    def lines() -> None:
        while not ended.wait(EVERY):
            done, words = state[0]
            print(line(done, total, time.perf_counter() - start, words), file=sys.stderr, flush=True)

    thread = threading.Thread(target=lines, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()


def line(done: float, total: float, seconds: float, words: str) -> str:
    """Return one line of progress. The time left is that of the rest at the pace so far.

    >>> line(5, 20, 60, "why_depth: finding"), line(0, 20, 3, "")
    ('25 % done, about 3 min left: why_depth: finding', '0 % done')
    """
    left = f", about {_duration(seconds * (total - done) / done)} left" if done > 0 else ""
    return f"{done / total:.0%} done{left}{': ' * bool(words)}{words}".replace("%", " %", 1)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
