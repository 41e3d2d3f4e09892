"""The documentation site: `make site` builds it into build/site, offline and with every warning an error.

The source folder is the root of the repository, so that pages link to one another as they do on a code host.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from fourier_addition import __version__  # noqa: E402

project = "Fourier features of addition"
copyright = "the authors of the workflow"
release = version = __version__

# Pages: Markdown of the repository.
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "config/README.md", "docs/**"]
exclude_patterns = [".*", "build", "results", "logs", "workflow", "tests", "bench", "envs", "profiles"]
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4

# The public interface comes from the docstrings, which are plain text.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}

# Looks: one theme, no request to another host.
html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {"navigation_with_keys": True, "footer_icons": []}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = False
highlight_language = "text"


def _plain(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Take the indentation off continuation lines, which would be quotations, and show `names` as code."""
    text = "\n".join(line.strip() for line in lines)
    # A name in backticks may go on in the next line.
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda found: f"``{' '.join(found[1].split())}``", text)
    lines[:] = text.split("\n")


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain)
