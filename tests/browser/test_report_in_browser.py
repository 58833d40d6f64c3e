"""The report in a real browser: nothing is loaded, nothing overflows, both color schemes can be read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from sample_runs import add_result, numbers, ten_classes, two_classes, write_run

from thalweg.show.report import write_report
from thalweg.store import FILE, Store

WIDTHS = (390, 1280)
# Contrast of each piece of text to the nearest opaque background above it (WCAG 2.1, 1.4.3), the ten worst.
CONTRAST = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), e.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 10);
}"""


@pytest.fixture(scope="module", params=["ten", "two", "numbers", "bare"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "amber-fjord-12"
    if request.param == "bare":
        Store(folder / FILE, create=True).put({"name": "early", "status": "interrupted"})
    else:
        result = {"ten": ten_classes, "two": two_classes, "numbers": numbers}[request.param]()
        add_result(write_run(folder), result)
    write_report(folder, folder / "report.html")
    return folder / "report.html"


@dataclass
class Opened:
    """A report in a browser, with everything that went wrong while it was loaded and looked at."""

    page: Page
    scheme: str
    problems: list[str]


@pytest.fixture(scope="module", params=["light", "dark"])
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Opened]:
    page = browser.new_page(color_scheme=request.param)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("request", lambda sent: problems.append(f"request: {sent.url}") if is_foreign(sent.url) else None)
    page.goto(report.as_uri())
    yield Opened(page, request.param, problems)
    page.close()


def is_foreign(url: str) -> bool:
    return not (url.startswith("data:") or url.endswith("/report.html"))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_nothing_is_loaded(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    outside = opened.page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    assert opened.problems == []


def test_text_can_be_read_in_both_color_schemes(opened: Opened) -> None:
    worst: list[list[Any]] = opened.page.evaluate(CONTRAST)
    assert worst[0][0] >= 4.5, worst
    red, *_ = map(int, re.findall(r"\d+", opened.page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert (red > 128) == (opened.scheme == "light")


def test_charts_keep_their_texts_inside(opened: Opened) -> None:
    outside = opened.page.evaluate(
        """() => [...document.querySelectorAll('svg text')].filter(t => { const box = t.getBoundingClientRect();
        const chart = t.closest('.card, dd').getBoundingClientRect();
        return box.left < chart.left - 1 || box.right > chart.right + 1; }).map(t => t.textContent)"""
    )
    assert outside == []


def test_a_reader_finds_the_sections_by_their_links(opened: Opened) -> None:
    for link in opened.page.query_selector_all("nav a"):
        target = opened.page.query_selector(link.get_attribute("href") or "")
        assert target is not None
        assert target.is_visible()
    headings = opened.page.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert headings[0] == 1
    assert headings.count(1) == 1
