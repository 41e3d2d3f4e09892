"""The gallery of the documentation, and the numbers that the README takes from it."""


import pytest
from fourier_addition.pipeline.gallery import LARGEST_CSV, WIDTH, main
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
