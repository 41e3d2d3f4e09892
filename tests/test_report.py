"""The report of whatever lies in a folder of results: claims, figures, tables, run times, provenance."""

import base64
import io
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.explorer.page import BODY, PARTS
from fourier_addition.files.manifests import write_manifest
from fourier_addition.pipeline.config import schema
from fourier_addition.pipeline.figures import KINDS, PAPER
from fourier_addition.pipeline.report.asked import _words
from fourier_addition.pipeline.report.claims import _links
from fourier_addition.pipeline.report.command import main
from fourier_addition.pipeline.report.intervals import drawing, scale_of, threshold_of
from fourier_addition.pipeline.report.parts import table
from fourier_addition.tables.writing import markdown
from PIL import Image
from study import ROOT

CONFIG = ROOT / "tests/configs/tiny.yaml"
FIGURES = ("figure-15", "figure-3", "layer-probes", "mine")
VOID = {"meta", "link", "img", "br", "circle", "line", "path", "input"}


class Page(HTMLParser):
    """What a browser would see: places, links, images, texts; fails for tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.images, self.labels, self.open = [], [], [], [], []
        self.rows, self.words, self.requests = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found)
        if tag == "img":
            self.images.append(found)
        if tag == "svg":
            self.labels.append(found["aria-label"])
        if tag == "tr" and "data-verdict" in found:
            self.rows.append(found["data-verdict"])
        for name in ("src", "href", "action", "poster", "srcset"):
            if tag == "a" and name == "href" and "explorer.html" in found[name]:
                continue
            if not found.get(name, "#").startswith(("#", "data:")):
                self.requests.append(found[name])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


CLAIMS = [
    # (claim, value, low, high, criterion, the paper's value, verdict)
    ("1", 0.99, 0.97, 1.0, "at least 95%", 0.9974, "confirmed"),
    ("3a", 2, 2, 2, "all of 4 periods", 4, "undecided"),
    ("9a", -0.9, -1.0, -0.8, "below 0 difference", -0.053, "confirmed"),
    ("10c", 2.5, 2.5, 2.5, "below 1 times the epochs", None, "refuted"),
    ("14", None, None, None, "at least 50%", 0.87, "not tested"),
]


@pytest.fixture
def results(tmp_path):
    """Results as a partial run leaves them, in the layout of the workflow."""
    folder = tmp_path / "study" / "results"
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    for shade, name in enumerate(FIGURES):
        Image.new("RGB", (400, 300), (40 * shade, 90, 90)).save(folder / f"figures/{name}.png")
        (folder / f"figures/{name}.csv").write_text(f"panel,value\na,{shade}\n")
        (folder / f"figures/{name}.pdf").write_bytes(b"%PDF-1.4")
    claims = pd.DataFrame(
        [
            {
                "claim": claim,
                "statement": f"Statement <{claim}> & more",
                "paper": "much",
                "paper_value": paper,
            }
            | {"run": "mini", "here": "some", "value": value, "low": low, "high": high}
            | {"interval_over": "seeds", "confirmed_when": criterion, "verdict": verdict}
            for claim, value, low, high, criterion, paper, verdict in CLAIMS
        ]
    )
    claims.to_csv(folder / "tables/claims.csv", index=False)
    pd.DataFrame({"run": ["a|b"], "accuracy": [0.5]}).to_csv(folder / "tables/accuracy.csv", index=False)
    (folder / "tables/accuracy.md").write_text(markdown(["Run", "Exact"], [["a|b", "50.0%"]], 1))

    # A model with its manifest, a capture inside of which nothing is to be read, and logs.
    (folder / "models/mini").mkdir(parents=True)
    (folder / "models/mini/model.safetensors").write_bytes(b"weights")
    write_manifest(
        folder / "models/mini.json",
        folder / "models/mini",
        provenance={"source": "numerals", "weights_sha256": "ab" * 32, "device": "cpu"},
    )
    for name, seconds in (("a", "2.0"), ("b", "3.5")):
        log = folder.parent / f"logs/runs/{name}/train.log"
        log.parent.mkdir(parents=True)
        log.write_text(
            f"10:00:00 INFO rule train, wildcards {{'run': '{name}'}}\n10:00:03 INFO done in {seconds} s\n"
        )
    (folder.parent / "logs/cut.log").write_text("10:00:00 INFO rule train, wildcards {'run': 'c'}\n")
    return folder


def report(results, *more, config=CONFIG):
    """The page of some results, and the zip beside it."""
    target = results.parent / "report.html"
    given = ["--configfile", str(config)] if config else []
    assert main([str(results), *given, "--output", str(target), *more]) == 0
    return Page(target.read_text()), zipfile.ZipFile(target.with_suffix(".zip"))


def test_a_partial_run_has_a_report_and_one_sentence_about_the_rest(results, capsys):
    page, _ = report(results)
    asked = yaml.safe_load(CONFIG.read_text())
    missing = [name for name in asked["figures"] if name not in FIGURES]
    said = capsys.readouterr().out.splitlines()
    about = [line for line in said if "not there yet" in line]
    assert len(about) == 1 and len(said) == 2
    assert f"{len(missing)} of {len(asked['figures'])} figures (figure-1" in about[0]
    assert "4 of 6 tables (table-1, sensitivity, units, arms)" in about[0]
    assert about[0].replace("`", "") in page.text


def test_a_configuration_in_a_folder_with_a_space_is_given_in_quotes(results, tmp_path, capsys):
    spaced = tmp_path / "my study.yaml"
    shutil.copy(CONFIG, spaced)
    report(results, config=spaced)
    assert f"`make CONFIG='{spaced}'` makes them." in capsys.readouterr().out


def test_the_page_opens_on_the_claims_and_has_the_figures_in_the_papers_order(results):
    page, _ = report(results)
    headings = [place for place in page.ids if not place.startswith(("figure:", "table:"))]
    assert [name for name in headings if name.endswith("-title")] == [
        f"{name}-title" for name in ("claims", "figures", "tables", "times", "provenance")
    ]
    places = [place for place in page.ids if place.startswith("figure:") and not place.endswith("-data")]
    assert places == ["figure:figure-3", "figure:figure-15", "figure:layer-probes", "figure:mine"]


def test_the_page_asks_for_nothing_from_outside(results):
    page, _ = report(results)
    assert page.requests == []
    text = (results.parent / "report.html").read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!data:)|@import|fetch\(|XMLHttpRequest|https?://", text)


def test_every_image_is_whole_and_has_words_or_a_caption(results):
    page, _ = report(results)
    assert len(page.images) == 2 * len(FIGURES)
    for image in page.images:
        content = base64.b64decode(image["src"].split(",")[1])
        Image.open(io.BytesIO(content)).load()
    large = [image["alt"] for image in page.images if image["alt"]]
    assert large[0] == f"figure-3: {KINDS['mean-spectra'].description}, of fine-tuned"
    assert large[-1] == "mine"


def test_links_lead_somewhere_and_data_is_the_files_own(results):
    page, _ = report(results)
    inside = [link["href"] for link in page.links if link["href"].startswith("#")]
    assert {place[1:] for place in inside} <= set(page.ids)
    # Claim 3a leads to figure 3 and to its data.
    assert "#figure:figure-3" in inside and "#figure:figure-3-data" in inside
    assert len(page.ids) == len(set(page.ids))
    saved = {link["download"]: link["href"] for link in page.links if "download" in link}
    content = base64.b64decode(saved["figure-3.csv"].split(",")[1])
    assert content == (results / "figures/figure-3.csv").read_bytes()
    assert {"claims.csv", "accuracy.csv"} <= set(saved)


def test_the_explorer_is_linked_where_it_lies(results, tmp_path):
    (results / "explorer.html").write_text("<p>explorer</p>")
    page, archive = report(results)
    targets = [link["href"] for link in page.links if "explorer.html" in link["href"]]
    assert targets[0] == "results/explorer.html"
    # Figure 3 shows spectra of a run; layer probes are in no view of the explorer.
    assert "results/explorer.html#spectrum/mini.finetuned.seed0" in targets
    assert len(targets) <= 1 + len(FIGURES)

    # In the zip it lies beside the page; from another folder the way is another one.
    assert archive.read("explorer.html") == b"<p>explorer</p>"
    inside = Page(archive.read("report.html").decode())
    assert [link["href"] for link in inside.links if "explorer.html" in link["href"]] == [
        target.removeprefix("results/") for target in targets
    ]
    (tmp_path / "a b").mkdir()
    report(results, "--output", str(tmp_path / "a b/page.html"))
    assert 'href="../study/results/explorer.html"' in (tmp_path / "a b/page.html").read_text()


def test_without_the_explorer_nothing_links_to_it(results):
    page, archive = report(results)
    assert not [link for link in page.links if "explorer" in link["href"]]
    assert "explorer.html" not in archive.namelist()


def test_captions_say_what_to_look_for_what_was_measured_and_the_keys(results):
    page, _ = report(results)
    kind = KINDS["mean-spectra"]
    assert kind.see[1:] in page.text and "analysis.null_level" in page.text
    assert "figures.figure-3.layers" in page.text
    assert "Fourier spectrum over the number axis of the logits" in page.text
    assert "snakemake.params" not in page.text
    assert "test-sized model" in page.text


def test_claims_have_their_verdicts_and_drawings_in_words(results):
    page, _ = report(results)
    assert page.rows == [row[-1] for row in CLAIMS]
    assert "Statement <3a> & more" in page.text
    assert page.labels[0] == (
        "value 99%, interval 97% to 100%, confirmed when at least 95%, the paper's value 100%"
    )
    assert len(page.labels) == 4 and "not measured" in page.text
    # The paper shows claim 1 in figure 7, which this partial run has not drawn.
    assert "figure-7 is not there" in page.text


def test_tables_times_and_provenance(results):
    page, _ = report(results)
    assert "a|b" in page.words and "50.0%" in page.words
    assert "All jobs together: 6 s of work." in page.text
    assert "5.5 s" in page.words and "ab" * 32 in page.words
    assert "numerals" in page.words and "numpy" in page.words


def test_the_zip_has_the_page_and_every_file_with_the_same_bytes_each_time(results):
    _, archive = report(results)
    names = set(archive.namelist())
    assert {"report.html", "figures/figure-3.pdf", "figures/mine.csv", "tables/accuracy.md"} <= names
    assert archive.read("figures/figure-3.png") == (results / "figures/figure-3.png").read_bytes()
    before = [(results.parent / f"report.{suffix}").read_bytes() for suffix in ("html", "zip")]
    report(results)
    assert before == [(results.parent / f"report.{suffix}").read_bytes() for suffix in ("html", "zip")]


def test_before_any_run_there_is_a_page_with_one_sentence(tmp_path, capsys):
    (tmp_path / "study").mkdir()
    page, archive = report(tmp_path / "study/results")
    (said, _) = capsys.readouterr().out.splitlines()
    assert said.endswith("/results yet: `make` makes them.")
    assert said.replace("`", "") in page.text
    assert archive.namelist() == ["report.html"]


def test_copied_results_alone_have_a_report(results, tmp_path, capsys, monkeypatch):
    copied = tmp_path / "elsewhere/copied"
    shutil.copytree(results, copied)
    monkeypatch.chdir(copied.parent)
    page, _ = report(copied, config=None)
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert page.rows == [row[-1] for row in CLAIMS]
    # What the paper's figures are is known without a configuration.
    assert any(image["alt"] == f"figure-3: {KINDS['mean-spectra'].description}" for image in page.images)
    assert "run times are not known" in page.text


@pytest.mark.parametrize(
    "text", ["models: [", "[]", "models: {}\nruns: {}\ntasks: {}\nfigures: {a: {kind: none}}"]
)
def test_a_faulty_configuration_costs_the_words_alone(results, tmp_path, capsys, text):
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(text)
    page, _ = report(results, config=faulty)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("The configuration cannot be read, so the report names no missing result: ")
    assert len(page.images) == 2 * len(FIGURES)


def test_damaged_files_are_named_and_the_rest_is_shown(results, capsys):
    whole = (results / "figures/figure-3.png").read_bytes()
    (results / "figures/figure-3.png").write_bytes(whole[: len(whole) // 2])
    (results / "tables/accuracy.csv").write_bytes(b"")
    (results / "models/mini.json").write_text('{"manifest": 1,')
    (results / "figures/._figure-15.png").write_bytes(b"left by a Mac")
    page, _ = report(results)
    said = capsys.readouterr().out
    for name in (
        "figures/figure-3.png is no whole image",
        "tables/accuracy.csv cannot be read",
        "models/mini.json",
    ):
        assert name in said and name in page.text
    assert len(page.images) == 2 * (len(FIGURES) - 1)
    assert "._" not in page.text


def test_names_with_marks_of_their_own_stay_text(results):
    Image.new("RGB", (40, 30)).save(results / 'figures/a <b> "c" &.png')
    page, _ = report(results)
    (place,) = [place for place in page.ids if "%3Cb%3E" in place]
    assert any(link["href"] == f"#{place}" for link in page.links)


def test_a_folder_that_cannot_be_written_is_one_sentence(results, capsys):
    blocked = results.parent / "file"
    blocked.write_text("")
    assert main([str(results), "--output", str(blocked / "report.html")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_says_what_it_wrote(results):
    ran = subprocess.run(
        [sys.executable, "-m", "fourier_addition.pipeline.report", str(results), "--output", "out.html"],
        cwd=results.parent,
        env={"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "out.html shows 4 figures and 2 tables; out.zip has the page and their files.\n"


# The drawings


@pytest.mark.parametrize(
    ("words", "threshold"),
    [
        ("at least 95%", 0.95),
        ("at most 0.05 (p-value)", 0.05),
        ("above 0 difference", 0.0),
        ("all of 4 periods", 4.0),
        ("none of 4 periods", 0.0),
        ("below 1 times the epochs", 1.0),
        ("never", None),
    ],
)
def test_the_threshold_is_read_from_the_criterion(words, threshold):
    assert threshold_of(words) == threshold


def test_every_statement_has_a_threshold_that_can_be_read():
    settings = dict.fromkeys(
        ("learned", "nearly_all", "most", "unharmed", "harmed", "null_level", "control"), 0.75
    )
    for statement in STATEMENTS:
        criterion = statement.criterion(settings)
        known = 0.0 if criterion.kind == "none of" else criterion.threshold
        assert threshold_of(str(criterion)) == pytest.approx(known), statement.claim


def test_marks_stand_in_the_order_of_their_values_and_inside_the_drawing():
    row = {"value": 0.4, "low": 0.3, "high": 0.6, "paper_value": 0.9, "confirmed_when": "at least 50%"}
    scale = scale_of(row, 0.5)
    places = [scale.place(value) for value in (0, 0.3, 0.4, 0.5, 0.6, 0.9, 1)]
    assert places == sorted(places) and len(set(places)) == 7
    assert (places[0], places[-1]) == (12, 208)
    for value in (0.4, 0.3, 0.6, 0.9, 0.5):
        assert f'"{scale.place(value)}"' in drawing(row) or f"M{scale.place(value)} " in drawing(row)


def test_nothing_measured_is_said_in_words():
    row = {"value": float("nan"), "low": None, "high": None, "confirmed_when": "at least 50%"}
    assert "not measured" in drawing(row)


# The words of the kinds


def lacking(kind):
    """What the caption of a kind of figure does not say."""
    words = _words(kind, "mine", {"kind": kind.name, "figure": "mine", "basis": "paper"})
    said = {"look_for": words.look_for, "measured": words.measured, "keys": words.keys}
    # A caption of its family that speaks of several kinds does not say what was measured for one.
    if "Figure 1:" in words.measured or "{%" in words.measured:
        said["measured"] = ""
    return [name for name, text in said.items() if not text]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_figure_has_words(name):
    assert lacking(KINDS[name]) == []


def test_a_kind_without_words_is_found():
    kind = KINDS["steering"]
    assert lacking(replace(kind, see="")) == ["look_for"]
    assert lacking(replace(kind, keys=())) == ["keys"]
    assert lacking(replace(KINDS["lens-and-heatmaps"], measured="")) == ["measured"]
    assert lacking(replace(kind, family="unknown", measured="")) == ["measured"]


def test_the_views_of_kinds_are_views_of_the_explorer():
    views = {kind.view for kind in KINDS.values() if kind.view}
    sections = set(re.findall(r'<section id="(\w+)"', (PARTS / BODY).read_text()))
    assert views == sections


def known(key):
    """Whether the schema has a key."""
    rules = schema()
    for part in key.split("."):
        if part in rules.get("properties", {}):
            rules = rules["properties"][part]
        elif isinstance(rules.get("additionalProperties"), dict) and part == "<name>":
            rules = rules["additionalProperties"]
        else:
            return False
    return True


def test_the_keys_of_captions_are_keys():
    keys = {key for kind in KINDS.values() for key in kind.keys}
    views = (PARTS / BODY).read_text().split("<section")[1:]
    shown = [re.findall(r"<code>([\w.]+)</code>", view) for view in views]
    assert len(shown) == 6 and all(shown)
    keys.update(*shown)
    assert len(keys) > 15 and not known("analysis.none")
    assert [key for key in keys if not known(key)] == []


def test_statements_are_seen_in_figures_of_the_paper_or_in_kinds_of_figures():
    names = {name for statement in STATEMENTS for name in statement.seen_in}
    assert names and names <= {*PAPER, "table-1", *KINDS}


def test_an_interval_in_a_table_is_not_broken_over_lines():
    shown = table(["a", "b"], [["0.5 [0.1, 0.9]", "words [of a cell]"]])
    assert shown.count('<span class="whole">') == 1 and '<span class="whole">[0.1, 0.9]</span>' in shown


def test_a_kind_without_a_figure_is_spared_where_another_kind_has_one():
    def study(*kinds: str) -> SimpleNamespace:
        figures = [
            SimpleNamespace(name=f"my-{kind}", words=SimpleNamespace(kind=kind, shown="run"))
            for kind in kinds
        ]
        return SimpleNamespace(figures=figures, tables=[])

    assert "coarse-to-fine is not there" in _links("2b", "run", study())
    one = _links("2b", "run", study("position-probes"))
    assert ">my-position-probes</a>" in one and "is not there" not in one
    both = _links("2b", "run", study("position-probes", "coarse-to-fine"))
    assert both.index("my-coarse-to-fine") < both.index("my-position-probes")
