"""Tables as people bring them, and what becomes of each: the classes or values that its author meant, or an error.

`python tests/tables.py` prints the whole table. Tests judge each row.
"""

import codecs
import decimal
import io
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas

from mlp_jax import datasets

N = 24
RNG = np.random.default_rng(0)
U, V = np.round(RNG.normal(size=(2, N)), 2)
KINDS = [("cat", "dog", "owl")[i % 3] for i in range(N)]
PRICES = np.round(100 + 30 * U, 2)
WORDS = [f"note {i}" for i in range(N)]


class Row(NamedTuple):
    """A file, how it is loaded, and what is expected.

    Attributes:
      ending: of the file's name.
      content: its bytes.
      meant: the number of classes, "values", or "error".
      features: how many the network sees; None for an error.
      words: in the lines that are said, or in the error.
      label, task, columns: as the user gives them.
    """

    ending: str
    content: bytes
    meant: object
    features: int | None = None
    words: tuple[str, ...] = ()
    label: str | None = None
    task: str = "auto"
    columns: dict[str, str] | None = None


def text(header, *columns, separator=",", decimal=".", end="\n", encoding="utf-8"):
    """A text table of columns; numbers have two digits."""

    def cell(value):
        return f"{value:.2f}".replace(".", decimal) if isinstance(value, float) else str(value)

    lines = [separator.join(map(cell, row)) for row in zip(*columns, strict=True)]
    return (end.join([header, *lines]) + end).encode(encoding)


def plain(label=KINDS, header="u,v,kind", **how):
    return text(header, U.tolist(), V.tolist(), label, **how)


def with_column(cells, name="w", label=KINDS):
    """A number, another column, and the label."""
    return text(f"u,{name},kind", U.tolist(), cells, label)


def frame(**columns):
    return pandas.DataFrame({"u": U, **columns, "kind": KINDS})


def excel(table, **how):
    file = io.BytesIO()
    table.to_excel(file, **{"index": False} | how)
    return file.getvalue()


def sheets():
    file = io.BytesIO()
    with pandas.ExcelWriter(file) as writer:
        frame(v=V).to_excel(writer, sheet_name="data", index=False)
        frame().to_excel(writer, sheet_name="other", index=False)
    return file.getvalue()


def parquet(table):
    file = io.BytesIO()
    table.to_parquet(file)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def gaps(cells, *where):
    """The cells as texts, some of them empty."""
    return ["" if i in where else str(cell) for i, cell in enumerate(cells)]


def every(*cells):
    """The cells over and over."""
    return [cells[i % len(cells)] for i in range(N)]


def replaced(cells, at, value):
    return [value if i == at else cell for i, cell in enumerate(cells)]


X = np.stack([U, V], axis=1)
Y = np.arange(N) % 3
YES = every("yes", "no")
AMOUNTS = [str(20 + i) for i in range(N)]

