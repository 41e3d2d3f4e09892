"""The gallery of the documentation, and the numbers that the README takes from it."""

import re
from pathlib import Path

import pandas as pd
import pytest
from fourier_addition.errors import UserError
from fourier_addition.pipeline.gallery import LARGEST_CSV, WIDTH, main
from fourier_addition.pipeline.page_numbers import BLOCK, BLOCKS, rewritten
from fourier_addition.pipeline.page_numbers import main as write_numbers
from fourier_addition.pipeline.report.asked import asked_by
from PIL import Image
from study import ROOT

GALLERY = ROOT / "docs/gallery"


@pytest.fixture
def results(tmp_path):
    """A study of one figure of the paper, one of another name and one table."""
    figures, tables = tmp_path / "results/figures", tmp_path / "results/tables"
    figures.mkdir(parents=True)
    tables.mkdir()
    for name in ("figure-3", "mine"):
        Image.effect_noise((2400, 1000), 80).save(figures / f"{name}.png")
    (figures / "figure-3.csv").write_text("period,magnitude\n10,2.5\n")
    (figures / "mine.csv").write_text("x\n" + "1\n" * LARGEST_CSV)
    (tables / "accuracy.csv").write_text("run,exact\nmini,0.996\n")
    (tables / "accuracy.md").write_text("| Run | Exact |\n| --- | ---: |\n| mini\\|a | 99.6% |\n")
    return tmp_path / "results"


def test_a_gallery_has_small_pictures_data_and_tables(results, tmp_path):
    assert (
        main([str(results), "--configfile", str(ROOT / "config/config.yaml"), "--output", f"{tmp_path}/out"])
        == 0
    )
    page = (tmp_path / "out/index.md").read_text()
    assert Image.open(tmp_path / "out/figure-3.png").width == WIDTH
    assert "![figure-3: " in page and "(figure-3.csv)" in page
    assert (tmp_path / "out/figure-3.csv").read_text() == "period,magnitude\n10,2.5\n"
    # A large file stays out, and no link leads to it.
    assert not (tmp_path / "out/mine.csv").exists() and "mine.csv" not in page
    assert "| mini\\|a | 99.6% |" in page and "(accuracy.csv)" in page


def test_a_figure_and_a_table_of_one_name_have_their_own_data(results, tmp_path):
    (results / "tables/figure-3.csv").write_text("row,count\n1,4\n")
    (results / "tables/figure-3.md").write_text("| Row | Count |\n| ---: | ---: |\n| 1 | 4 |\n")
    configuration = str(ROOT / "config/config.yaml")
    assert main([str(results), "--configfile", configuration, "--output", f"{tmp_path}/out"]) == 0
    page = (tmp_path / "out/index.md").read_text()
    for name, start in (
        ("figure-3.csv", "period,"),
        ("figure-3-table.csv", "row,"),
        ("accuracy.csv", "run,"),
    ):
        assert (tmp_path / "out" / name).read_text().startswith(start)
        assert page.count(f"]({name})") == 1


def test_pictures_are_made_smaller_alike_and_thin_lines_keep_their_colours(results, tmp_path):
    narrow = Image.new("RGB", (670, 600), "white")
    for place, colour in enumerate(((1, 115, 178), (2, 158, 115), (222, 143, 5))):
        narrow.paste(colour, (20, 100 * place + 20, 650, 100 * place + 24))
    # Many shades beside them, as those of a heat map
    narrow.paste(Image.linear_gradient("L").resize((600, 200)), (20, 390))
    narrow.save(results / "figures/narrow.png")
    configuration = str(ROOT / "config/config.yaml")
    assert main([str(results), "--configfile", configuration, "--output", f"{tmp_path}/out"]) == 0
    with Image.open(tmp_path / "out/narrow.png") as small:
        assert small.width == round(670 * WIDTH / 2400)
        found = [small.convert("RGB").getpixel((140, round((100 * n + 22) * WIDTH / 2400))) for n in range(3)]
    assert len(set(found)) == 3
    assert all(max(found[n]) == found[n][channel] for n, channel in enumerate((2, 1, 0)))


def test_a_gallery_of_nothing_is_refused_and_keeps_the_old_one(tmp_path, capsys):
    old = tmp_path / "out"
    old.mkdir()
    (old / "index.md").write_text("old")
    (tmp_path / "results").mkdir()
    configuration = str(ROOT / "config/config.yaml")
    assert main([str(tmp_path / "results"), "--configfile", configuration, "--output", str(old)]) == 1
    assert "There is no figure" in capsys.readouterr().err
    assert (old / "index.md").read_text() == "old"


