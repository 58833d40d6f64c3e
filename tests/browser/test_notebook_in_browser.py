"""A notebook's outputs in a real browser: read on light and dark themes, and nothing else on the page changes."""

from collections.abc import Iterator

import pytest
from play_training import play
from playwright.sync_api import Browser, Page
from sample_runs import CONSTANT, DEAD, GAP, add_result, ten_classes, two_classes, write_run

from thalweg.findings import Findings
from thalweg.plan import Plan
from thalweg.run import Run
from thalweg.show.notebook.picture import picture
from thalweg.show.notebook.told import Told

# How the body of each kind of notebook looks: its attributes, and the style it gives tables and headings.
THEMES = {
    "lab light": ('data-jp-theme-light="true"', "background: #fff; color: rgba(0, 0, 0, .87)"),
    "lab dark": ('data-jp-theme-light="false"', "background: #111; color: #fff"),
    "code dark": ('class="vscode-dark"', "background: #1e1e1e; color: #ccc"),
    "classic": ("", "background: #fff; color: #000"),
}
FOREIGN = """<div id="foreign"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td class="label">1</td></tr></tbody>
</table><h3>heading</h3><p class="card dim">text <code class="badge">code</code></p><ul><li>one</li></ul>
<svg class="chart" width="9" height="9"><path class="line" d="M0 0h9"/></svg></div>"""
LAB = """.rendered table { table-layout: fixed; margin: 0 auto; font-size: 12px }
.rendered td, .rendered th { padding: .5em; } .rendered h3 { font-size: 1.3em }
.rendered tbody tr:nth-child(odd) { background: rgba(128, 128, 128, .1) }"""
# The computed style of everything foreign, with the outputs and without them.
LOOKS = """() => {
  const look = () => [...document.querySelectorAll('#foreign, #foreign *')].map(e => JSON.stringify(
    Object.fromEntries([...getComputedStyle(e)].map(n => [n, getComputedStyle(e).getPropertyValue(n)]))));
  const outputs = [...document.querySelectorAll('.rendered')], beside = look();
  outputs.forEach(e => e.remove());
  const alone = look();
  outputs.forEach(e => document.body.append(e));
  return [beside, alone];
}"""
# Contrast of each text to its ground, translucent colors laid over one another (WCAG 2.1, 1.4.3); the ten worst.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = colors => { canvas.clearRect(0, 0, 1, 1);
    for (const c of colors) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const grounds = e => e ? [...grounds(e.parentElement), getComputedStyle(e).backgroundColor] : ['#fff'];
  const found = [];
  for (const e of document.querySelectorAll('.thalweg *')) {
    if (e.closest('style, title, desc') || e.matches('.on')) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const ink = e.closest('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const [a, b] = [light(over([...grounds(e), ink])), light(over(grounds(e)))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), e.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 10);
}"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    story = Told()
    play(story.add)
    run = Run.open(add_result(write_run(tmp_path_factory.mktemp("runs") / "amber-fjord-12"), ten_classes()))
    values = (run, Findings((DEAD, CONSTANT, GAP)), two_classes(), Plan(epochs=20))
    return [picture(story), *(value._repr_html_() for value in values)]


@pytest.fixture(scope="module", params=THEMES)
def opened(
    request: pytest.FixtureRequest, browser: Browser, outputs: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    attributes, style = THEMES[request.param]
    cells = "".join(f'<div class="rendered">{html}</div>' for html in outputs)
    file = tmp_path_factory.mktemp("notebook") / "notebook.html"
    head = f'<!doctype html><meta charset="utf-8"><style>{LAB} body {{ {style}; font: 13px sans-serif }}</style>'
    file.write_text(f"{head}<body {attributes}>{FOREIGN}{cells}")
    # The system's scheme is the other one: a notebook's theme is its own.
    page = browser.new_page(color_scheme="light" if "dark" in request.param else "dark")
    requests: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url))
    page.goto(file.as_uri())
    assert requests == [file.as_uri()]
    yield page
    page.close()


@pytest.mark.parametrize("width", [420, 1000])
def test_text_can_be_read_and_nothing_overflows(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    worst = opened.evaluate(CONTRAST)
    assert worst[0][0] >= 4.5, worst
    outside = opened.evaluate(
        """() => [...document.querySelectorAll('.thalweg *')].filter(e => !e.closest('.scroll') && !e.closest('svg'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []


def test_nothing_outside_changes(opened: Page) -> None:
    beside, alone = opened.evaluate(LOOKS)
    assert len(alone) > 10
    assert beside == alone


def test_the_rows_of_a_table_are_not_striped_by_the_theme(opened: Page) -> None:
    grounds = opened.evaluate(
        "() => [...document.querySelectorAll('.thalweg tr')].map(e => getComputedStyle(e).backgroundColor)"
    )
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}
