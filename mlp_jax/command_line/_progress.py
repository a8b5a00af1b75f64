"""Progress bars on the error stream, drawn only if it is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Move = Callable[..., None]  # move(done, words="")


@contextmanager
def progress_bars() -> Iterator[Callable[..., Move]]:
    """Yield a function that adds a bar, add(unit, total, words=""), and returns the one that moves it."""
    if not sys.stderr.isatty():
        yield lambda unit, total, words="": lambda done, words="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def add(unit: str, total: float, words: str = "") -> Move:
            task = progress.add_task(f"{unit} 0/{total:g}", total=total, words=words)

            def move(done: float, words: str = "") -> None:
                progress.update(task, completed=done, description=f"{unit} {round(done, 1):g}/{total:g}", words=words)

            return move

        yield add
