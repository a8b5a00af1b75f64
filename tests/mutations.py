"""Right rules, each with twelve kinds of mistakes, in three dtypes: which mistakes the checker catches.

`python tests/mutations.py` runs the whole table and writes tests/mutations.json, which `test_rules.py` reads; tests run
a fixed sample. A mistake that changes nothing at a point, such as the sign of zeros, is not counted.
"""

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import mlp_jax
from experiments.why_gradient_checks.right_rules import DTYPES, RULES, arguments, is_one, with_mistake
from mlp_jax.check.mistakes import GRADIENT_MISTAKES

RECORD = Path(__file__).with_name("mutations.json")
DRAWS = 300  # of right rules


def verdict(name: str, mistake: str | None, dtype: str, seed: int = 0) -> str:
    """Return what the checker says of a rule: right, wrong or undecided."""
    ruled = with_mistake(RULES[name][0], mistake)
    return mlp_jax.check_custom_vjp(ruled, *arguments(name, dtype, seed), seed=seed).verdict.split(":")[0]


def row(name: str) -> dict[str, dict[str, str]]:
    """Return the verdicts of a rule by dtype and mistake; of the right rule under the name none."""
    kinds = [mistake for mistake in GRADIENT_MISTAKES if is_one(name, mistake)]
    found = {dtype: {kind or "none": verdict(name, kind, dtype) for kind in [None, *kinds]} for dtype in DTYPES}
    print(name, file=sys.stderr)
    return found


def table(pool: Any) -> dict[str, dict[str, dict[str, str]]]:
    """Return all verdicts by dtype, rule and mistake."""
    rows = pool.map(row, RULES, chunksize=1)
    return {dtype: {name: of[dtype] for name, of in zip(RULES, rows, strict=True)} for dtype in DTYPES}


def counts(found: dict[str, dict[str, str]]) -> dict[str, int]:
    """Return how many mistakes of one dtype were caught, undecided and missed, and false alarms on right rules."""
    said = [v for row in found.values() for kind, v in row.items() if kind != "none"]
    right = [row["none"] for row in found.values()]
    return {
        "caught": said.count("wrong"),
        "undecided": said.count("undecided"),
        "missed": said.count("right"),
        "right": right.count("right"),
        "false alarms": right.count("wrong"),
    }


def drawn(k: int) -> tuple[str, str]:
    """Return the rule and the dtype of the k-th draw."""
    names = list(RULES)
    return names[k % len(names)], DTYPES[k // len(names) % 3]


def draw(k: int) -> str:
    """Return what a right rule is called at the k-th point, each with a seed of its own."""
    name, dtype = drawn(k)
    return verdict(name, None, dtype, seed=k)


def main() -> None:
    """Write the record of the whole table and of the draws of right rules, by two processes."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        verdicts, said = table(pool), pool.map(draw, range(DRAWS), chunksize=10)
    record = {"counts": {d: counts(verdicts[d]) for d in DTYPES}, "draws": said, "table": verdicts}
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(json.dumps({"counts": record["counts"], "draws": {word: said.count(word) for word in sorted(set(said))}}))


if __name__ == "__main__":
    main()
