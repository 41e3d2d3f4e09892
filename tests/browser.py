"""A page in headless Chromium: what it asks for, what it says, and what a reader cannot see or reach.

Debian's chromium and chromium-driver serve; nothing is downloaded. `missing` says why there is no browser.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromedriver")
WIDTHS = (1400, 400)
"""Widths in pixels at which pages are looked at: a desk and a telephone."""
CONTRAST = 4.5
"""Smallest contrast of text with what is behind it (WCAG 2, level AA)."""


def missing() -> str:
    """Why there is no browser here; nothing where there is one."""
    lacking = [path for path in CHROMIUM if shutil.which(path) is None]
    if lacking:
        return f"{' and '.join(lacking)} must be there: apt-get install chromium chromium-driver"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium must be installed: make setup-test"
    return ""


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium that logs its requests and its console; the driver of selenium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM[0]
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "hide-scrollbars",
        "disable-background-networking",
        "disable-component-update",
        "no-first-run",
        "allow-file-access-from-files",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # A page with 15 MB of pictures may take its time on a busy machine.
    driver = webdriver.Chrome(options=options, service=Service(CHROMIUM[1]))
    driver.set_page_load_timeout(600)
    driver.set_script_timeout(600)
    try:
        yield driver
    finally:
        driver.quit()


@dataclass
class Looked:
    """What a page did while it was opened.

    requests: addresses that it asked for, itself included. errors: what the console has of errors, and
    requests that failed.
    """

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def elsewhere(self, page: Path, folder: Path | None = None) -> list[str]:
        """Requests for anything but the page itself, or, for a site, for anything outside its folder."""
        allowed = []
        for address in self.requests:
            parts = urlsplit(address)
            path = Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None
            own = path is not None and (
                path == page.resolve() or (folder is not None and folder.resolve() in path.parents)
            )
            if not own and parts.scheme not in ("data", "blob", "about"):
                allowed.append(address)
        return allowed


def opened(driver: Any, page: Path, *, width: int = 1400, height: int = 1000, dark: bool = False) -> Looked:
    """Open a file at a width in pixels, in its light or its dark colours, and wait until all is drawn."""
    # The page counts as the one in use even while the tabulator passes through the window's own controls:
    # without that, the first element after them may get the focus before the page matches :focus again.
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    seen(driver)
    driver.get(page.resolve().as_uri())
    driver.execute_async_script(
        """
        const done = arguments[0];
        for (const image of document.images) image.loading = "eager";
        Promise.all([...document.images].map(image => image.decode().catch(() => null)))
            .then(() => document.fonts.ready)
            .then(() => requestAnimationFrame(() => requestAnimationFrame(() => done())));
        """
    )
    return seen(driver)


def seen(driver: Any) -> Looked:
    """What was asked for and said since the last look."""
    found = Looked()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.requests.append(message["params"]["request"]["url"])
        elif message["method"] == "Network.loadingFailed" and not message["params"].get("canceled"):
            found.errors.append(f"failed: {message['params'].get('errorText')}")
    found.errors += [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "ERROR")
    ]
    return found


class Window:
    """The page that a driver shows, by selectors: its texts, its scripts, keys on its elements."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns, given the values as `arguments`."""
        return self.driver.execute_script(script, *values)

    def press(self, css: str, *keys: str) -> None:
        """Keys, by names as `right` and `home` or as text, on the element that a selector finds."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        element = self.driver.find_element(By.CSS_SELECTOR, css)
        element.send_keys(*(getattr(Keys, key.upper(), key) for key in keys))

    def text(self, css: str) -> str:
        """The text of an element as a reader sees it."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", css))

    def complaints(self) -> list[str]:
        """Messages of the console since the last look: errors, warnings, refused requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


SHOWN = """
const shown = element => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})
    && element.getClientRects().length > 0;