ROWS = {
    # how a text is written
    "a plain CSV": Row(".csv", plain(), 3, 2),
    "semicolons": Row(".csv", plain(header="u;v;kind", separator=";"), 3, 2, ("semicolons",)),
    "tabs": Row(".tsv", plain(header="u\tv\tkind", separator="\t"), 3, 2, ("tabs",)),
    "tabs in a .txt": Row(".txt", plain(header="u\tv\tkind", separator="\t"), 3, 2, ("tabs",)),
    "bars": Row(".csv", plain(header="u|v|kind", separator="|"), 3, 2, ("bars",)),
    "semicolons and decimal commas": Row(
        ".csv", plain(header="u;v;kind", separator=";", decimal=","), 3, 2, ("semicolons", "decimal comma")
    ),
    "decimal commas in the label": Row(
        ".csv", plain(PRICES.tolist(), "u;v;price", separator=";", decimal=","), "values", 2, ("decimal comma",)
    ),
    "quoted decimal commas": Row(
        ".csv", with_column([f'"{v:.2f}"'.replace(".", ",") for v in V]), "error", None, ("decimal points",)
    ),
    "decimal commas without quotes": Row(".csv", plain(decimal=","), "error", None, ("3 cells", "quote cells")),
    "thousands and decimal commas": Row(
        ".csv", text("u;w;kind", [f"{u:.2f}".replace(".", ",") for u in U], every("1.250,5", "12.000,0"), KINDS,
                     separator=";"), 3, 2, ("decimal comma", "'.' between thousands")
    ),
    "quoted thousands": Row(".csv", with_column(every('"1,250"', '"12,000"', "7")), 3, 2, ("',' between thousands",)),
    "thousands or decimal commas": Row(
        ".csv", text("w;kind", every("1,250", "2,500"), KINDS, separator=";"), "error", None, ("thousands or",)
    ),
    "Windows line ends": Row(".csv", plain(end="\r\n"), 3, 2),
    "byte order mark": Row(".csv", codecs.BOM_UTF8 + plain(), 3, 2),
    "UTF-16": Row(".csv", plain(encoding="utf-16"), 3, 2, ("utf-16",)),
    "UTF-16 without a mark": Row(".csv", plain(encoding="utf-16-le"), 3, 2, ("utf-16-le",)),
    "Korean in CP949": Row(
        ".csv", text("키,이름", U.tolist(), every("가나다", "라마바"), encoding="cp949"), 2, 1, ("cp949",)
    ),
    "Korean in UTF-8": Row(".csv", text("키,이름", U.tolist(), every("가나다", "라마바")), 2, 1),
    "Western in Latin-1": Row(
        ".csv", text("taille,état", U.tolist(), every("né", "mort"), encoding="latin-1"), 2, 1, ("cp1252",)
    ),
    "blank lines": Row(".csv", plain(end="\n\n"), 3, 2),
    "spaces around cells": Row(".csv", text("u, kind", U.tolist(), [f" {k} " for k in KINDS]), 3, 1),
    "quotes around all": Row(".csv", text('"u","kind"', [f'"{u}"' for u in U], [f'"{k}"' for k in KINDS]), 3, 1),
    "a comma in a quoted text": Row(".csv", with_column(every('"a, b"', "c")), 3, 3, ("'w' (2 values)",)),
    "a line end in a quoted text": Row(".csv", with_column(every('"a\nb"', "c")), 3, 3, ("'w' (2 values)",)),
    "a pandas index": Row(
        ".csv", frame(v=V).to_csv().encode(), 3, 2, ("'index' (no name, and counts the rows)",)
    ),
    # headers and rows that are not right
    "no header, numbers only": Row(".csv", plain(every("0", "1"), "0.1,0.2,1"), "error", None, ("a header row",)),
    "no header, a text label": Row(".csv", plain(header="0.51,-0.2,cat"), "error", None, ("looks like an example",)),
    "a name twice": Row(".csv", plain(header="u,u,kind"), "error", None, ("'u' twice",)),
    "no name": Row(".csv", plain(header="u,,kind"), "error", None, ("a name for each column",)),
    "a short row": Row(".csv", plain() + b"1,2\n", "error", None, ("line 26", "3 cells", "complete the row")),
    "a long row": Row(".csv", plain() + b"1,2,3,cat\n", "error", None, ("line 26", "got 4")),
    "an open quote": Row(".csv", plain() + b'1,"2,cat\n', "error", None, ("mend the quotes",)),
    "empty": Row(".csv", b"", "error", None, ("an empty file",)),
    "a header only": Row(".csv", b"u,kind\n", "error", None, ("rows of data",)),
    "too few rows": Row(".csv", b"u,kind\n1,a\n2,b\n", "error", None, ("at least 10 rows",)),
    "one column": Row(".csv", text("kind", KINDS), "error", None, ("columns of features",)),
    "a label that is not there": Row(".csv", plain(), "error", None, ("did you mean 'kind'?",), label="kinds"),
    # columns
    "a text column": Row(".csv", with_column(every("red", "green", "blue")), 3, 4, ("'w' (3 values)",)),
    "a boolean column": Row(".csv", with_column(every("True", "False")), 3, 3, ("'w' (2 values)",)),
    "booleans in other cases": Row(".csv", with_column(every("TRUE", "false", "true")), 3, 3, ("'w' (2 values)",)),
    "yes and no": Row(".csv", with_column(YES), 3, 3, ("'w' (2 values)",)),
    "names": Row(".csv", with_column(WORDS), 3, 1, ("left out: 'w' (24 different texts",)),
    "names, kept": Row(".csv", with_column(WORDS), 3, None, ("'w'",), columns={"w": "category"}),
    "dates": Row(".csv", with_column([f"2024-01-{i + 1:02}" for i in range(N)]), 3, 2, ("dates", "'w'")),
    "dates with times": Row(
        ".csv", with_column([f"2024-01-{i + 1:02} 12:30:00" for i in range(N)]), 3, 2, ("dates",)
    ),
    "Korean dates": Row(".csv", with_column([f"2024.1.{i + 1}" for i in range(N)]), 3, 2, ("dates",)),
    "dates with slashes": Row(".csv", with_column([f"2024/01/{i + 1:02}" for i in range(N)]), 3, 2, ("dates",)),
    "a day that does not exist": Row(
        ".csv", with_column(replaced([f"2024-01-{i + 1:02}" for i in range(N)], 3, "2024-02-31")), "error", None,
        ("dates such as", "'2024-02-31'")
    ),
    "missing numbers": Row(".csv", with_column(gaps(V, 3, 4, 5, 6, 7)), 3, 3, ("missing numbers", "'w'")),
    "missing numbers as NA": Row(
        ".csv", with_column(["NA" if i % 5 == 0 else v for i, v in enumerate(V)]), 3, 3, ("missing numbers",)
    ),
    "missing numbers as question marks": Row(
        ".csv", with_column(["?" if i % 5 == 0 else v for i, v in enumerate(V)]), 3, 3, ("missing numbers",)
    ),
    "missing texts": Row(".csv", with_column(["" if i % 4 == 0 else "ab"[i % 2] for i in range(N)]), 3, 4, ("(3",)),
    "all missing": Row(".csv", with_column([""] * N), 3, 1, ("left out: 'w' (all of it is missing)",)),
    "a constant": Row(".csv", with_column([7] * N), 3, 2, ("constant columns", "'w'")),
    "a sentinel": Row(".csv", with_column(["-999" if i % 6 == 0 else v for i, v in enumerate(V)]), 3, 2, ("-999",)),
    "a column that counts": Row(".csv", with_column(range(1, N + 1)), 3, 2, ("count the rows", "'w'")),
    "a column that counts, left out": Row(
        ".csv", with_column(range(1, N + 1)), 3, 1, ("'w' (as you say)",), columns={"w": "drop"}
    ),
    "numbers as categories": Row(
        ".csv", with_column(every("03", "04")), 3, 3, ("'w' (2 values)",), columns={"w": "category"}
    ),
    "a text among numbers": Row(
        ".csv", with_column(replaced(V, 3, "oops")), "error", None, ("line 5", "'w'", "'oops'", "--columns w=category")
    ),
    "an infinite number": Row(".csv", with_column(replaced(V, 3, "inf")), "error", None, ("line 5", "'w'", "'inf'")),
    "a number with a unit": Row(".csv", with_column(replaced(V, 0, "3 cm")), "error", None, ("line 2", "'3 cm'")),
    "columns that are all left out": Row(".csv", text("w,kind", WORDS, KINDS), "error", None, ("to learn from",)),
    "a choice of no column": Row(".csv", plain(), "error", None, ("did you mean 'v'?",), columns={"vv": "drop"}),
    "a choice of no kind": Row(".csv", plain(), "error", None, ("category, date, drop",), columns={"v": "text"}),
    "a text that is to be a number": Row(
        ".csv", with_column(every("a", "b")), "error", None, ("expected numbers", "'a'"), columns={"w": "number"}
    ),
    # labels
    "two whole numbers": Row(".csv", plain(every("0", "1")), 2, 2),
    "ten digits": Row(".csv", plain([str(i % 10) for i in range(N)]), 10, 2),
    "amounts": Row(".csv", plain(AMOUNTS), "error", None, ("24 different whole numbers", "--task regression")),
    "amounts to predict": Row(".csv", plain(AMOUNTS), "values", 2, task="regression"),
    "amounts as classes": Row(".csv", plain(AMOUNTS), 24, 2, task="classification"),
    "real numbers": Row(".csv", plain(PRICES.tolist()), "values", 2),
    "real numbers as classes": Row(
        ".csv", plain(PRICES.tolist()), "error", None, ("look continuous", "--task regression"), task="classification"
    ),
    "a real number is missing": Row(
        ".csv", plain(replaced(PRICES.tolist(), 2, "NA")), "error", None, ("'NA' for example 2",)
    ),
    "texts to regress on": Row(".csv", plain(), "error", None, ("a finite number", "'cat'"), task="regression"),
    "a name for each": Row(".csv", plain(WORDS), "error", None, ("labels that examples share",)),
    "labels in several cases": Row(".csv", plain(every("yes", "Yes", "no")), "error", None, ("'Yes', 'yes'",)),
    "labels in several forms": Row(".csv", plain(every("1", "1.0", "0")), "error", None, ("'1', '1.0'",)),
    "labels with spaces": Row(".csv", plain(every("yes", "yes ", "no")), 2, 2),
    "a label is NA": Row(".csv", plain(replaced(YES, 3, "NA")), "error", None, ("'NA' for 1 of 24",)),
    "a label is empty": Row(".csv", plain(replaced(YES, 3, "")), "error", None, ("line 5", "a missing value")),
    "one class": Row(".csv", plain(["a"] * N), "error", None, ("at least two classes",)),
    "one value": Row(".csv", plain(["1.5"] * N), "error", None, ("at least two",)),
    "the label first": Row(".csv", text("kind,u,v", KINDS, U.tolist(), V.tolist()), 3, 2, label="kind"),
    "truth values": Row(".csv", plain(every("True", "False")), 2, 2),
    "labels in two forms of a letter": Row(
        ".csv", plain(every("Nîmes", "Ni\u0302mes", "Bonn")), "error", None, ("one spelling",)
    ),
    "percent signs": Row(
        ".csv", plain([f"{i}%" for i in range(N)]) + plain([f"{i}%" for i in range(N)])[9:], "error", None,
        ("write plain numbers",)
    ),
    "a text among real labels": Row(
        ".csv", plain(replaced(every("1.5", "2.5", "3.5"), 2, "n.d.")), "error", None, ("'n.d.', which are none",)
    ),
    "a sentinel among values": Row(
        ".csv", plain([-999 if i % 6 == 0 else p for i, p in enumerate(PRICES.tolist())]), "values", 2, ("-999",)
    ),
    # what people brought, and was read as something else
    "points between thousands or decimal ones": Row(
        ".csv", text("u;w;kind", range(N), every("1.949", "2.159"), KINDS, separator=";"), 3, 2, ("also in 1.949",)
    ),
    "points between millions": Row(
        ".csv", text("w;kind", every("2.845.018", "438.515"), KINDS, separator=";"), 3, 1, ("'.' between thousands",)
    ),
    "codes with leading zeros": Row(".csv", with_column(every("01067", "80331", "04109")), 3, 4, ("'w' (3 values)",)),
    "codes that are chosen to be numbers": Row(
        ".csv", with_column(every("01067", "80331", "04109")), 3, 2, columns={"w": "number"}
    ),
    "names that are values": Row(
        ".csv", text("x,s,e", every("x", "b"), every("s", "y"), every("e", "p")), "error", None, ("their own columns",)
    ),
    "a line for Excel": Row(".csv", b"sep=;\n" + plain(header="u;v;kind", separator=";"), "error", None, ("sep=",)),
    "a comment above": Row(".csv", b"# station 12, exported\n" + plain(), "error", None, ("# station 12",)),
    "a picture": Row(".csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff", "error", None, ("no text",)),
    "spaces for commas": Row(".txt", text("u kind", U.tolist(), KINDS, separator=" "), "error", words=("put commas",)),
    "an empty Excel sheet": Row(".xlsx", excel(pandas.DataFrame()), "error", None, ("an empty table",)),
    "Excel with dates and a zone": Row(
        ".parquet", parquet(frame(w=pandas.date_range("2024-01-01", periods=N, tz="Asia/Seoul"))), 3, 2, ("dates",)
    ),
    "Parquet without columns": Row(".parquet", parquet(pandas.DataFrame()), "error", None, ("an empty table",)),
    "Parquet with categories of digits": Row(
        ".parquet", parquet(frame(w=pandas.Categorical(every("3", "7")))), 3, 3, ("'w' (2 values)",)
    ),
    "Parquet with decimals": Row(
        ".parquet", parquet(frame(w=[decimal.Decimal(f"{v:.2f}") for v in V])), 3, 2
    ),
    "NPZ with two arrays of labels": Row(".npz", npz(x=X, labels=Y, y=Y), "error", None, ("in one array",)),
    # Excel and Parquet
    "Excel": Row(".xlsx", excel(frame(v=V, w=every("a", "b"))), 3, 4, ("'w' (2 values)",)),
    "Excel with dates": Row(".xlsx", excel(frame(w=pandas.date_range("2024-01-01", periods=N))), 3, 2, ("dates",)),
    "Excel with missing numbers": Row(".xlsx", excel(frame(w=np.where(Y == 0, np.nan, V))), 3, 3, ("missing numbers",)),
    "Excel with several sheets": Row(".xlsx", sheets(), 3, 2, ("the first of the sheets 'data', 'other'",)),
    "a damaged Excel file": Row(".xlsx", excel(frame(v=V))[:2000], "error", None, ("a .xlsx file", "cannot be read")),
    "a CSV named Excel": Row(".xlsx", plain(), "error", None, ("a .xlsx file", "cannot be read")),
    "Parquet": Row(".parquet", parquet(frame(v=V.astype(np.float32), w=every("a", "b"))), 3, 4, ("'w' (2 values)",)),
    "Parquet with categories": Row(".parquet", parquet(frame(w=pandas.Categorical(every("a", "b")))), 3, 3),
    "Parquet with truth values": Row(".parquet", parquet(frame(w=Y == 0)), 3, 3, ("'w' (2 values)",)),
    "Parquet with whole numbers and gaps": Row(
        ".parquet", parquet(frame(w=pandas.array(replaced(Y.tolist(), 2, None), "Int64"))), 3, None, ()
    ),
    "a damaged Parquet file": Row(".parquet", parquet(frame(v=V))[:300], "error", None, ("a .parquet file",)),
    # NPZ
    "NPZ": Row(".npz", npz(x=X, labels=Y), 3, 2),
    "NPZ with X and y": Row(".npz", npz(X=X, y=Y), 3, 2),
    "NPZ with a column of labels": Row(".npz", npz(X=X, y=Y[:, None]), 3, 2),
    "NPZ with real values": Row(".npz", npz(x=X, labels=PRICES), "values", 2),
    "NPZ with texts": Row(".npz", npz(x=X, labels=np.array(KINDS)), 3, 2),
    "NPZ with images": Row(".npz", npz(x=RNG.normal(size=(N, 4, 4)), labels=Y), 3, 16),
    "NPZ with one-hot labels": Row(".npz", npz(x=X, labels=np.eye(3)[Y]), "error", None, ("labels of shape (24,)",)),
    "NPZ with objects": Row(".npz", npz(x=X, labels=np.array(KINDS, object)), "error", None, ("plain arrays",)),
    "NPZ with NaN": Row(".npz", npz(x=np.where(X > 1, np.nan, X), labels=Y), "error", None, ("finite numbers",)),
    "NPZ without labels": Row(".npz", npz(x=X), "error", None, ("'labels'",)),
    "a CSV named NPZ": Row(".npz", plain(), "error", None, ("an NPZ file",)),
}  # fmt: skip


def outcome(row, folder):
    """What becomes of a file: (the number of classes, "values" or "error", features, what is said)."""
    path = Path(folder) / f"table{row.ending}"
    path.write_bytes(row.content)
    said = []
    how = {"label": row.label, "task": row.task, "columns": row.columns, "log": said.append}
    try:
        dataset = datasets.load(path, **how)
    except ValueError as error:
        return "error", None, str(error)
    return len(dataset.classes) or "values", dataset.train.x.shape[1], "\n".join(said)


def main():
    """Print what becomes of each file."""
    with tempfile.TemporaryDirectory() as folder:
        for name, row in ROWS.items():
            got, features, said = outcome(row, folder)
            what = got if isinstance(got, str) else f"{got} classes"
            said = said.replace(folder, "").replace("\n", "; ")
            print(f"{name}: {what}{f', {features} features' * (got != 'error')}{': ' * bool(said)}{said}")


if __name__ == "__main__":
    main()
