"""Questions: packages of measurements. An answer is what their claims and words say of recorded numbers.

A question is a package experiments.NAME, beside which lie its words (`words`). It holds

    MEASUREMENTS    modules, in the order of the page
    PICTURE         the one whose picture stands under the answer

and a measurement is a module with

    __doc__         how it is measured
    FORMULA         the formula behind it, in LaTeX
    Config          a frozen dataclass; QUICK and FULL are two of its kind. One thing is varied, the rest is held fixed
    measure         (config, key, progress) -> raw arrays by name, or NotMeasured; no printing, no files;
                    progress(share) may be called as it goes on
    claims          decorated functions of the numbers (`claims`)
    picture         n -> a matplotlib figure; left out if there is nothing to look at
"""

import hashlib
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from experiments.frame import claims, numbers, plots, words
from experiments.frame.claims import Judged
from experiments.frame.numbers import Numbers, name_of

FOLDER = Path(__file__).parent.parent
RESULTS = FOLDER / "results"  # recorded: what README quotes
RUNS = FOLDER / "runs"  # all other results

QUESTIONS = (
    "why_softmax", "why_exp", "why_activations", "why_depth", "why_backprop", "why_gradient_checks", "why_forward",
    "why_latent",
)  # fmt: skip


class Answer(NamedTuple):
    """A question, its numbers, and its claims read on them.

    Attributes:
      question: the package.
      numbers: of each measurement, by name.
      judged: the claims of each measurement, by name.
    """

    question: ModuleType
    numbers: Mapping[str, Numbers]
    judged: Mapping[str, tuple[Judged, ...]]

    @property
    def name(self) -> str:
        """The question's name."""
        return name_of(self.question)

    @property
    def claims(self) -> tuple[Judged, ...]:
        """The claims of all measurements."""
        return tuple(claim for judged in self.judged.values() for claim in judged)

    @property
    def seconds(self) -> float:
        """How long the measurements took."""
        return sum(n.seconds for n in self.numbers.values())


def question(name: str) -> ModuleType:
    """Return the package of a question."""
    return import_module(f"experiments.{name}")


def answered(question: ModuleType, numbers: Mapping[str, Numbers]) -> Answer:
    """Read the claims of a question on its numbers."""
    modules = {name_of(module): module for module in question.MEASUREMENTS}
    return Answer(question, numbers, {name: tuple(claims.all_judged(modules[name], n)) for name, n in numbers.items()})


def recorded(name: str, folder: Path = RESULTS) -> Answer | None:
    """Return the answer of a question from the numbers in a folder; None if one of them is not there."""
    package = question(name)
    paths = {name_of(module): place(folder, name, module) for module in package.MEASUREMENTS}
    if not all(numbers.exists(path) for path in paths.values()):
        return None
    read = {name_of(module): numbers.read(paths[name_of(module)], module.Config) for module in package.MEASUREMENTS}
    return answered(package, read)


def all_recorded(folder: Path = RESULTS) -> list[Answer]:
    """Return the answers that a folder holds, in the order of the questions."""
    return [answer for answer in (recorded(name, folder) for name in QUESTIONS) if answer is not None]


def place(folder: Path, question: str, module: ModuleType) -> Path:
    """Return where a measurement's numbers and picture are, without the suffix."""
    return folder / question / name_of(module)


def write(folder: Path, answer: Answer) -> None:
    """Write the numbers and the pictures of an answer."""
    for module in answer.question.MEASUREMENTS:
        numbers.write(place(folder, answer.name, module), answer.numbers[name_of(module)])
    draw(folder, answer)


def draw(folder: Path, answer: Answer) -> None:
    """Write the pictures of an answer."""
    for module in answer.question.MEASUREMENTS:
        figure = plots.drawn(module, answer.numbers[name_of(module)])
        if figure is not None:
            plots.save(place(folder, answer.name, module).with_suffix(".svg"), figure)


def said(answer: Answer, what: str, language: str = "en") -> str:
    """Return the sentence, key or paragraph of an answer, with its numbers."""
    missing = words.of_page(language)["not_measured"]
    return words.filled(words.of(answer.question, language)[what], answer.claims, missing)


def new_folder(parent: Path) -> Path:
    """Make a folder named by the time; a run in the same second gets a number."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    for i in range(1000):
        folder = parent / (name if i == 0 else f"{name}-{i}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(f"{parent / name}: expected a new folder")


def unfinished(module: ModuleType, config: Any, seed: int) -> Path:
    """Return where the numbers of a run that may be interrupted are kept: by configuration, seed and all our code."""
    key = f"{module.__name__} {config} {seed} {_code()}"
    return RUNS / "unfinished" / f"{module.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _code() -> str:
    """Return a hash of the code that a measurement can depend on."""
    sources = sorted(path for root in (FOLDER, FOLDER.parent / "mlp_jax") for path in root.rglob("*.py"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()
