"""MNIST's files: found where the user keeps them or downloaded once, and always verified by SHA-256."""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_jax._cache import cache_folder
from mlp_jax._doors import mistake
from mlp_jax._extras import needs

Bytes = NDArray[np.uint8]
Log = Callable[[str], object]

MNIST_SHA256 = {  # of the raw (uncompressed) contents
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_CURE = "delete the file (it is downloaded again), or replace it by the original"
TIMEOUT = 30.0  # seconds for which a mirror may stay silent


def read_mnist(
    cache: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] = MNIST_MIRRORS,
    log: Log | None = None,
) -> dict[str, Bytes]:
    """Return the four arrays of MNIST by the names of their files (LeCun, Cortes and Burges, 1998).

    The files may be gzipped. They are looked for in $MLP_JAX_DATA, in its folder `mnist`, then in `cache`. Files that
    are in none of these are downloaded into `cache` (11 MB).

    Args:
      cache: a folder; by default `mnist` in this library's folder of the user's cache.
      mirrors: addresses of folders with the gzipped files. They are tried in this order.
      log: called with one line of text when a download starts.

    Returns:
      Images of shape (N, 28, 28) and labels of shape (N,), both uint8.

    Raises:
      ValueError: if a file is damaged.
      ConnectionError: if no mirror works.
      ModuleNotFoundError: if files must be downloaded and pooch is missing.
    """
    folder = cache_folder() / "mnist" if cache is None else Path(cache).expanduser()
    if None in [_locate(name, folder) for name in MNIST_SHA256]:
        _download(folder, mirrors, log)
    return {name: _read(_locate(name, folder) or folder / name, name) for name in MNIST_SHA256}


def parse_idx(raw: bytes, name: str) -> Bytes:
    """Parse MNIST's IDX format (LeCun, 1998) of unsigned bytes.

    Raises:
      ValueError: if magic, header or length is wrong.

    Example:
      >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7]), "two bytes")
      array([5, 7], dtype=uint8)
    """
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or raw[3] == 0:
        raise mistake(name, "the IDX magic 00 00 08 and a count of axes", repr(raw[:4].hex(" ")), MNIST_CURE)
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise mistake(name, f"{start + math.prod(shape)} bytes for shape {shape}", len(raw), MNIST_CURE)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _locate(name: str, cache: Path) -> Path | None:
    own = os.environ.get("MLP_JAX_DATA")
    folders = [Path(own), Path(own, "mnist"), cache] if own else [cache]
    paths = (folder / (name + suffix) for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path, name: str) -> Bytes:
    """Read, verify and parse the MNIST file `name`, which lies at `path` and may be gzipped."""
    content = path.read_bytes()
    try:
        raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise mistake(path, "a whole gzip file", f"a damaged one ({error})", MNIST_CURE) from error
    digest = hashlib.sha256(raw).hexdigest()
    if digest != MNIST_SHA256[name]:
        raise mistake(path, f"contents of SHA-256 {MNIST_SHA256[name]}", digest, MNIST_CURE)
    return parse_idx(raw, str(path))


def _download(cache: Path, mirrors: Sequence[str], log: Log | None) -> None:
    """Download the MNIST files that are missing into `cache`, from the first mirror that works."""
    failures = []
    for mirror in mirrors:
        if log is not None:
            log(f"downloading MNIST (11 MB) from {mirror} to {cache}")
        try:
            for name in MNIST_SHA256:
                if _locate(name, cache) is None:
                    _download_file(f"{mirror.rstrip('/')}/{name}.gz", name, cache)
            return
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}: {error or type(error).__name__}")
    files = ", ".join(f"{name}.gz" for name in MNIST_SHA256)
    raise ConnectionError(
        f"MNIST: expected a download to {cache}, got {'; '.join(failures) or 'no mirrors'}. "
        f"Offline: put the files {files} in a folder and set MLP_JAX_DATA to that folder"
    )


def _download_file(url: str, name: str, cache: Path) -> None:
    """Download one file. Pooch gives it its name once `fetch` has verified it under a temporary one."""
    with needs("pooch", "data", "the download of MNIST"):
        import pooch

    def fetch(url: str, temporary: str, _: Any) -> None:
        pooch.HTTPDownloader(timeout=TIMEOUT)(url, temporary, None)
        _read(Path(temporary), name)

    pooch.get_logger().setLevel("WARNING")  # `log` has said it
    pooch.retrieve(url, known_hash=None, fname=f"{name}.gz", path=cache, downloader=fetch)
