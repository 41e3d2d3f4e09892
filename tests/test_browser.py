"""The report and the documentation's site in headless Chromium: whole, quiet, readable, reachable by keys."""

import subprocess
import sys

import browser
import pytest
from fourier_addition.pipeline.report.command import main
from study import ROOT, finished

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(browser.missing()), reason=f"NOT SEEN IN A BROWSER: {browser.missing()}"),
]
PAGES = (
    "docs/index",
    "README",
    "docs/library",
    "docs/public-api",
    "docs/claims",
    "docs/gallery/index",
    "docs/notebooks",
    "config/README",
)
"""Pages of the site with everything that pages have: tables, code, formulas, pictures, long names."""


@pytest.fixture(scope="module")
def driver():
    with browser.browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a finished study."""
    folder = finished(tmp_path_factory.getbasetemp(), "tiny")
    target = tmp_path_factory.mktemp("report") / "report.html"
    config = folder / "config/config.yaml"
    assert main([str(folder / "results"), "--configfile", str(config), "--output", str(target)]) == 0
    return target


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs", "."]
    command.append(str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", browser.WIDTHS)
def test_the_report_has_nothing_to_object_to(driver, report, width, dark):
    assert browser.objections(driver, report, width=width, dark=dark) == []


def test_the_report_is_reached_by_keys(driver, report):
    browser.opened(driver, report)
    steps = browser.reached(driver, 30)
    assert len({step for step in steps if step.startswith(("a ", "button "))}) >= 15, steps
    assert not [step for step in steps if step.endswith(("hidden", "unmarked"))]
    assert browser.unreached(driver) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", browser.WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_the_site_has_nothing_to_object_to(driver, site, name, width, dark):
    page = site / f"{name}.html"
    assert browser.objections(driver, page, width=width, dark=dark, folder=site) == []


def test_the_site_is_reached_by_keys(driver, site):
    browser.opened(driver, site / "docs/index.html")
    steps = browser.reached(driver, 30)
    assert len({step for step in steps if step.startswith("a ")}) >= 15, steps
    assert not [step for step in steps if step.endswith(("hidden", "unmarked"))]
    assert browser.unreached(driver) == []


FAULTY = """<!doctype html><meta charset="utf-8"><style>p {color: #999} div {width: 2000px}</style>
<link rel="stylesheet" href="https://example.org/style.css"><p>faint</p><div>wide</div>
<h2 id="x">first</h2><h4 id="x">third</h4><style>button:focus {outline: none}</style><button>press</button>
<input tabindex="0" onfocus="this.blur()" aria-label="number"><a href="#y" style="display: none">hidden</a>
<img src="none.png"><a href="#x"></a><script>console.error("said"); none()</script>"""


def test_a_faulty_page_would_be_found(driver, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(FAULTY)
    looked = browser.opened(driver, page, width=400)
    asked = " ".join(looked.elsewhere(page))
    assert "example.org" in asked and "none.png" in asked
    said = " ".join(looked.errors)
    assert "said" in said and "none is not defined" in said
    assert len(browser.undrawn(driver)) == 1 and len(browser.overflowing(driver)) == 1
    words = " ".join(browser.without_words(driver))
    assert all(part in words for part in ("language", "title", "no alt", "no name"))
    assert "2.85 p." in browser.too_faint(driver)[0]
    outline = " ".join(browser.disordered(driver))
    assert all(part in outline for part in ("0 headings", "level 2 after level 0", "level 4", "id twice"))
    unreached = browser.unreached(driver)
    assert any("no outline" in each and "press" in each for each in unreached)
    # In dark, a page that says nothing of dark is still black on white.
    browser.opened(driver, page, width=400, dark=True)
    assert len(browser.too_faint(driver)) == 1
