import numpy as np

from pdm_tf.core.images import write_png
from pdm_tf.estimation.photograph_cuts import middle, read_cuts


def numbered(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([y % 256, x % 256, 0 * y], axis=-1).astype(np.uint8)


def test_the_middle_keeps_the_grid_of_blocks():
    rgb_u8 = numbered(100, 250)
    cut = middle(rgb_u8, 120)
    assert cut.shape == (100, 120, 3) and cut.flags.c_contiguous
    top, left = (int(x) for x in cut[0, 0, :2])
    assert top == 0 and left % 16 == 0 and abs(left - 65) < 16
    np.testing.assert_array_equal(cut, rgb_u8[:, left : left + 120])
    np.testing.assert_array_equal(middle(rgb_u8, 300), rgb_u8)


def test_many_photographs_are_cut_to_what_fits_but_not_below_the_least(tmp_path):
    names = [f"{index}.png" for index in range(8)]
    for name in names:
        write_png(tmp_path / name, numbered(60, 90))
    whole = read_cuts(tmp_path, names, 10**6, 32)
    assert [cut.name for cut in whole] == names
    assert whole[0].rgb_u8.shape == (60, 90, 3)
    small = read_cuts(tmp_path, names, 8 * 40 * 40, 32)
    assert [cut.rgb_u8.shape for cut in small] == [(40, 40, 3)] * 8
    few = read_cuts(tmp_path, names, 4 * 32 * 32, 32)
    assert [cut.name for cut in few] == ["0.png", "2.png", "5.png", "7.png"]
    assert few[0].rgb_u8.shape == (32, 32, 3)
