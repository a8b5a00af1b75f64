"""Pictures of recorded numbers. An SVG carries a summary of the data that it shows, by which a test compares it."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure

from experiments.frame.numbers import NotMeasuredError, Numbers

STYLE = Path(__file__).parent / "style.mplstyle"


def panels(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes, as `matplotlib.pyplot.subplots` does; one Axes if there is one panel."""
    return plt.subplots(rows, columns, **options)


def image_axes(axes: Axes) -> Axes:
    """Return axes for an image: without a grid."""
    axes.grid(False)
    return axes


def band(axes: Axes, x: Any, values: Any, **options: Any) -> None:
    """Draw the median of values (seeds, points) over x as a line, and their range as a band in its colour."""
    values = np.asarray(values, float)
    (line,) = axes.plot(x, np.median(values, axis=0), **options)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.2, lw=0)


def drawn(module: ModuleType, n: Numbers) -> Figure | None:
    """Return the picture of a measurement; None if it has none, or if the run left out numbers that it shows."""
    if not hasattr(module, "picture"):
        return None
    with plt.style.context(STYLE):
        try:
            return module.picture(n)
        except NotMeasuredError:
            return None


def save(path: Path, figure: Figure) -> None:
    """Write a figure as SVG, with the summary of its data in its description, and close it."""
    with plt.style.context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": json.dumps(summary(figure))})
    plt.close(figure)


def summary(figure: Figure) -> list[dict[str, list[float]]]:
    """Return the data of each panel in short: for each kind of artist, the number of values, their mean and size.

    The size is the root mean square. Values that are not finite are left out.
    """
    return [{kind: _short(values) for kind, values in sorted(_data(axes).items())} for axes in figure.axes]


def saved_summary(path: Path) -> list[dict[str, list[float]]]:
    """Return the summary that an SVG carries."""
    found = re.search(r"<dc:description>(.*?)</dc:description>", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name}: expected a picture with a summary of its data")
    return json.loads(found[1].replace("&quot;", '"'))


def same(a: list[dict[str, list[float]]], b: list[dict[str, list[float]]]) -> bool:
    """Return whether two summaries agree, to rounding."""
    return len(a) == len(b) and all(
        one.keys() == other.keys() and all(np.allclose(one[kind], other[kind], rtol=1e-5, atol=1e-12) for kind in one)
        for one, other in zip(a, b, strict=True)
    )


def _data(axes: Axes) -> dict[str, list[Any]]:
    data = defaultdict[str, list[Any]](list)
    for line in axes.lines:
        data["lines"].append(np.asarray(line.get_xydata(), float))
    for image in axes.images:
        data["images"].append(np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan))
    for patch in axes.patches:
        data["patches"].append(patch.get_patch_transform().transform(patch.get_path().vertices))
    for collection in axes.collections:
        data["collections"] += _of_collection(collection)
    data["texts"] += [[len(text.get_text())] for text in axes.texts]
    return {kind: values for kind, values in data.items() if values}


def _of_collection(collection: Collection) -> Iterable[Any]:
    offsets: np.ndarray = np.ma.filled(np.ma.asarray(collection.get_offsets(), float), np.nan)
    colours = collection.get_array()
    shapes = [] if np.any(offsets) else [path.vertices for path in collection.get_paths()]
    return [offsets, *shapes, *([] if colours is None else [np.ma.filled(np.ma.asarray(colours, float), np.nan)])]


def _short(values: list[Any]) -> list[float]:
    flat = np.concatenate([np.ravel(np.asarray(value, float)) for value in values])
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        return [0, 0, 0]
    return [len(flat), float(f"{flat.mean():.8g}"), float(f"{np.sqrt(np.mean(flat**2)):.8g}")]
