"""Every logged number has its meaning, in TensorBoard and in the docs."""

from pathlib import Path

from pdm_tf.core.log_words import WORDS, glossary, meaning

PAGE = Path(__file__).resolve().parents[3] / "docs/guide/losses.md"


def test_the_nearest_entry_counts():
    assert meaning("loss/sr_l1") == WORDS["loss/sr_l1"]
    assert meaning("loss/sr_charbonnier") == WORDS["loss/sr_*"]
    assert meaning("stat/grad_norm_sr") == WORDS["stat/grad_norm_*"]
    assert meaning("loss/of_tomorrow") == ""
    assert "| loss/of_tomorrow | of this method alone |" in glossary(
        ["loss/of_tomorrow"]
    )


def test_the_page_has_them_all():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    for name, words in WORDS.items():
        assert f"| `{name}` | {words} |" in text, name
