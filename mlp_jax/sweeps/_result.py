"""The result of a sweep: every run's settings, history, parameters and records, as a table and as files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from numpy.typing import NDArray

from mlp_jax._files import atomic_write, write_csv
from mlp_jax.activations import Activation
from mlp_jax.training._engine import History, TrainResult

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class SweepResult:
    """All runs of a sweep, as numpy arrays with a leading axis of runs.

    Attributes:
      settings: one mapping per run of its own settings and the defaults, in the order of the given runs.
      history: a `History` of arrays (runs, epochs).
      groups: the indices of the runs of each group of equal shapes.
      params: the final parameters of each group, with a leading axis in the order of its indices.
      recorded: the records of each group, (runs of the group, epochs, ...).
    """

    settings: tuple[dict[str, Any], ...]
    history: History
    groups: tuple[tuple[int, ...], ...]
    params: tuple[PyTree, ...]
    recorded: tuple[PyTree, ...]

    def run(self, i: int) -> TrainResult:
        """Return run i as `train` returns it; -1 is the last.

        Raises:
          IndexError: if `i` is out of range.
        """
        i = range(len(self.settings))[i]
        group = next(g for g, indices in enumerate(self.groups) if i in indices)
        row = self.groups[group].index(i)
        params, recorded = (jax.tree.map(lambda a: a[row], tree[group]) for tree in (self.params, self.recorded))
        return TrainResult(params, jax.tree.map(lambda a: a[i], self.history), recorded)

    def table(self) -> Columns:
        """Return a tidy table of columns by name, with one row per run: its settings, then its outcome.

        `hidden` is written '64-64'; a hyperparameter that a run does not set is NaN. The outcome is `train_loss`,
        `validation_loss` and `validation_accuracy` of the last epoch, `best_validation_accuracy` of any epoch (NaN
        without validation), and `diverged_epoch`. This is the first epoch, from 1, whose training loss is not finite,
        the last epoch if only the final parameters are not finite, and else 0.
        """
        return _table(self)

    def write_csv(self, path: str | Path) -> None:
        """Write `table()` as CSV, with a header and one row per run."""
        table = self.table()
        with atomic_write(path) as file:
            write_csv(file, table, zip(*(column.tolist() for column in table.values()), strict=True))

    def write_npz(self, path: str | Path) -> None:
        """Write the columns of `table()`, the histories (runs, epochs), and the parameters, as NPZ without pickle.

        The histories are `history.train_loss` and so on. The parameters of group 0 are `group0.params[0].weight` and
        so on, of the runs in `group0.runs`. Its records are `group0.recorded`.
        """
        with atomic_write(path, "wb") as file:
            np.savez_compressed(file, **_arrays(self))  # type: ignore[arg-type]  # names are no keywords


def _table(result: SweepResult) -> Columns:
    settings, history = result.settings, result.history
    names = dict.fromkeys(name for setting in settings for name in setting)
    table = {name: np.array([_cell(setting.get(name, np.nan)) for setting in settings]) for name in names}
    nothing = np.full(history.train_loss.shape, np.nan, history.train_loss.dtype)
    losses, accuracies = (
        nothing if values is None else values for values in (history.validation_loss, history.validation_accuracy)
    )
    bad = ~np.isfinite(np.asarray(history.train_loss))
    for indices, params in zip(result.groups, result.params, strict=True):
        for leaf in map(_plain, jax.tree.leaves(params)):
            bad[list(indices), -1] |= ~np.isfinite(leaf.reshape(len(indices), -1)).all(axis=1)
    return table | {
        "train_loss": np.asarray(history.train_loss[:, -1]),
        "validation_loss": np.asarray(losses[:, -1]),
        "validation_accuracy": np.asarray(accuracies[:, -1]),
        "best_validation_accuracy": np.asarray(accuracies).max(axis=1),
        "diverged_epoch": np.where(bad.any(axis=1), bad.argmax(axis=1) + 1, 0),
    }


def _cell(value: Any) -> Any:
    if isinstance(value, Activation):
        return value.name
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def _arrays(result: SweepResult) -> Columns:
    arrays = result.table()
    arrays |= {f"history.{name}": _plain(a) for name, a in result.history._asdict().items() if a is not None}
    for g, (indices, params, recorded) in enumerate(zip(result.groups, result.params, result.recorded, strict=True)):
        arrays[f"group{g}.runs"] = np.array(indices)
        for name, tree in (("params", params), ("recorded", recorded)):
            arrays |= named_leaves(f"group{g}.{name}", tree)
    return arrays


def named_leaves(prefix: str, tree: PyTree) -> Mapping[str, NDArray[Any]]:
    """Return the leaves of a tree by their paths, such as 'params[0].weight'."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): _plain(leaf) for path, leaf in leaves}


def _plain(array: Any) -> NDArray[Any]:
    """Return a numpy array, in float32 if numpy cannot write its dtype, such as bfloat16."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind == "V" else array
