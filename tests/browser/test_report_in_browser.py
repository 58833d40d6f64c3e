"""The report in a real browser: nothing is loaded, nothing overflows, both color schemes can be read."""

from collections.abc import Iterator
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


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, problems: list[str]) -> Iterator[Page]:
    opened = browser.new_page(color_scheme=request.param)
    opened.on("console", lambda message: problems.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: problems.append(f"error: {error}"))
    opened.on("request", lambda sent: problems.append(f"request: {sent.url}") if is_foreign(sent.url) else None)
    yield opened
    opened.close()


def is_foreign(url: str) -> bool:
    return not (url.startswith("data:") or url.endswith("/report.html"))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_nothing_is_loaded(page: Page, report: Path, problems: list[str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []


def test_text_can_be_read_in_both_color_schemes(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    worst: list[list[Any]] = page.evaluate(CONTRAST)
    assert worst[0][0] >= 4.5, worst


def test_the_color_scheme_follows_the_reader(browser: Browser, report: Path) -> None:
    backgrounds = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(report.as_uri())
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert backgrounds[0] != backgrounds[1]


def test_a_reader_finds_the_sections_by_their_links(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    for link in page.query_selector_all("nav a"):
        target = page.query_selector(link.get_attribute("href") or "")
        assert target is not None
        assert target.is_visible()
    headings = page.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert headings[0] == 1
    assert headings.count(1) == 1
