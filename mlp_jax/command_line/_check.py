"""`mlp-jax check`: check hand-written backward passes, and print what is wrong with them."""

import json as json_format
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mlp_jax import _doors
from mlp_jax._files import atomic_write, check_output, write_csv
from mlp_jax.command_line._gradescope import POINTS
from mlp_jax.command_line._progress import progress_bars

STATUS = {"correct": 0, "wrong": 1, "undecided": 3, "error": 2}  # of a folder: the worst, in the order of RANK
RANK = ("correct", "undecided", "wrong", "error")
Template = Literal[
    "function", "class", "layers", "forward_backward", "step", "gradescope", "github", "nbgrader", "otter"
]
CSV_COLUMNS = (
    *("file", "verdict", "basis", "code", "message", "where", "precision", "uses_autodiff"),
    *("worst_leaf", "relative_error"),
)


def check(
    files: tuple[Path, ...] = (),
    /,
    *,
    activation: str | None = None,
    loss: str | None = None,
    layers: int | None = None,
    layout: Literal["rows", "columns", "torch"] | None = None,
    params: Literal["list", "dict"] | None = None,
    template: tuple[Template, ...] | None = None,
    explain: tuple[str, ...] | None = None,
    lines: bool = False,
    json: bool = False,
    csv: Path | None = None,
    report: Path | None = None,
    gradescope: Path | None = None,
    points: float | None = None,
    hints: Literal["none", "where", "full"] = "full",
    overwrite: bool = False,
    time_limit: float = 20.0,
    seed: int | None = None,
    function: str = "",
    point: Literal["file", "ours"] = "file",
    precision: Literal["float64", "float32", "float16", "bfloat16"] | None = None,
    strict: bool = False,
) -> None:
    """Check hand-written backward passes, and say what is wrong with them.

    A file may be as you wrote it: its training loop is run, and the gradients of one round are compared with
    differences of the loss that the file computes. Or it defines loss_and_gradients(params, x, labels), which returns
    (loss, [(dW_1, db_1), ...]): then the network is recognised from its losses, and the gradients are compared with an
    exact gradient of it; --template prints one to fill in. If such a file has a constant POINT = (params, *arguments),
    params of any structure, it is checked only there. For a file with neither a loop nor such a function, lines that
    train by its own functions are printed. What a flag or a constant of the file declares is expected, and nothing
    else. The code runs in a process of its own with limits, which is not a sandbox. Exit status: 0 correct, 1 wrong, 3
    undecided, 2 it could not be checked.

    Args:
      files: Python files, Jupyter notebooks, folders of them, or - for Python code on standard input.
      activation: of the hidden layers; by default ACTIVATION in the file, or any.
      loss: cross_entropy, the mean of softmax cross-entropies, or squared_error, without 1/2; by default the kind that
        LOSS in the file names, or any.
      layers: the only depth that the file is written for; by default LAYERS in the file, or 1 to 5.
      layout: rows, columns (x (D, B), weight (fan_out, fan_in)) or torch (weight (fan_out, fan_in)); by default
        LAYOUT in the file, or the one in which it answers.
      params: list of (weight, bias), or dict of W1, b1, ...; by default PARAMS in the file, or the one in which it
        answers.
      template: print a function to fill in, for these settings; or lines that train by code of another kind; or a
        file for a grader: gradescope (mlp-jax check --template gradescope | sh makes autograder.zip), github, nbgrader
        (a notebook), otter.
      explain: print what a code of a report means, such as transposed; without a code, a list of all.
      lines: print the source: beside each statement what its value is, such as h_1 or delta_2, and below the first that
        is wrong what belongs there. It takes up to three times as long. --report has it too.
      json: print a JSON object per file, each on a line of its own.
      csv: a CSV to write, with a row per file.
      report: an HTML page to write, with a heat map of the errors of each leaf.
      gradescope: a results.json to write, with a test per part of each file. It is written in any case, also if nothing
        can be checked, and replaces an older one.
      points: what each file gets if it is correct; by default 10 with --gradescope, where the files share them as the
        questions of one submission. A file that is wrong gets a part of them, by the rule that is printed with it.
      hints: what students may know. none tells verdict and points; where also which layers and parameters are wrong;
        full everything. It holds for every output.
      overwrite: replace --csv and --report if they exist.
      time_limit: seconds that a file's code may take.
      seed: draws problems and parameters; by default a new one each time, which the report tells.
      function: the name of the one to check, if it is not loss_and_gradients.
      point: ours leaves a file's POINT aside.
      precision: the coarsest in which its gradients may be; by default any, which the report tells.
      strict: an exp that overflows at logits in the thousands is wrong; by default a remark.
    """
    from mlp_jax.check import _files, _sources
    from mlp_jax.check._child.entry import CONSTANTS
    from mlp_jax.check._grading import gradescope as results
    from mlp_jax.check._grading.credit import as_points, graded
    from mlp_jax.check._grading.hints import told
    from mlp_jax.check._networks.problems import Settings

    values = (activation, loss, layers, layout, params)
    given: dict[str, Any] = {name: value for name, value in zip(CONSTANTS, values, strict=True) if value is not None}
    settings = Settings(**given)
    if gradescope is not None and points is None:
        points = POINTS
    if points is not None:
        as_points("points", points)
    if template is not None:
        for kind in template or ("function",):
            print(text_of_template(kind, settings, given, points, hints), end="")
        return
    if explain is not None:
        from mlp_jax.check import _explanations

        codes = [code for code in explain if code != "list"]
        print("\n".join(map(_explanations.page, codes)) if codes else _explanations.overview(), end="")
        return
    if not files:
        cure = "mlp-jax check --template > my_backprop.py makes one"
        raise _doors.mistake("FILES", "a Python file", "none", cure)
    _doors.check_positive("time-limit", time_limit)
    if seed is not None:
        _doors.check_seed("seed", seed)
    if csv is not None and csv == report:
        raise _doors.mistake("report", "another file than --csv", report)
    inputs = [file for file in files if file.is_file()]
    for output in (csv, report):
        check_output(output, overwrite, inputs)
    if gradescope is not None:
        results.check_path(gradescope)
        check_output(gradescope, True, inputs)
    paths = list(dict.fromkeys(_files.python_files(files)))
    start = time.monotonic()
    with progress_bars() as add_bar:
        progress = add_bar("file", len(paths)) if len(paths) > 1 else lambda done: None
        asking = _files.Asking(
            *(given, time_limit, seed, function, strict, precision, point == "ours"),
            lines=lines or report is not None,
        )
        reports = _files.check_files(paths, asking, progress)
    if points is not None:
        each = points if gradescope is None else points / len(paths)
        reports = [graded(one, each) for one in reports]
    reports = [told(one, hints) for one in reports]
    named_reports = [(_sources.name(path), one) for path, one in zip(paths, reports, strict=True)]
    if gradescope is not None and points is not None:  # first, as nothing else is read there
        results.write(gradescope, results.results(named_reports, points, time.monotonic() - start))
    if json:
        for name, one in named_reports:
            print(json_format.dumps({"file": name} | one.to_dict(), allow_nan=False))
    elif len(reports) == 1:
        show(*named_reports[0])
    else:
        show_all(named_reports)
    if csv is not None:  # after the verdicts, which a full disk does not hide
        with atomic_write(csv) as table:
            columns = CSV_COLUMNS if points is None else (*CSV_COLUMNS, "score")
            write_csv(table, columns, csv_rows(named_reports))
    if report is not None:
        from mlp_jax.check import _rendering

        with atomic_write(report) as page:
            page.write(_rendering.whole_page(named_reports))
    for output in (gradescope, csv, report):
        if output is not None and not json:
            print(f"wrote {output}")
    sys.exit(STATUS[max((one.verdict for one in reports), key=RANK.index)])


