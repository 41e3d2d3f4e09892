"""The gallery of the documentation, and the numbers that the README takes from it."""

import re

import pytest
from fourier_addition.errors import UserError
from fourier_addition.pipeline.gallery import LARGEST_CSV, WIDTH, main
from fourier_addition.pipeline.readme import numbers_block, rewritten
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


def test_a_gallery_of_nothing_is_refused_and_keeps_the_old_one(tmp_path, capsys):
    old = tmp_path / "out"
    old.mkdir()
    (old / "index.md").write_text("old")
    (tmp_path / "results").mkdir()
    configuration = str(ROOT / "config/config.yaml")
    assert main([str(tmp_path / "results"), "--configfile", configuration, "--output", str(old)]) == 1
    assert "There is no figure" in capsys.readouterr().err
    assert (old / "index.md").read_text() == "old"


def test_the_numbers_of_the_readme_are_those_of_the_gallery():
    page = (ROOT / "README.md").read_text()
    assert rewritten(page, numbers_block(GALLERY)) == page
    # Words, without the bars of tables.
    assert len(re.findall(r"[^\s|]*\w[^\s|]*", page)) <= 700


def test_a_page_without_a_block_and_a_gallery_without_claims_are_refused(tmp_path):
    with pytest.raises(UserError, match="no table of claims"):
        numbers_block(tmp_path)
    with pytest.raises(UserError, match="has no <!-- numbers -->"):
        rewritten("nothing", "block")


def test_every_figure_of_the_gallery_is_one_of_the_default():
    asked = {*asked_by(ROOT / "config/config.yaml").figures}
    assert {picture.stem for picture in GALLERY.glob("*.png")} == asked
