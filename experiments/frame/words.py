"""The words of questions and of the page, in two languages: a file of each language beside the code that they are of.

A question's file holds question, sentence, key and paragraph, and a table for each measurement with its title and, if
it has a picture, its caption. Numbers in them are templates that claims fill: {name:format}.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.frame.claims import Judged

LANGUAGES = ("en", "ko")
FOLDER = Path(__file__).parent


def of(package: ModuleType, language: str) -> dict[str, Any]:
    """Return the words of a question in a language."""
    return _read(Path(package.__file__ or "").parent, language)


def of_page(language: str) -> dict[str, Any]:
    """Return the words that are of no question: of the page, of README's table and of the command."""
    return _read(FOLDER, language)


def filled(template: str, claims: Iterable[Judged], missing: str = "(not measured)") -> str:
    """Fill {name:format} with the measured number of the claim of that name.

    Raises:
      ValueError: if there is no claim of that name, or two.
    """
    by_name: dict[str, Judged] = {}
    for claim in claims:
        if claim.name in by_name:
            raise ValueError(f"claims: expected one of each name, got {claim.name!r} twice")
        by_name[claim.name] = claim

    def number(match: re.Match[str]) -> str:
        if match[1] not in by_name:
            raise ValueError(f"{template!r}: expected the name of a claim, got {match[1]!r}")
        statistic = by_name[match[1]].statistic
        return missing if statistic is None else format(statistic.value, match[2] or "")

    return re.sub(PLACEHOLDER, number, template)


PLACEHOLDER = r"\{(\w+)(?::([^}]*))?\}"


def leaves(words: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the texts of nested tables by their dotted names.

    >>> leaves({"a": "x", "b": {"c": "y"}})
    {'a': 'x', 'b.c': 'y'}
    """
    found: dict[str, str] = {}
    for name, value in words.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _read(folder: Path, language: str) -> dict[str, Any]:
    return tomllib.loads((folder / f"{language}.toml").read_text(encoding="utf-8"))
