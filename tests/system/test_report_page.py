"""A page of all generic parts in a real Chromium: it works, and is watched for real."""

import io

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from pdm_tf.reporting.charts import Chart, Scale, Series
from pdm_tf.reporting.page import Section, Verdict, render_page
from pdm_tf.reporting.rendering import Column, Sortable, Tile, render
from tests.support.html_check import check_html

HOSTILE = (
    "\"><img src=x onerror=alert(1)></script><script>throw 1</script>\udcff\u202e'"
)


def page_text(name="photo"):
    """One of everything, with `name` wherever a text can stand."""
    red = np.full((60, 80, 3), (250, 0, 0), np.uint8)
    blue = np.full((60, 80, 3), (0, 0, 250), np.uint8)
    columns = [Column("image"), Column("PSNR, dB", 2), Column("note")]
    rows = [
        ("b", 9.5, name),
        ("a", 10.25, "x"),
        ("c", None, "y"),
        ("d", -3.0, "z"),
    ]
    chart = Chart(
        name,
        [Series(name, [(0, 1), (10, 4)]), Series("dots", [(3, 2)], "true", True)],
        Scale("x"),
        Scale("y"),
    )
    parts = [
        render("sr", comparisons=[(name, (0, 0, 60, 80), red, blue)], note=name),
        render("sortable", table=Sortable("Scores", columns, rows)),
        render("facts", caption="Facts", facts=[(name, name)]),
        render("patches", groups=[(name, [Tile(red, name, name)])], chart=chart),
    ]
    section = Section("parts", name, name, Markup("").join(parts), (chart,))
    return render_page(name, name, Verdict("good", name, (name,)), [section], name)


@pytest.fixture
def opened(browser, tmp_path):
    """Writes a page and opens it; returns the browser."""

    def write_and_open(text, width=1000, height=700, phone=False):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        browser.open(path, width, height, phone=phone)
        return browser

    return write_and_open


def frame(browser):
    """The slider's box in the window, after it was scrolled into sight."""
    browser.evaluate(
        "document.querySelector('.frame')"
        ".scrollIntoView({ behavior: 'instant', block: 'center' })"
    )
    box = browser.evaluate(
        "(() => { const b = document.querySelector('.frame').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })()"
    )
    return box


def colour_at(browser, x, y):
    """Returns the colour of a visible pixel."""
    image = Image.open(io.BytesIO(browser.page.screenshot())).convert("RGB")
    return image.getpixel((round(x), round(y)))


def is_red(colour):
    return colour[0] > 200 and colour[2] < 60


def is_blue(colour):
    return colour[2] > 200 and colour[0] < 60


def test_it_is_well_formed_and_silent(opened):
    text = page_text()
    assert check_html(text) == []
    browser = opened(text)
    assert browser.problems == [] and browser.requested == []


def test_hostile_names_stay_text(opened):
    """In every place of the page: no element, no attribute, no script comes of them."""
    text = page_text(HOSTILE)
    assert check_html(text) == []
    browser = opened(text)
    assert browser.problems == [] and browser.requested == []
    plain = HOSTILE.replace("\udcff", "?").replace("\u202e", "\ufffd")
    assert browser.evaluate("document.title") == plain
    assert browser.evaluate("document.querySelector('.frame img').alt").startswith(
        plain
    )
    assert browser.evaluate("document.scripts.length") == 1


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ('document.querySelectorAll(".frame")', None),  # the control: nothing planted
        ("nowhere.atAll()", "nowhere is not defined"),
        ('console.error("planted")', "planted"),
        ('setTimeout(() => { throw new Error("later") }, 50)', "later"),
        ('new Image().src = "http://localhost:9/x.png"', "Content Security Policy"),
        ('fetch("http://localhost:9/data").catch(() => 0)', "Content Security Policy"),
    ],
)
def test_the_watch_sees_planted_errors(opened, monkeypatch, planted, told):
    """Put into the page's own script, since another one would not run at all."""
    from pdm_tf.reporting import page

    whole = page.asset

    def with_plant(name):
        return whole(name) + (f"\n{planted};\n" if name == "page.js" else "")

    monkeypatch.setattr(page, "asset", with_plant)
    problems = opened(page_text()).problems
    if told is None:
        assert problems == []
    else:
        assert any(told in problem for problem in problems), problems


