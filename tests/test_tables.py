"""What becomes of each file that people bring, and of new rows that a model has not seen."""

import pytest
import tables


@pytest.mark.parametrize("name", tables.ROWS)
def test_a_table_is_the_task_that_its_author_meant(name, tmp_path):
    row = tables.ROWS[name]
    got, features, said = tables.outcome(row, tmp_path)
    assert got == row.meant, said
    assert row.features is None or features == row.features, said
    assert all(words in said for words in row.words), said
    assert "\n" not in said or got != "error"


def test_the_table_is_long():
    assert len(tables.ROWS) >= 90
