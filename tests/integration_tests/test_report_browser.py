"""The page of a run, opened in a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from langchain_tts.evaluation.page.build import build, write
from tests.unit_tests.evaluation.page_runs import large_run, small_run

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)

pytestmark = pytest.mark.skipif(
    _BROWSER is None and os.environ.get("CI") != "true",
    reason="there is no Chromium on PATH",
)

# A phone, and a screen.
WIDTHS = (390, 1280)


class Opened:
    """A page in a browser, with everything that it said and asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build([small_run(), large_run()], command="langchain-tts report RUN")
    return write(built, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert _BROWSER is not None, f"none of {', '.join(_NAMES)} is on PATH"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=_BROWSER, args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture(params=WIDTHS)
def opened(
    report: Path, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    yield Opened(context.new_page(), report.as_uri())
    context.close()


def test_a_page_opens_without_errors_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.said == []
    assert opened.asked == [opened.page.url]
    assert opened.page.title() == "Test-time scaling on tinymath/test"


def test_all_figures_are_seen(opened: Opened) -> None:
    figures = opened.page.locator("figure")
    assert figures.count() == 9
    for place in range(figures.count()):
        shown = figures.nth(place).locator("svg").filter(visible=True)
        # The one for the page's column or the one for a phone.
        assert shown.count() == 1
        box = shown.bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert box["height"] > 100


def test_nothing_is_wider_than_the_screen(opened: Opened) -> None:
    width = "document.documentElement.scrollWidth - window.innerWidth"
    assert opened.page.evaluate(width) <= 0


def test_tables_say_what_the_rows_say(opened: Opened) -> None:
    rows = opened.page.locator("article#1-accuracy tbody tr".replace("#1", "#\\31 "))
    shown = {
        row.locator("th").text_content(): row.locator("td").all_text_contents()
        for row in rows.all()
    }
    right = {
        (record["strategy"], answer["budget"]): 0
        for record in small_run().records
        for answer in record["answers"]
    }
    for record in small_run().records:
        for answer in record["answers"]:
            if (answer["score"], answer["vote"]) == ("last", "max"):
                right[record["strategy"], answer["budget"]] += answer["right"]
    for name, strategy in (
        ("best-of-N", "best_of_n"),
        ("beam search (M = 4)", "beam_search?beam_width=4"),
    ):
        # Ten questions: each is ten percent.
        told = [cell.partition(" ")[0] for cell in shown[name]]
        assert told == [f"{10 * right[strategy, n]:.1f}" for n in (1, 2, 4)]


def test_a_page_follows_the_screen_into_the_dark(
    report: Path, browser: Browser
) -> None:
    context = browser.new_context(color_scheme="dark")
    opened = Opened(context.new_page(), report.as_uri())
    page = opened.page
    color = "(e) => getComputedStyle(e).backgroundColor"
    assert page.locator("html").evaluate(color) == "rgb(20, 23, 26)"
    text = "(e) => getComputedStyle(e).fill"
    label = page.locator("figure .wide svg text").first
    assert label.evaluate(text) != "rgb(28, 32, 36)"
    context.close()
