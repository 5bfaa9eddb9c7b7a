"""Report pages and reproduction pages in a real browser."""

import itertools
import os
import shutil

import pytest

from tests.experiments.conftest import FakeOutput
from tfsupermask.experiments import Scope, find
from tfsupermask.experiments.telling.page import write_all
from tfsupermask.report import render

playwright = pytest.importorskip(
    "playwright.sync_api", reason="pip install 'tfsupermask[browser]' to test pages"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="pip install 'tfsupermask[browser]' to test pages",
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="apt-get install chromium to test pages in a browser"
)
SCHEMES, WIDTHS = ("light", "dark"), (390, 1280)
SMALLEST_TEXT = 12

# Texts that are shown and too small, with their sizes in pixels of the screen.
SMALL_TEXTS = """smallest => {
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter(node => node.nodeType == 3);
    if (!texts.some(node => node.data.trim()) || !element.checkVisibility()) continue;
    const svg = element.closest("svg");
    const zoom = svg ? svg.clientWidth / svg.viewBox.baseVal.width : 1;
    const size = zoom * parseFloat(getComputedStyle(element).fontSize);
    if (size < smallest) found.push(`${size.toFixed(1)} px: ${element.textContent}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=sandbox)


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    """Pages by name: of a run, of two runs, of a reproduction with a failure."""
    root = tmp_path_factory.mktemp("pages")
    fake, scope = FakeOutput(root / "reproduction"), Scope(seeds=2, epochs=2)
    experiments = [find("figure", "5.3"), find("table", "8.4"), find("table", "5.3")]
    for experiment in experiments:
        fake.finish(experiment, Scope(seeds=1, epochs=2), lambda config: 0.5)
        fake.fail(experiment, scope, 1, "out of memory")
    written = {
        "run": [runs["patches"]],
        "comparison": [runs["patches"], runs["kaiming"]],
    }
    for name, shown in written.items():
        (root / f"{name}.html").write_text(render(shown))
    return {name: root / f"{name}.html" for name in written} | {
        "reproduction": write_all(experiments, scope, fake.folder)
    }


@pytest.fixture
def opened(request, browser, pages):
    """A page with everything unfolded, and what the console printed meanwhile."""
    name, scheme, width = request.param
    view = {"width": width, "height": 844}
    with browser.new_context(viewport=view, color_scheme=scheme) as context:
        page, printed = context.new_page(), []
        page.on("console", lambda message: printed.append(message.text))
        page.on("pageerror", lambda error: printed.append(str(error)))
        page.goto(pages[name].as_uri())
        page.evaluate(
            "document.querySelectorAll('details').forEach(d => d.open = true)"
        )
        # axe measures no contrast before a gradient.
        page.add_style_tag(content=".scroll { background: none !important }")
        yield page, printed


@pytest.mark.parametrize(
    "opened",
    itertools.product(("run", "comparison", "reproduction"), SCHEMES, WIDTHS),
    ids=lambda case: "-".join(map(str, case)),
    indirect=True,
)
def test_everyone_can_read_a_page(opened):
    page, printed = opened
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert page.evaluate(SMALL_TEXTS, SMALLEST_TEXT) == []
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert printed == []