const named = element => element.outerHTML.slice(0, 120);
const marked = element => {
    const style = getComputedStyle(element);
    return style.outlineStyle !== "none" || style.boxShadow !== "none";
};
"""


def undrawn(driver: Any) -> list[str]:
    """Images of the page without a width of their own."""
    script = "return [...document.images].filter(image => !image.naturalWidth).map(named)"
    return list(driver.execute_script(SHOWN + script))


def without_words(driver: Any) -> list[str]:
    """What a screen reader is not told: language, title, texts of images, names of links and fields."""
    return list(
        driver.execute_script(
            SHOWN
            + """
            const found = [];
            if (!document.documentElement.lang) found.push("the page has no language");
            if (!document.title.trim()) found.push("the page has no title");
            for (const image of document.images) {
                // A picture beside the words of its own link may have an empty text.
                const told = image.closest("a")?.textContent.trim()
                    || image.getAttribute("aria-hidden") === "true";
                if (!image.hasAttribute("alt")) found.push("no alt: " + named(image));
                else if (!image.alt.trim() && !told) found.push("empty alt: " + named(image));
            }
            const spoken = element => (element.getAttribute("aria-label") || element.title
                || element.textContent || "").trim()
                || element.getAttribute("aria-labelledby")
                || [...element.querySelectorAll("img, svg")].some(inner => inner.alt || inner.ariaLabel);
            for (const link of document.querySelectorAll("a[href], button"))
                if (shown(link) && !spoken(link)) found.push("no name: " + named(link));
            for (const field of document.querySelectorAll("input, select, textarea"))
                if (shown(field) && field.type !== "hidden" && !field.labels?.length
                    && !field.getAttribute("aria-label") && !field.getAttribute("aria-labelledby")
                    && !field.placeholder) found.push("no label: " + named(field));
            return found;
            """
        )
    )


def too_faint(driver: Any, least: float = CONTRAST) -> list[str]:
    """Texts whose contrast with the background is below `least`, by the computed colours."""
    return list(
        driver.execute_script(
            SHOWN
            + """
            const least = arguments[0], canvas = document.createElement("canvas");
            canvas.width = canvas.height = 1;
            const pen = canvas.getContext("2d", {willReadFrequently: true}), known = new Map();
            // Any CSS colour as [red, green, blue, alpha], each from 0 to 1
            const channels = colour => {
                if (!known.has(colour)) {
                    pen.clearRect(0, 0, 1, 1);
                    pen.fillStyle = colour;
                    pen.fillRect(0, 0, 1, 1);
                    known.set(colour, [...pen.getImageData(0, 0, 1, 1).data].map(value => value / 255));
                }
                return known.get(colour);
            };
            const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
            const light = colour => colour
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const scheme = matchMedia("(prefers-color-scheme: dark)").matches
                && getComputedStyle(document.documentElement).colorScheme.includes("dark");
            const behind = element => {
                const layers = [];
                for (let each = element; each; each = each.parentElement) {
                    const style = getComputedStyle(each);
                    if (style.backgroundImage !== "none") return null;
                    layers.push(channels(style.backgroundColor));
                    if (layers.at(-1)[3] === 1) break;
                }
                const ground = scheme ? [0.07, 0.07, 0.07] : [1, 1, 1];
                return layers.reverse().reduce((below, top) => over(top, below), ground);
            };
            // What the rectangles of a drawing that lie behind a text make of the ground
            const onShapes = (text, ground) => {
                const box = text.getBoundingClientRect();
                const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
                return [...text.ownerSVGElement.querySelectorAll("rect")].filter(each => {
                    const own = each.getBoundingClientRect();
                    return each.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING
                        && own.left <= x && x <= own.right && own.top <= y && y <= own.bottom;
                }).reduce((below, each) => {
                    const style = getComputedStyle(each);
                    if (style.fill === "none") return below;
                    const fill = channels(style.fill);
                    return over([...fill.slice(0, 3), fill[3] * style.fillOpacity], below);
                }, ground);
            };
            const found = new Map(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
                if (!text || !element || !shown(element)) continue;
                if (element.closest("[aria-hidden=true], script, style")) continue;
                const style = getComputedStyle(element), svg = element instanceof SVGElement;
                const ground = behind(element), below = ground && svg ? onShapes(element, ground) : ground;
                if (!below) continue;
                const own = over(channels(svg ? style.fill : style.color), below);
                const [a, b] = [light(own), light(below)].sort((x, y) => y - x);
                const contrast = (a + 0.05) / (b + 0.05);
                if (contrast < least) {
                    const key = `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""}`;
                    if (!found.has(key))
                        found.set(key, `${contrast.toFixed(2)} ${key}: ${text.slice(0, 40)}`);
                }
            }
            return [...found.values()];
            """,
            least,
        )
    )


def overflowing(driver: Any) -> list[str]:
    """What reaches beyond the right edge of the window, where the page can be scrolled to the side."""
    return list(
        driver.execute_script(
            SHOWN
            + """
            const wide = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= wide + 1) return [];
            const inside = element => {
                for (let each = element.parentElement; each; each = each.parentElement)
                    if (each !== document.body && each !== document.documentElement
                        && getComputedStyle(each).overflowX !== "visible") return true;
                return false;
            };
            const found = [...document.body.querySelectorAll("*")]
                .filter(each => shown(each) && each.getBoundingClientRect().right > wide + 1 && !inside(each))
                .map(each => `${Math.round(each.getBoundingClientRect().right)}: ${named(each)}`);
            return found.length ? found.slice(0, 8) : ["the page is wider than the window"];
            """
        )
    )


def disordered(driver: Any) -> list[str]:
    """What is wrong with the outline of a page: its one title, levels left out, ids that stand twice."""
    return list(
        driver.execute_script(
            SHOWN
            + """
            const found = [], ids = new Set();
            const titles = document.querySelectorAll("h1");
            if (titles.length !== 1) found.push(`${titles.length} headings of the first level`);
            let level = 0;
            for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
                if (!shown(heading)) continue;
                const own = Number(heading.tagName[1]);
                if (own > level + 1) found.push(`level ${own} after level ${level}: ${named(heading)}`);
                level = own;
            }
            for (const each of document.querySelectorAll("[id]")) {
                if (ids.has(each.id)) found.push("id twice: " + named(each));
                ids.add(each.id);
            }
            return found;
            """
        )
    )


def objections(driver: Any, page: Path, *, width: int, dark: bool, folder: Path | None = None) -> list[str]:
    """Everything that is wrong with a page at a width, in its light or dark colours.

    folder: of the site that the page is of, from which it may load.
    """
    looked = opened(driver, page, width=width, dark=dark)
    found = [f"asks for {address}" for address in looked.elsewhere(page, folder)]
    found += [f"says {error}" for error in looked.errors]
    if not looked.requests:
        found.append("nothing was opened")
    for look in (undrawn, without_words, disordered, too_faint, overflowing):
        found += [f"{look.__name__}: {each}" for each in look(driver)]
    return found


def unreached(driver: Any, most: int = 3000) -> list[str]:
    """Links and controls that the tabulator never reaches, or that do not show that they have the focus.

    most: presses of the tabulator, for pages with more links than that.
    """
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    left = driver.execute_script(
        SHOWN
        + """
        document.activeElement?.blur();
        window.scrollTo(0, 0);
        const kinds = "a[href], button, input, select, textarea, summary, [tabindex]";
        window.awaited = new Set([...document.querySelectorAll(kinds)].filter(each =>
            shown(each) && each.tabIndex >= 0 && !each.disabled && each.type !== "hidden"));
        window.doubtful = [];
        document.addEventListener("focusin", event => {
            if (window.awaited.delete(event.target) && !marked(event.target))
                window.doubtful.push(event.target);
        });
        return window.awaited.size;
        """
    )
    # The window's own controls come between the last element and the first.
    steps = min(most, left + 20)
    for start in range(0, steps, 100):
        chain = ActionChains(driver, duration=0)
        chain.send_keys(Keys.TAB * min(100, steps - start)).perform()
    # What had no outline at the moment of its focus is looked at again once it is drawn with the focus.
    return list(
        driver.execute_async_script(
            SHOWN
            + """
            const done = arguments[0], drawn = () => new Promise(requestAnimationFrame);
            const unmarked = async () => {
                const found = [];
                for (const each of window.doubtful) {
                    each.focus();
                    await drawn();
                    await drawn();
                    if (!marked(each)) found.push("no outline: " + named(each));
                }
                return found;
            };
            const missed = [...window.awaited].map(each => "never reached: " + named(each));
            unmarked().then(found => done([...found, ...missed]));
            """
        )
    )


def reached(driver: Any, steps: int) -> list[str]:
    """What has the focus after each press of the tabulator, and "hidden" where it cannot be seen."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver.execute_script("document.activeElement?.blur(); window.scrollTo(0, 0)")
    found = []
    for _ in range(steps):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        found.append(
            driver.execute_script(
                SHOWN
                + """
                const at = document.activeElement;
                if (!at || at === document.body) return "body";
                const name = (at.getAttribute("href") || at.getAttribute("aria-label") || at.id
                    || at.textContent.trim() || at.tagName).slice(0, 60);
                const seen = (shown(at) ? "" : " hidden") + (marked(at) ? "" : " unmarked");
                return `${at.tagName.toLowerCase()} ${name}${seen}`;
                """
            )
        )
    return found


def picture(driver: Any, path: Path, *, whole: bool = False) -> Path:
    """A screenshot as PNG, of the window or of the whole page."""
    import base64

    options: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
    if whole:
        size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        options["clip"] = {**size, "x": 0, "y": 0, "scale": 1, "height": min(size["height"], 16000)}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", options)
    path.write_bytes(base64.b64decode(shot["data"]))
    return path
