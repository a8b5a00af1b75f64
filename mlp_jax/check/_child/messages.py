"""Messages between a judge and the process that runs a file: a line of JSON, then the arrays that it lists, as float64.

Nothing in a message can be executed.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

LONGEST_LINE = 1_000_000  # bytes of a message's line
MOST_BYTES = 64_000_000  # of its arrays
MOST_AXES = 32


def send(stream: IO[bytes], message: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write a message."""
    arrays = [np.asarray(a, np.float64) for a in arrays]
    line = json.dumps({**message, "shapes": [a.shape for a in arrays]})
    stream.write(line.encode() + b"\n" + b"".join(a.tobytes() for a in arrays))
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read a message, which may be anything if a file has written it.

    Raises:
      EOFError: if the stream ends before the message does, or its line is too long.
      Exception: of another kind, if it is no message.
    """
    line = stream.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError("message")
    shapes = [tuple(int(n) for n in shape) for shape in message["shapes"]]
    if any(len(shape) > MOST_AXES or not all(0 <= n <= MOST_BYTES for n in shape) for shape in shapes):
        raise ValueError("shapes")
    counts = [math.prod(shape) for shape in shapes]
    if 8 * sum(counts) > MOST_BYTES:
        raise ValueError("shapes")
    arrays = []
    for shape, count in zip(shapes, counts, strict=True):
        data = stream.read(8 * count)
        if len(data) < 8 * count:
            raise EOFError
        arrays.append(np.frombuffer(data, np.float64).reshape(shape))
    return message, arrays
