"""`mlp-jax exercise`: files with a backward pass in which mistakes are to be found, for a student or a whole class."""

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlp_jax import _doors
from mlp_jax._files import atomic_write, check_output, write_csv


def exercise(
    *,
    rule: Literal["output", "delta", "dh", "dW", "db", "gradients", "loss", "affine", "hidden", "final"] | None = None,
    level: int | None = None,
    style: Literal["vectorised", "loops", "classes", "columns"] | None = None,
    mistakes: int = 1,
    seed: int | None = None,
    output: Path | None = None,
    key: Path | None = None,
    number: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a Python file with a backward pass in which mistakes are to be found and repaired.

    Mistakes are those that people make, each in one line. mlp-jax check judges the file, before and after the repair.
    With --number it writes as many files as that into a folder, all different, with a table summary.csv of them.

    Args:
      rule: of the chain, that is broken: the output's delta_L, delta_l = d h_l * phi'(z_l), d h_{l-1}, d W_l, d b_l,
        the gradients that are returned, the loss, or a step of the forward pass; by default any.
      level: how visible the mistakes are when the network is trained, from 1, it fails, to 4, nothing is seen; by
        default any. The numbers are measured on digits.
      style: NumPy on the whole batch in rows, a loop over the examples, layers as classes, or examples in columns; by
        default any.
      mistakes: how many are in a file, 1 to 4; several are of different rules, unless --rule is given.
      seed: the same gives the same file; by default a new one, which the key tells.
      output: the file to write, or with --number the folder; by default a file is printed.
      key: a text to write for the teacher: line, what is there, what is right, and why.
      number: how many files to write.
      overwrite: replace files that exist.
    """
    from mlp_jax.check._exercises.exercise import Request, check_request, key_of
    from mlp_jax.check._exercises.exercise import exercise as drawn

    request = Request(mistakes, rule, level, style)
    check_request(request)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    _doors.check_seed("seed", seed)
    if key is not None and key == output:
        raise _doors.mistake("key", "another file than --output", key)
    if number is not None:
        _write_set(request, seed, _doors.as_whole_number("number", number, at_least=1), output, key, overwrite)
        return
    for path in (output, key):
        check_output(path, overwrite)
    one = drawn(request, seed)
    if output is None:
        print(one.written.text, end="")
    else:
        _write(output, one.written.text)
    if key is not None:
        _write(key, key_of(one, "exercise.py" if output is None else output.name))


def _write_set(request: Any, seed: int, number: int, folder: Path | None, key: Path | None, overwrite: bool) -> None:
    """Write a set of exercises for a class, with a table of them."""
    from mlp_jax.check._exercises.exercise import SUMMARY, exercises, key_of, summary
    from mlp_jax.check._rendering import text_table

    if folder is None:
        raise _doors.mistake("output", "a folder, as --number is given", "none", "give --output FOLDER")
    if folder.exists() and not folder.is_dir():
        raise _doors.mistake("output", "a folder, as --number is given", f"{folder}, a file", "give another name")
    digits = max(2, len(str(number)))
    files = [folder / f"exercise_{i:0{digits}}.py" for i in range(1, number + 1)]
    table = folder / "summary.csv"
    folder.mkdir(parents=True, exist_ok=True)
    if key in (*files, table):
        raise _doors.mistake("key", "another file than those of the set", key)
    for path in (*files, table, key):
        check_output(path, overwrite)
    made = list(zip([file.name for file in files], exercises(request, seed, number), strict=True))
    for file, (_, one) in zip(files, made, strict=True):
        with atomic_write(file) as stream:
            stream.write(one.written.text)
    rows = summary(made)
    with atomic_write(table) as stream:
        write_csv(stream, SUMMARY, rows)
    print("\n".join(text_table(SUMMARY, rows, left=SUMMARY)))
    print(f"wrote {number} files and summary.csv to {folder}", file=sys.stderr)
    if key is not None:
        _write(key, "\n".join(key_of(one, name) for name, one in made))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text)
    print(f"wrote {path}", file=sys.stderr)
