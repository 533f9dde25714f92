"""Numbers and tables as people read them."""

from pdm_tf.core.text_table import aligned


def test_the_first_column_is_to_the_left_and_numbers_to_the_right():
    rows = [("name", "ms", "note"), ("a", "1234", ""), ("longer", "5", "ok")]
    assert aligned(rows) == [
        "name      ms  note",
        "a       1234",  # and no spaces at the end
        "longer     5    ok",
    ]
