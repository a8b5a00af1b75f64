"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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
