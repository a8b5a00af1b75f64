"""MNIST's files: found where the user keeps them, or downloaded once, and verified by SHA-256 wherever they lie."""

import gzip
import hashlib
import http.client
import math
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlp_jax._doors import mistake

Bytes = NDArray[np.uint8]
Report = Callable[[str], None]

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
    report: Report | None = None,
) -> dict[str, Bytes]:
    """Return the four arrays of MNIST by the names of their files (LeCun, Cortes and Burges, 1998).

    The files, gzipped or not, are looked for in $MLP_JAX_DATA or its folder `mnist`, then in `cache` (default: the
    user's cache folder), else downloaded once (11 MB) into `cache` from the first of `mirrors` that works.
    `report` is told when a download starts. Raises ValueError for a damaged file, ConnectionError where no mirror
    works.
    """
    folder = cache_folder() / "mnist" if cache is None else Path(cache)
    if None in [_locate(name, folder) for name in MNIST_SHA256]:
        _download(folder, mirrors, report)
    return {name: _read(_locate(name, folder) or folder / name, name) for name in MNIST_SHA256}


def parse_idx(raw: bytes, name: str) -> Bytes:
    """Parse MNIST's IDX format (LeCun, 1998) of unsigned bytes; ValueError for a bad magic, header or length.

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


def cache_folder() -> Path:
    """Return where this system keeps what can be downloaded or compiled again, for this library."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mlp_jax"


def _locate(name: str, cache: Path) -> Path | None:
    own = os.environ.get("MLP_JAX_DATA")
    folders = [Path(own), Path(own, "mnist"), cache] if own else [cache]
    paths = (folder / (name + suffix) for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path, name: str) -> Bytes:
    """Read, verify and parse the MNIST file `name` that lies, gzipped or not, at `path`."""
    content = path.read_bytes()
    try:
        raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise mistake(path, "a whole gzip file", f"a damaged one ({error})", MNIST_CURE) from error
    digest = hashlib.sha256(raw).hexdigest()
    if digest != MNIST_SHA256[name]:
        raise mistake(path, f"contents of SHA-256 {MNIST_SHA256[name]}", digest, MNIST_CURE)
    return parse_idx(raw, str(path))


def _download(cache: Path, mirrors: Sequence[str], report: Report | None) -> None:
    """Bring the MNIST files that are nowhere yet into `cache`, from the first mirror that works."""
    failures = []
    for mirror in mirrors:
        if report is not None:
            report(f"downloading MNIST (11 MB) from {mirror} to {cache}")
        try:
            for name in MNIST_SHA256:
                if _locate(name, cache) is None:
                    _download_file(f"{mirror.rstrip('/')}/{name}.gz", name, cache)
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{mirror}: {error or type(error).__name__}")
            if isinstance(error, urllib.error.HTTPError):
                error.close()
    files = ", ".join(f"{name}.gz" for name in MNIST_SHA256)
    raise ConnectionError(
        f"MNIST: expected a download to {cache}, got {'; '.join(failures) or 'no mirrors'}. "
        f"Offline: put the files {files} in a folder and set MLP_JAX_DATA to that folder"
    )


def _download_file(url: str, name: str, cache: Path) -> None:
    """Stream one file to a temporary name in `cache`, verify it, and only then give it its own name."""
    cache.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=cache, prefix=name, suffix=".part")
    temporary = Path(path)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            shutil.copyfileobj(response, file)
        _read(temporary, name)
        temporary.replace(cache / f"{name}.gz")
    finally:
        temporary.unlink(missing_ok=True)
