"""A question made by hand, with two measurements, whose words lie in a folder of the test."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from experiments.frame.claims import at_most
from experiments.frame.plots import panels
from experiments.frame.statistics import exact, mean

WORDS = {
    "en": """
question = "Is it <b> so?"
sentence = "It is {small:.0f}."
key = "{small:.0f} of it"
paragraph = "At length: it is 3e-16."
[first]
title = "A heading"
caption = "A line goes up."
[second]
title = "Another heading"
""",
    "ko": """
question = "그런가?"
sentence = "{small:.0f}이다."
key = "{small:.0f}개"
paragraph = "자세히 말하면 3e-16이다."
[first]
title = "제목"
caption = "선이 올라간다."
[second]
title = "다른 제목"
""",
}


@dataclass(frozen=True)
class Config:
    seeds: int = 4


def question(folder, name="toy", second=lambda: 2.0, calls=None):
    """A question; its second measurement returns `second()`, and calls are listed."""
    calls = [] if calls is None else calls
    package, *modules = (ModuleType(f"experiments.{name}{part}") for part in ("", ".first", ".second"))
    folder.mkdir(parents=True, exist_ok=True)
    for language, text in WORDS.items():
        (folder / f"{language}.toml").write_text(text, encoding="utf-8")
    package.__file__ = str(folder / "__init__.py")
    package.MEASUREMENTS, package.PICTURE = tuple(modules), modules[0]
    for module, number in zip(modules, (lambda: 1.0, second), strict=True):
        module.__doc__ = "How it was done.\n\nAnd more."
        module.FORMULA, module.Config, module.QUICK, module.FULL = r"\frac{a}{b}", Config, Config(2), Config()

        def measure(config, key, progress, number=number, module=module):
            calls.append(module.__name__.rsplit(".", 1)[-1])
            return {"a": np.full(config.seeds, number())}

        module.measure = measure
    first, other = modules

    @at_most(1, "It is small & held.", source="a book", must=True, how="a count")
    def small(n):
        return exact(n["a"][0])

    @at_most(1.5, "The other is small.", source="a paper")
    def other_small(n):
        return mean(n["a"])

    first.small, other.other_small = small, other_small

    def picture(n):
        figure, axes = panels(figsize=(7.5, 3))
        axes.plot(n["a"])
        return figure

    first.picture = picture
    return package