def text_of_template(
    kind: str, settings: Any, given: Mapping[str, Any], points: float | None, hints: str
) -> str:  # fmt: skip
    """Return a file to fill in, lines for the end of one, or a file for a grader."""
    from mlp_jax.check._grading import templates
    from mlp_jax.check._networks.template import LINES, skeleton

    if kind in templates.GRADERS:
        assignment = templates.Assignment(settings, given, POINTS if points is None else points, hints)
        return templates.GRADERS[kind](assignment)
    return skeleton(settings) if kind == "function" else LINES[kind]


def show(name: str, report: Any) -> None:
    """Print one report, or on the error stream why the file could not be checked, and what would help."""
    if report.verdict == "error":
        print(f"error: {name}: {report.diagnoses[0].message}", file=sys.stderr)
        if report.template:
            from mlp_jax.check._rendering import PASTE

            print(f"{PASTE}\n{report.template}", end="", file=sys.stderr)
        if report.credit is not None:
            print(f"score: {report.credit}")
        return
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(report)


def show_all(reports: Sequence[tuple[str, Any]]) -> None:
    """Print a row per file."""
    from mlp_jax.check._rendering import table_of, text_table

    widest = 100
    rows = [
        (
            name,
            one.verdict,
            _score(one),
            one.rests_on,
            one.diagnoses[0].code,
            _shortened(one.diagnoses[0].message, widest),
        )
        for name, one in reports
    ]
    table = table_of("", ("file", "verdict", "score", "rests on", "code", "message"), rows)
    print("\n".join(text_table(table.columns, table.rows, left=table.columns)))
    counts = {verdict: sum(one.verdict == verdict for _, one in reports) for verdict in RANK}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 3] + "..."


def _score(report: Any) -> str:
    return "" if report.credit is None else f"{report.credit.score:.4g}"


def csv_rows(reports: Sequence[tuple[str, Any]]) -> Iterator[tuple[object, ...]]:
    """Yield a row per file, in the order of `CSV_COLUMNS`."""
    for name, one in reports:
        first, worst = one.diagnoses[0], one.gradients.worst
        is_known = worst is not None and worst.relative_error == worst.relative_error  # not if it may not be told
        leaf = (worst.name, f"{worst.relative_error:.3g}") if worst and is_known else ("", "")
        yield (
            name,
            one.verdict,
            one.rests_on,
            first.code,
            first.message,
            first.where,
            one.precision,
            one.uses_autodiff,
            *leaf,
            *([] if one.credit is None else [f"{one.credit.score:.6g}"]),
        )
