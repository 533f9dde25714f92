import pytest

from pdm_tf.estimation.hr_split import held_out_names


@pytest.mark.parametrize(
    ("count", "held_out"),
    [(3, 1), (7, 2), (20, 5), (40, 10), (79, 10), (80, 10), (160, 20), (800, 100)],
)
def test_how_many(count, held_out):
    names = [f"{index}.png" for index in range(count)]
    found = held_out_names(names)
    assert len(found) == held_out and found < set(names)


def test_the_order_does_not_matter_and_one_more_hardly_does():
    names = [f"scene {index}.png" for index in range(160)]
    found = held_out_names(names)
    assert found == held_out_names(names[::-1])
    assert len(found ^ held_out_names([*names, "new.png"])) <= 2
