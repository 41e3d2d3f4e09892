"""The documentation site: built offline without a warning, whole, and spelled right."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from study import ROOT
from test_docs import PAGES

BIN = Path(sys.executable).parent
WORDS = "fpt,te,nd,ans,ois"
"""What codespell takes for a slip and is none."""


class _Looked(HTMLParser):
    """What a page loads by itself, what a reader can follow, and images without a text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.followed: list[str] = []
        self.without_text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if tag in ("script", "img", "source", "iframe") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])
        if tag == "img" and not found.get("alt"):
            self.without_text.append(found["src"])
        if tag == "a" and found.get("href"):
            self.followed.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [BIN / "sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs", ".", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.system
def test_every_page_is_on_the_site_and_loads_nothing_from_elsewhere(site):
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file(), page
    for html in site.rglob("*.html"):
        looked = _Looked()
        looked.feed(html.read_text())
        assert not looked.without_text, html
        for address in looked.loaded:
            assert not urlsplit(address).scheme or address.startswith("data:"), (html, address)
            if not address.startswith("data:"):
                assert (html.parent / unquote(urlsplit(address).path)).exists(), (html, address)


@pytest.mark.system
def test_no_row_of_a_table_stands_in_a_paragraph(site):
    pages = [html.relative_to(site) for html in site.rglob("*.html") if "<p>| " in html.read_text()]
    assert pages == []


@pytest.mark.system
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site):
    anchors = {html: set(re.findall(r'\bid="([^"]+)"', html.read_text())) for html in site.rglob("*.html")}
    followed = 0
    for html in anchors:
        looked = _Looked()
        looked.feed(html.read_text())
        for address in looked.followed:
            parts = urlsplit(address)
            if parts.scheme or html.name in ("search.html", "genindex.html"):
                continue
            target = (html.parent / unquote(parts.path)).resolve() if parts.path else html
            assert target.exists(), (html, address)
            if parts.fragment and target in anchors:
                assert unquote(parts.fragment) in anchors[target], (html, address)
            followed += 1
    assert followed > 500


def test_the_pages_are_spelled_right():
    command = [BIN / "codespell", "-L", WORDS, *PAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
