"""Written files, right and with each known mistake: what the checker says of them.

`python tests/planted.py` judges the whole table and writes tests/planted.json, which `test_exercises.py` reads; tests
judge a fixed sample.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mlp_jax.check import _files
from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.forms import drawn_form
from mlp_jax.check._exercises.styles import NAMES
from mlp_jax.check._exercises.writing import BY_NAME, network, spots, written
from mlp_jax.check._networks.networks import LOSSES

RECORD = Path(__file__).with_suffix(".json")
SEEDS = range(12)  # of files in which a place for a mistake is looked for
RIGHT_SEEDS = range(2)
LOSS_NAMES = [*LOSSES]


# Codes that the checker may give a mistake instead of the one of the table: (expected, said), and why.
ALSO = {
    ("convention", "wrong_activation_derivative"): "the losses are those of a linear network, whose phi' is then wrong",
    ("loss_value", "scale"): "loss and gradients are a factor apart, and the file does not say which is meant",
    ("loss_value", "sign"): "loss and gradients have opposite signs, and the file does not say which is meant",
    ("loss_value", "unexplained"): "of a script: its loss is that of no known network",
    ("normalisation_axis", "unexplained"): "of a script: its loss is that of no known network",
    ("wrong_layer", "shape"): "widths differ, so that the shape is wrong first",
    ("wrong_input", "shape"): "widths differ, so that the shape is wrong first",
    ("sign", "scale"): "of a script: the factor is -B",
    ("bias_gradient", "scale"): "of a script: what is wrong is told from its numbers",
    ("bias_gradient", "zero_gradient"): "of a script: what is wrong is told from its numbers",
    (
        "bias_gradient",
        "unexplained",
    ): "of a script: only mistakes of the whole chain are tried, in deep networks not all",
    ("wrong_activation_derivative", "unexplained"): "of a script: mistakes with a number to fit are not tried",
    ("stale_weights", "unexplained"): "of a script: mistakes with a number to fit are not tried",
    ("regularised", "unexplained"): "of a script: mistakes with a number to fit are not tried",
}


class Case(NamedTuple):
    """A file: how it is written, and the mistake in it, if any."""

    style: str
    activation: str
    loss: str
    layers: int
    seed: int
    mistake: str = ""


def text(case):
    """The file of a case."""
    return written(*case[:-1], mistakes=[case.mistake] if case.mistake else []).text


def right_cases():
    """Right files of every style, activation, loss and depth, by several seeds."""
    return [
        Case(style, activation, loss, layers, seed)
        for style in NAMES
        for activation in ACTIVATIONS
        for loss in LOSSES
        for layers in (2, 3)
        for seed in RIGHT_SEEDS
    ]


def wrong_cases():
    """A file for each mistake and style in which it can be planted; activations take turns, as do losses and depths."""
    cases = []
    for i, name in enumerate(BY_NAME):
        for j, style in enumerate(NAMES):
            turns = [[*ACTIVATIONS][(i + j + k) % 3] for k in range(3)]
            losses, depths = LOSS_NAMES[:: 1 if (i + j) % 3 else -1], (2, 3)[:: 1 if (i + j) % 2 else -1]
            found = (
                Case(style, activation, loss, layers, seed, name)
                for activation in turns
                for loss in losses
                for seed in SEEDS
                for layers in depths
                if spots(network(style, activation, loss, layers, drawn_form(seed)), {name})
            )
            cases += [case for case in [next(found, None)] if case]
    return cases


def judged(case, folder):
    """Verdict and first code of a case."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=folder, delete=False, encoding="utf-8") as file:
        file.write(text(case))
    report = _files.check_file(Path(file.name), _files.Asking(seconds=60, seed=case.seed))
    return report.verdict, report.diagnoses[0].code


def judge(cases):
    """Judge all cases, two at once."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = []
        for i, (case, said) in enumerate(
            zip(cases, pool.map(lambda case: judged(case, folder), cases), strict=True), 1
        ):
            found.append(said)
            if not is_as_expected(case, said):
                print(f"{i} of {len(cases)}: {case}: {said}", file=sys.stderr)
    return found


def summary(right, wrong):
    """Counts, and the cases that are not as they should be."""
    named = [(case, said) for case, said in wrong if is_as_expected(case, said)]
    return {
        "right files": len(right),
        "called correct": sum(said[0] == "correct" for _, said in right),
        "mistakes": len({case.mistake for case, _ in wrong}),
        "wrong files": len(wrong),
        "called wrong": sum(said[0] == "wrong" for _, said in wrong),
        "named": len(named),
        "called by another code": {f"{a}, said {b}": n for (a, b), n in sorted(others(wrong).items())},
        "named in each style": dict(Counter(case.style for case, _ in named)),
    }


def others(wrong):
    """How often each code was said in the place of another."""
    return Counter((BY_NAME[case.mistake].code, said[1]) for case, said in wrong if not is_as_expected(case, said))


def is_as_expected(case, said):
    """Whether a right file is called correct, and a wrong one by the code of its mistake."""
    return said == ("wrong", BY_NAME[case.mistake].code) if case.mistake else said[0] == "correct"


def exceptions(cases):
    """The cases whose verdict or code is another than expected."""
    return [[*case, *said] for case, said in cases if not is_as_expected(case, said)]


def main():
    """Judge all, and write the record."""
    cases, wrong_ones = right_cases(), wrong_cases()
    right = list(zip(cases, judge(cases), strict=True))
    wrong = list(zip(wrong_ones, judge(wrong_ones), strict=True))
    record = {"counts": summary(right, wrong), "exceptions": exceptions(right + wrong)}
    never = [name for name in BY_NAME if name not in {case.mistake for case in wrong_ones}]
    RECORD.write_text(json.dumps(record | {"never planted": never}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["counts"], indent=1))


if __name__ == "__main__":
    main()
