"""Output files: checked before any work, and written whole or not at all."""

import csv
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mlp_jax._doors import mistake

UNFINISHED = ".unfinished"


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that gets the name `path` only when it is whole.

    Text is UTF-8, and its line ends are written as they are given. The file is written in the folder of `path` under a
    temporary name, which holds the id of this process and ends in .unfinished. If writing fails, as on a full disk, the
    temporary file is removed and the old `path` stays as it is.

    Args:
      path: the file to write or replace.
      mode: "w" for text, "wb" for bytes.

    Yields:
      The open file.

    Raises:
      OSError: if the file cannot be written; its `filename` is `path`.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.{os.getpid()}.", suffix=UNFINISHED)
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]  # mode is not known before
            yield file
        os.umask(umask := os.umask(0))  # the only way to read it: only the owner may read what mkstemp makes
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_csv(file: Any, header: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    """Write a header and rows as CSV."""
    csv.writer(file, lineterminator="\n").writerows([header, *rows])


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `atomic_write` whose process is gone: it was killed while it wrote them."""
    import psutil

    for path in folder.glob(f"*{UNFINISHED}"):
        process = re.search(rf"\.(\d+)\.[^.]*{re.escape(UNFINISHED)}$", path.name)
        if process and not psutil.pid_exists(int(process[1])):
            path.unlink(missing_ok=True)


def check_output(output: Path | None, overwrite: bool, inputs: Sequence[str | Path] = ()) -> None:
    """Check, before any work, that an output can be written and replaces nothing by accident.

    Args:
      output: the file to write; None for none.
      overwrite: whether a file that exists may be replaced.
      inputs: files that are read, which are never replaced. Names of data sets may be among them.

    Raises:
      ValueError: if `output` is a folder, an input or an existing file, or its folder cannot be written to.
    """
    if output is None:
        return
    if output.exists() and not output.is_file():
        raise mistake("output", "the name of a file", f"{output}, a folder or device", "give another name")
    if any(Path(name).exists() and output.exists() and output.samefile(name) for name in inputs):
        raise mistake("output", "another file than the input", output, "give another name")
    if output.exists() and not overwrite:
        raise mistake("output", "a new file", f"{output}, which exists", "give --overwrite to replace it")
    if not output.parent.is_dir():
        raise mistake("output", "a folder that exists", output.parent, "make it first")
    try:
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        raise mistake("output", "a folder that can be written to", f"{output.parent} ({error.strerror})") from error