def test_a_script_that_was_slipped_in_does_not_run(opened):
    """The second wall behind escaping: the page's policy, by the script's hash."""
    evil = "<script>document.title = 'changed'</script></main>"
    browser = opened(page_text().replace("</main>", evil))
    assert browser.evaluate("document.title") == "photo"
    assert any("Content Security Policy" in problem for problem in browser.problems)


def test_without_the_policy_a_request_is_seen(opened):
    """So that "no requests" above means something."""
    text = page_text().replace("Content-Security-Policy", "x-none")
    browser = opened(text.replace("</main>", "<img src='http://localhost:9/a'></main>"))
    assert browser.requested == ["http://localhost:9/a"]
    assert any("request failed" in problem for problem in browser.problems)


def test_slider_follows_the_mouse(opened):
    browser = opened(page_text())
    left, top, width, height = frame(browser)
    middle = top + height / 2 + 40
    assert is_red(colour_at(browser, left + 0.4 * width, middle))
    assert is_blue(colour_at(browser, left + 0.6 * width, middle))
    mouse = browser.page.mouse
    mouse.move(left + 0.5 * width, middle)
    mouse.down()
    mouse.move(left + 0.7 * width, middle)
    mouse.move(left + 0.8 * width, middle)
    mouse.up()
    assert is_red(colour_at(browser, left + 0.75 * width, middle))
    assert is_blue(colour_at(browser, left + 0.85 * width, middle))
    # Let go: the line stays where it is.
    mouse.move(left + 9, middle)
    value = browser.evaluate("Number(document.querySelector('.frame input').value)")
    assert value == pytest.approx(80, abs=1)


def test_slider_follows_a_finger(opened):
    browser = opened(page_text(), 390, 800, phone=True)
    left, top, width, height = frame(browser)
    middle = top + height / 2 + 40
    browser.touch("touchStart", (left + 0.5 * width, middle))
    for part in (0.4, 0.3, 0.2):
        browser.touch("touchMove", (left + part * width, middle))
    browser.touch("touchEnd")
    assert is_red(colour_at(browser, left + 0.15 * width, middle))
    assert is_blue(colour_at(browser, left + 0.25 * width, middle))


def test_slider_follows_the_keys_and_says_where_it_is(opened):
    browser = opened(page_text())
    frame(browser)
    browser.evaluate("document.querySelector('.frame input').focus()")
    for _ in range(10):
        browser.page.keyboard.press("ArrowRight")
    where = "document.querySelector('.frame').style.getPropertyValue('--split')"
    assert browser.evaluate(where) == "60%"
    told = "document.querySelector('.frame input').getAttribute('aria-valuetext')"
    assert browser.evaluate(told) == "60% bicubic, 40% network"


def test_headings_sort(opened):
    browser = opened(page_text())
    names = (
        "Array.from(document.querySelectorAll('table.sort tbody tr'),"
        "row => row.cells[0].textContent).join('')"
    )
    click = "document.querySelectorAll('table.sort button')[{}].click()"
    state = "document.querySelectorAll('table.sort th[scope=col]')[{}].ariaSort"
    assert browser.evaluate(names) == "bacd"
    browser.evaluate(click.format(1))
    assert browser.evaluate(names) == "abdc"  # as numbers; what has none comes last
    assert browser.evaluate(state.format(1)) == "descending"
    browser.evaluate(click.format(1))
    assert browser.evaluate(names) == "dbac"
    browser.evaluate(click.format(0))
    assert browser.evaluate(names) == "abcd"
    assert browser.evaluate(state.format(1)) == "none"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_of_the_window(opened, width):
    browser = opened(page_text("a_long_name_without_any_space" * 4), width, 800)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_differ_and_can_be_read(opened):
    """Contrast of text on ground at least 4.5, as WCAG AA asks."""
    luminance = (
        "(c => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)"
        ".map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);"
        "return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; })"
    )
    grounds = []
    for dark in (False, True):
        browser = opened(page_text())
        browser.page.emulate_media(color_scheme="dark" if dark else "light")
        ground = browser.evaluate(
            f"{luminance}(getComputedStyle(document.body).backgroundColor)"
        )
        grounds.append(ground)
        for what in ("body", ".note, figcaption", "nav a", ".verdict strong"):
            ink = browser.evaluate(
                f"{luminance}(getComputedStyle(document.querySelector('{what}')).color)"
            )
            bright, dim = max(ink, ground) + 0.05, min(ink, ground) + 0.05
            assert bright / dim >= 4.5, (what, dark)
    assert grounds[0] > 0.8 and grounds[1] < 0.05
