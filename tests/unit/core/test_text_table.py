"""Text tables as people read them."""

import csv
import io

from pdm_tf.core.text_table import aligned, csv_text, markdown_table

ROWS = [("name", "ms", "note"), ("a", "1234", ""), ("longer", "5", "o|k")]


def test_the_first_column_is_to_the_left_and_numbers_to_the_right():
    lines = [
        "name      ms  note",
        "a       1234",  # and no spaces at the end
        "longer     5   o|k",
    ]
    assert aligned(ROWS) == lines
    assert aligned(ROWS, rule=True) == [lines[0], "-" * 18, *lines[1:]]


def test_markdown_keeps_a_bar_within_its_cell():
    assert markdown_table(ROWS) == [
        "| name | ms | note |",
        "| --- | ---: | ---: |",
        "| a | 1234 |  |",
        "| longer | 5 | o\\|k |",
    ]


def test_csv_holds_any_text():
    rows = [["a,b", '"q"'], ["line\nbreak", "\udcff"]]
    text = csv_text(rows)
    assert text.endswith("\n") and "\r" not in text
    found = list(csv.reader(io.StringIO(text)))
    assert found == [["a,b", '"q"'], ["line\nbreak", "?"]]
