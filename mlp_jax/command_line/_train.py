"""`mlp-jax train`: train a network, and print how well it does on data that it has not seen."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlp_jax._interrupt import interrupted
from mlp_jax.command_line._flags import Shared, check_flags, epochs_of, load_data, loss_of, optimizer_of
from mlp_jax.command_line._jax_settings import keep_compiled_programs
from mlp_jax.command_line._measures import confusion_of, fit_of, table_lines
from mlp_jax.command_line._progress import Move, progress_bars


def train(
    flags: Shared,
    *,
    recipe: Literal["plain", "realmlp"] = "plain",
    hidden: tuple[int, ...] | None = None,
    activation: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: Literal["cosine", "constant", "coslog4"] | None = None,
    weight_decay: float | None = None,
    label_smoothing: float | None = None,
    class_weight: Literal["balanced"] | None = None,
    confusion: bool = False,
    keep: Literal["last", "best"] | None = None,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    checkpoint: Path | None = None,
    every: int | None = None,
    resume: bool = False,
) -> None:
    """Train a network, and print how well it does on data that it has not seen.

    Args:
      flags: shared with `sweep`.
      recipe: the settings of flags that are not given. realmlp has RealMLP's (Holzmüller et al., 2024): three layers of
        256, four waves of the learning rate, data scaled by quartiles, learned scales of the columns, and more. It
        takes some seconds more, and is far better on tables whose columns act together.
      hidden: the widths of the hidden layers, by default 128 128; none for softmax regression.
      activation: identity, sigmoid, tanh, relu, leaky_relu, softplus, silu, gelu, gelu_tanh, selu, mish or sin; by
        default relu.
      batch_size: examples per step, by default 32.
      learning_rate: the optimizer's, at the start; by default 0.001.
      schedule: cosine, the default, lowers the learning rate to 0 along half a cosine, which gains half a percent on
        MNIST; coslog4 does so four times, each time over twice as many epochs.
      weight_decay: adamw's; by default 1e-4.
      label_smoothing: the share of every label that is spread over all classes, by default 0.
      class_weight: balanced weights an example by N / (C n), n the number of its class, so all classes count alike.
      confusion: print how often each class of the test examples is taken for each other one.
      keep: the parameters of the last epoch, or of the best one, with the least validation loss; by default the last
        for classes, and the best for values, which a network soon learns by heart.
      seed: draws the parameters and orders the examples.
      output: the .safetensors file to write the trained network to.
      overwrite: replace the output if it exists.
      checkpoint: a folder to save the training to, also at Ctrl-C, so that it can go on.
      every: the epochs from one checkpoint to the next; by default a tenth of all.
      resume: go on from the last checkpoint.
    """
    import jax
    import optax

    jax.config.update("jax_enable_x64", flags.dtype == "float64")
    keep_compiled_programs()
    import mlp_jax
    from mlp_jax import _doors, _files
    from mlp_jax.datasets import _model_file
    from mlp_jax.training import Checkpoint
    from mlp_jax.training._parametrizations import PARAMETRIZATIONS, STANDARD
    from mlp_jax.training._presets import PRESETS
    from mlp_jax.training._schedules import rate_of

    own = {"hidden": hidden, "activation": activation, "batch_size": batch_size, "learning_rate": learning_rate}
    own |= {"schedule": schedule, "label_smoothing": label_smoothing, "keep": keep, "epochs": flags.epochs}
    given: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    check_settings(given)
    check_flags(flags, () if weight_decay is None else (weight_decay,))
    if weight_decay is not None:
        _doors.check_positive("weight-decay", weight_decay)
    _doors.check_seed("seed", seed)
    _files.check_output(output, overwrite, inputs=(flags.data,))
    if every is not None:
        _doors.as_whole_number("every", every, at_least=1)
    if checkpoint is None and (resume or every is not None):
        flag = "resume" if resume else "every"
        raise _doors.mistake(flag, "--checkpoint FOLDER with it", "none", "say which folder")
    preset = PRESETS[recipe]
    dataset = load_data(flags, preset.scaling)
    setting = (preset.classes if dataset.classes else preset.values)._replace(**given)
    kind = PARAMETRIZATIONS[setting.parametrization]
    if kind is not STANDARD and flags.gradient != "backprop":
        expected = f"backprop with --recipe {recipe}, whose scales have a gradient by hand only"
        raise _doors.mistake("gradient", expected, flags.gradient, "leave it out")
    sizes = (dataset.train.x.shape[1], *setting.hidden, dataset.outputs)
    phi, loss = mlp_jax.activations.ACTIVATIONS[setting.activation], loss_of(flags, dataset)
    for flag, value in (("label-smoothing", label_smoothing), ("class-weight", class_weight), ("confusion", confusion)):
        if value and not dataset.classes:
            raise _doors.mistake(flag, "none for values, which have no classes", value, "leave it out")
    key_params, key_run = jax.random.split(jax.random.key(seed))
    params = kind.init(key_params, sizes=sizes, activation=phi, dtype=flags.dtype)
    count = sum(a * b + b for a, b in pairwise(sizes))
    print(f"network {'-'.join(map(str, sizes))} {phi.name}, {count:,} parameters")

    targets: Any = dataset.train.labels
    if setting.label_smoothing:
        targets = mlp_jax.smooth_labels(targets, dataset.outputs, setting.label_smoothing)
    examples, validation, training_loss = (dataset.train.x, targets), tuple(dataset.validation), loss
    if class_weight:
        counts = np.bincount(dataset.train.labels, minlength=dataset.outputs)
        weights = (len(targets) / (dataset.outputs * np.maximum(counts, 1))).astype(flags.dtype)
        training_loss, with_weights = mlp_jax.losses.weighted(loss), mlp_jax.losses.with_weights
        examples = (dataset.train.x, with_weights(targets, weights[dataset.train.labels], dataset.outputs))
        x, labels = dataset.validation
        validation = (x, with_weights(labels, weights[labels], dataset.outputs))
    epochs = epochs_of(setting.epochs, len(targets), setting.batch_size)
    steps = -(-len(targets) // setting.batch_size)  # per epoch
    keywords = dict(setting.options if flags.optimizer in ("adam", "adamw") else ())
    keywords |= {} if weight_decay is None else {"weight_decay": weight_decay}
    optimizer = optimizer_of(flags)(rate_of(setting.schedule, setting.learning_rate, epochs * steps), **keywords)
    run: dict[str, Any] = dict(
        optimizer=optax.chain(optimizer, kind.rates()),
        epochs=epochs,
        batch_size=setting.batch_size,
        activation=phi,
        loss=training_loss,
        gradient=mlp_jax.autodiff if flags.gradient == "autodiff" else kind.gradient,
        forward=kind.forward,
    )
    saves = None
    if checkpoint is not None:
        more = {"seed": seed, "recipe": recipe, "weight_decay": weight_decay, "class_weight": class_weight}
        about = {name: str(value) for name, value in (asdict(flags) | setting._asdict() | more).items()}
        saves = Checkpoint(checkpoint, every or max(1, epochs // 10), resume=resume, about=about)
    start = time.perf_counter()
    with progress_bars() as add_bar, stopping(checkpoint) as stop:
        show = show_progress(add_bar("epoch", epochs, "compiling"), len(targets))

        def progress(done: int, history: Any) -> None:
            show(done, history)
            stop(done)

        result = mlp_jax.train(
            key_run, params, examples, validation, keep=setting.keep, checkpoint=saves, progress=progress, **run
        )
        jax.block_until_ready(result)
    print(f"trained {epochs} epochs in {time.perf_counter() - start:.1f} s, including compilation")
    numbers = (result.params, result.history.train_loss)
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(numbers)):
        found = mlp_jax.find_divergence(key_run, params, examples, **run) or "a number is not finite"
        print(f"diverged: {found}; nothing is written; --learning-rate was {setting.learning_rate:g}", file=sys.stderr)
        sys.exit(1)
    if result.state is not None and result.state.best is not None:
        print(f"kept the parameters of epoch {result.state.best.epoch}, whose validation loss is the least")
    trained = kind.folded(result.params)
    for name in ("train", "validation", "test"):
        x, labels = getattr(dataset, name)
        measured = mlp_jax.evaluate(trained, x, labels, activation=phi, loss=loss)
        print(f"{name} loss {measured.loss:.4f}")
        if dataset.classes:
            print(f"{name} accuracy {100 * measured.accuracy:.2f} %")
        else:
            mean_square, variance = float(measured.loss), float(np.var(labels, dtype=float))
            print(f"{name} {fit_of(mean_square, variance, dataset.target_scale)}")
    if dataset.classes:
        logits = np.asarray(mlp_jax.forward(trained, dataset.test.x, phi))
        table = confusion_of(dataset.test.labels, logits.argmax(axis=1), dataset.outputs)
        counts = table.sum(axis=1)
        recalls = np.diag(table)[counts > 0] / counts[counts > 0]
        print(f"test balanced accuracy {100 * recalls.mean():.2f} %, the mean over classes")
        share = 100 * counts.max() / counts.sum()
        print(f"of the test examples {share:.2f} % are {dataset.classes[counts.argmax()]!r}, the most frequent class")
        if confusion:
            print("rows: the class, columns: what it is taken for")
            print("\n".join(table_lines(table, dataset.classes)))
    if output is not None:
        names = ("mean", "scale", "classes", "features", "label", "target_mean", "target_scale", "columns", "clip")
        fields = {name: getattr(dataset, name) for name in names}
        _model_file.save_model(output, _model_file.Model(trained, phi.name, **fields), mlp_jax.__version__)
        print(f"wrote {output}")


@contextmanager
def stopping(checkpoint: Path | None) -> Iterator[Callable[[int], None]]:
    """Give stop(epoch), which ends the training if Ctrl-C or SIGTERM came, after what is done is saved.

    A second Ctrl-C ends the process at once. Without a checkpoint the first one does.
    """
    came: list[int] = []
    if checkpoint is None:
        yield lambda epoch: None
        return

    def note(number: int, frame: Any) -> None:
        if came:
            interrupted(number, frame)
        came.append(number)
        print("\nstopping after these epochs; once more ends at once", file=sys.stderr, flush=True)

    def stop(epoch: int) -> None:
        if came:
            raise Stopped(epoch)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except Stopped as stopped:
        print(f"interrupted after epoch {stopped}, which is saved in {checkpoint}", file=sys.stderr)
        print("the same command with --resume goes on", file=sys.stderr)
        sys.exit(128 + came[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stopped(Exception):
    """The training ends after an epoch."""


def check_settings(given: Mapping[str, Any]) -> None:
    """Check the flags of settings that are given."""
    from mlp_jax import _doors
    from mlp_jax.activations import ACTIVATIONS

    checks: dict[str, Callable[[str, Any], Any]] = {
        "activation": partial(_doors.check_choice, known=ACTIVATIONS),
        "batch_size": partial(_doors.as_whole_number, at_least=1),
        "learning_rate": _doors.check_positive,
        "label_smoothing": _doors.as_fraction,
    }
    for width in given.get("hidden", ()):
        _doors.as_whole_number("hidden", width, at_least=1)
    for name, check in checks.items():
        if name in given:
            check(name.replace("_", "-"), given[name])


def show_progress(move: Move, examples: int) -> Callable[[int, Any], None]:
    """Return the function for `train`'s progress that moves a bar."""
    clock = [(0, 0.0)]  # (epochs done, seconds) at each report: the first includes compilation

    def progress(done: int, history: Any) -> None:
        # reading the numbers waits for the chunk, so Ctrl-C is heard between chunks
        loss, of_validation, accuracy = (float(np.asarray(values)[-1]) for values in history)
        (before, then), now = clock[-1], time.perf_counter()
        clock.append((done, now))
        speed = f" {(done - before) * examples / (now - then):,.0f} examples/s" if before else ""
        measured = f"{of_validation:.4f}" if np.isnan(accuracy) else f"{100 * accuracy:.2f} %"
        move(done, f"loss {loss:.4f} validation {measured}{speed}")  # fits 80 columns

    return progress
