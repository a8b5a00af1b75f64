"""Is the line with a planted mistake marked? Each known mistake in four styles and three activations.

`python tests/planted_lines.py` judges the whole table and writes tests/planted_lines.json, which `test_lines.py` reads;
with a number n it judges every n-th file. Then it judges `RIGHT` files without a mistake, of which none may be marked,
and takes the time of every `TIMED`-th file of the table with the listing and X"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mlp_jax.check import _files
from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.forms import drawn_form
from mlp_jax.check._exercises.styles import NAMES
from mlp_jax.check._exercises.writing import network, spots, written

RECORD = Path(__file__).with_suffix(".json")
TIMED = 30
RIGHT = 500
LOSSES = ("cross_entropy", "squared_error")
SEEDS = range(4)  # of files in which a place for a mistake is looked for


class Case(NamedTuple):
    """A file with a mistake."""

    style: str
    activation: str
    layers: int
    seed: int
    mistake: str


def cases():
    """A file for each mistake that can be planted in a style with an activation; depths take turns."""
    found = {}
    for style in NAMES:
        for activation in ACTIVATIONS:
            for seed in SEEDS:
                layers = 2 + seed % 2
                for spot in spots(network(style, activation, "cross_entropy", layers, drawn_form(seed))):
                    key = (style, activation, spot.mistake)
                    found.setdefault(key, Case(style, activation, layers, seed, spot.mistake))
    return list(found.values())


def planted(case):
    """The file of a case."""
    style, activation, layers, seed, mistake = case
    return written(style, activation, "cross_entropy", layers, seed, mistakes=[mistake])


def right_files():
    """Files without a mistake: each style, activation, loss and depth, at seeds that no file of the table has."""
    kinds = list(itertools.product(NAMES, ACTIVATIONS, LOSSES, (2, 3)))
    return [written(*kinds[i % len(kinds)], seed=len(SEEDS) + i) for i in range(RIGHT)]


def saved(file, folder):
    """The path of a file in a folder."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=folder, delete=False, encoding="utf-8") as stream:
        stream.write(file.text)
    return Path(stream.name)


def checked(file, folder, lines):
    """The report of a file, with a listing or without."""
    return _files.check_file(saved(file, folder), _files.Asking(seconds=120, seed=3, lines=lines))


def commanded(file, folder, lines):
    """What the command prints of a file, with a listing or without."""
    command = [sys.executable, "-m", "mlp_jax", "check", str(saved(file, folder)), *(["--lines"] if lines else [])]
    return subprocess.run(command, capture_output=True, check=False)


def times(chosen, folder, check):
    """How many times as long as without the listing a check takes with it: the median and the most."""
    ratios = []
    for case in chosen:
        file, seconds = planted(case), []
        for lines in (True, False):
            began = time.monotonic()
            check(file, folder, lines)
            seconds.append(time.monotonic() - began)
        ratios.append(seconds[0] / seconds[1])
    return {"median": round(statistics.median(ratios), 1), "most": round(max(ratios), 1)}


def marked(case, folder):
    """What is marked in a file: "part" of the line, "line", "another line", "nothing", or the verdict if not "wrong".

    A part is marked if what is marked lies within the planted part.
    """
    file = planted(case)
    report = checked(file, folder, lines=True)
    if report.verdict != "wrong":
        return report.verdict
    marks = () if report.listing is None else report.listing.marks
    if not marks:
        return "nothing"
    span, mistake = marks[0].span, file.planted[0]
    if span.line != mistake.line:
        return "another line"
    return "part" if mistake.column <= span.column and span.end_column <= mistake.end_column else "line"


def right_record(files, pool, folder):
    """How many right files are judged correct, and how many have a mark."""
    reports = list(pool.map(lambda file: checked(file, folder, lines=True), files))
    verdicts = Counter(report.verdict for report in reports)
    listings = [report.listing for report in reports]
    return {"files": len(files), **verdicts, "listed": sum(listing is not None for listing in listings),
            "marked": sum(bool(listing and listing.marks) for listing in listings)}  # fmt: skip


def record(found):
    """How many were marked, and which lines were not."""
    counts = Counter(found.values())
    wrong = sum(counts[what] for what in ("part", "line", "another line", "nothing"))
    missed = [[*case, what] for case, what in found.items() if what not in ("part", "line")]
    return {"files": len(found), "wrong": wrong, "line": counts["part"] + counts["line"], "part": counts["part"],
            "missed": missed}  # fmt: skip


def main():
    """Judge all of them, or every n-th, and write the record."""
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    chosen = cases()[::every]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {}
        for case, what in zip(chosen, pool.map(lambda case: marked(case, folder), chosen), strict=True):
            found[case] = what
            if what not in ("part", "line"):
                print(f"{what}: {', '.join(map(str, case))}", file=sys.stderr, flush=True)
        right = right_record(right_files()[::every], pool, folder)
        timed = {"command": commanded, "without the start of Python": checked}
        as_long = {name: times(chosen[::TIMED], folder, check) for name, check in timed.items()}
        made = {"every": every} | record(found) | {"right": right, "times as long": as_long}
    rows = ",\n".join(json.dumps(row) for row in made["missed"])
    head = json.dumps({key: value for key, value in made.items() if key != "missed"}, indent=1)[:-2]
    RECORD.write_text(f'{head},\n "missed": [\n{rows}\n]}}\n', encoding="utf-8")
    print({key: value for key, value in made.items() if key != "missed"})


if __name__ == "__main__":
    main()