def with_numbers() -> list[Path]:
    """Every page of the documentation that has a block of numbers."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in pages if BLOCK.search(page.read_text())]


def test_the_numbers_of_pages_are_those_of_the_gallery():
    for page in with_numbers():
        text = page.read_text()
        assert rewritten(text, GALLERY) == text, f"{page.name}: make gallery"
    used = {name for page in with_numbers() for name in BLOCK.findall(page.read_text())}
    assert used == set(BLOCKS)
    # The command names each of them.
    command = (ROOT / "Makefile").read_text().split("page_numbers docs/gallery")[1].split("\n\n")[0]
    assert set(re.findall(r"[\w/]+\.md", command)) == {str(page.relative_to(ROOT)) for page in with_numbers()}


def test_the_readme_is_short():
    # Words, without the bars of tables.
    assert len(re.findall(r"[^\s|]*\w[^\s|]*", (ROOT / "README.md").read_text())) <= 700


def test_numbers_of_pages_against_a_count_by_hand(tmp_path):
    claims = [
        ("15a", "Turning moves", "mini (miniature)", "72.0% of turns", "confirmed"),
        ("13a", "Errors are multiples", "smollm2 (real weights)", "74 of 202 errors", "refuted"),
        ("13a", "Errors are multiples", "mini (miniature)", "1 of 2 errors", "refuted"),
        ("16c", "Controls", None, "no run", "not tested"),
    ]
    columns = ["claim", "statement", "model", "here", "verdict"]
    pd.DataFrame(claims, columns=columns).to_csv(tmp_path / "claims.csv", index=False)
    outcomes = [("accuracy", 0.5), ("residue", 0.25), ("magnitude", 0.75)]
    for figure, count in (("head-ablation", 2), ("neuron-ablation", 64)):
        rows = [(1, band, count, name, x) for band in ("random", "low", "high") for name, x in outcomes]
        rows += [(1, "low", count + 1, name, 0.9) for name, _ in outcomes]
        table = pd.DataFrame(rows, columns=["layer", "band", "count", "outcome", "share"])
        table.assign(low=0.125, high=1.0).to_csv(tmp_path / f"{figure}.csv", index=False)

    def told(name):
        return rewritten(f"<!-- numbers: {name} -->\nold\n<!-- /numbers -->", tmp_path).splitlines()[2:-2]

    assert told("mechanism") == ["- Turning moves (mini (miniature)): 72.0% of turns; confirmed."]
    assert told("real-model") == [
        "- Errors are multiples (smollm2 (real weights)): 74 of 202 errors; refuted."
    ]
    assert told("first-page")[-2:] == [
        "| smollm2 (real weights) | - | 13a | - |",
        "| mini (miniature) | 15a | 13a | - |",
    ]
    cells = "50.0% (12.5% to 100.0%) | 25.0% (12.5% to 100.0%) | 75.0% (12.5% to 100.0%) |"
    assert told("taken-out")[2:] == [
        f"| layer 1: top 2 heads of the low band | {cells}",
        f"| layer 1: top 2 heads of the high band | {cells}",
        f"| layer 1: 2 random heads | {cells}",
        f"| layer 1: top 64 neurons of the low band | {cells}",
        f"| layer 1: top 64 neurons of the high band | {cells}",
        f"| layer 1: 64 random neurons | {cells}",
    ]


def test_a_page_without_a_block_and_a_gallery_without_claims_are_refused(tmp_path, capsys):
    old = "<!-- numbers: mechanism -->\n- 72 % of turns\n<!-- /numbers -->"
    told = rewritten(old, tmp_path)
    assert re.search(r"There is no .*claims\.csv: `make` and `make gallery`", told) and "72 %" not in told
    with pytest.raises(UserError, match="The page has no <!-- numbers: NAME -->"):
        rewritten("nothing", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("<!-- numbers: other --><!-- /numbers -->")
    assert write_numbers([str(tmp_path), str(page)]) == 1
    assert "There is no block other of numbers; there are first-page," in capsys.readouterr().err


def test_every_figure_of_the_gallery_is_one_of_the_default():
    asked = {*asked_by(ROOT / "config/config.yaml").figures}
    assert {picture.stem for picture in GALLERY.glob("*.png")} == asked
