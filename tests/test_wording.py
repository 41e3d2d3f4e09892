"""Labels as people write them: other scripts, and long ones. No box, no warning, no lost legend."""

import logging
import warnings

import pandas as pd
import pytest
from fourier_addition.plots import wording
from fourier_addition.plots.frame import renderer_of, save
from fourier_addition.plots.theme import DOUBLE_WIDTH
from fourier_addition.plots.training import plot_final_accuracy, plot_training
from fourier_addition.plots.wording import families_for, lacking, shortened, spelled_out
from matplotlib.text import Text

LONG = "a label of a run that says everything about the run and more " * 4
CHINESE = "微调模型"
SYMBOL = chr(0x1D81)
"""A character that STIX, which matplotlib ships too, has and DejaVu Sans lacks."""


def histories(*arms):
    return pd.DataFrame(
        [(arm, 0, epoch, epoch / 10) for arm in arms for epoch in range(5)],
        columns=["arm", "seed", "epoch", "accuracy"],
    )


def finals(*arms):
    return pd.DataFrame(
        [(arm, 0, 0.5, 0.4, 0.6) for arm in arms], columns=["arm", "seed", "accuracy", "low", "high"]
    )


def legend_of(figure):
    (legend,) = figure.legends
    return legend


@pytest.fixture
def no_other_fonts(monkeypatch):
    """A machine with matplotlib's own font alone."""
    own = {"DejaVu Sans": wording.shipped_characters()}
    monkeypatch.setattr(wording, "_families", lambda: own)


def test_usual_labels_need_no_other_font():
    for text in ("fine-tuned", "préentraîné", "дообученная", "T=3.33, κ", "…"):
        assert lacking(text) == set()
    figure, _ = plot_training(histories("fine-tuned", "обучение"))
    assert {tuple(text.get_fontfamily()) for text in figure.findobj(Text)} == {("sans-serif",)}
    assert [text.get_text() for text in legend_of(figure).get_texts()] == [
        "fine-tuned (1 seed)",
        "обучение (1 seed)",
    ]


def test_characters_without_a_font_are_code_points_and_one_sentence(no_other_fonts, caplog, tmp_path):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        figure, drawn = plot_training(histories("scratch", f"{CHINESE} 2"))
        save(figure, drawn, tmp_path / "figure")
    texts = [text.get_text() for text in legend_of(figure).get_texts()]
    assert texts == ["scratch (1 seed)", "[U+5FAE U+8C03 U+6A21 U+578B] 2 (1 seed)"]
    (said,) = [record.getMessage() for record in caplog.records if record.name == wording.__name__]
    assert "U+578B, U+5FAE, U+6A21, U+8C03 of a label" in said
    # What is drawn keeps the label as it is.
    assert f"{CHINESE} 2" in (tmp_path / "figure.csv").read_text()


def test_names_of_ticks_titles_and_notes_are_readable_too(no_other_fonts, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, drawn = plot_final_accuracy(finals(CHINESE), title=CHINESE, note=CHINESE)
        save(figure, drawn, tmp_path / "figure")
    spelled = "[U+5FAE U+8C03 U+6A21 U+578B]"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [spelled]
    assert figure.get_suptitle() == spelled
    assert any(spelled in text.get_text() for text in figure.texts)


MARKED = ("costs $5 and $6", "$x_{$", r"$\frac{$", "a|b", 'quo"te', r"\alpha", "$HOME")


@pytest.mark.parametrize("label", MARKED)
def test_marks_in_a_label_are_drawn_as_they_are(label, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, drawn = plot_training(histories(label, "other"))
        final, rows = plot_final_accuracy(finals(label, "other"), title=label, note=label)
        save(figure, drawn, tmp_path / "figure")
        save(final, rows, tmp_path / "final")
    texts = [legend_of(figure).get_texts()[0], final.axes[0].get_yticklabels()[0], *final.texts]
    shown = [drawn_as(text) for text in texts]
    assert shown[0] == f"{label} (1 seed)" and label in shown[1] and any(label in each for each in shown[2:])
    assert label in (tmp_path / "figure.csv").read_text().replace('""', '"')


def drawn_as(text):
    """The characters that matplotlib draws for a text; mathematics would be none."""
    made, is_math = text._preprocess_math(text.get_text())
    assert not is_math
    return made


def test_another_font_of_the_machine_is_taken(tmp_path):
    assert lacking(SYMBOL) == {SYMBOL}
    families, unknown = families_for({SYMBOL})
    assert families and not unknown and "Last Resort" not in " ".join(families)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, drawn = plot_training(histories(f"arm {SYMBOL}"))
        save(figure, drawn, tmp_path / "figure")
    assert legend_of(figure).get_texts()[0].get_fontfamily() == ["sans-serif", *families]
    assert legend_of(figure).get_texts()[0].get_text() == f"arm {SYMBOL} (1 seed)"


@pytest.mark.parametrize("label", [LONG, "x" * 240, "长" * 240], ids=["words", "one word", "chinese"])
def test_a_long_label_leaves_the_legend_and_the_panel(label, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, drawn = plot_training(histories("short", label))
        final, _ = plot_final_accuracy(finals("short", label))
    renderer = renderer_of(figure)
    box = legend_of(figure).get_window_extent(renderer)
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
    texts = [text.get_text() for text in legend_of(figure).get_texts()]
    assert texts[0] == "short (1 seed)" and texts[1].endswith("…") and texts[1].count("\n") == 2
    panel = figure.axes[0].get_window_extent(renderer)
    assert panel.height > 100 and box.y1 < panel.y0
    assert label in set(drawn["arm"])

    assert final.axes[0].get_window_extent(renderer_of(final)).width > 0.4 * DOUBLE_WIDTH * figure.dpi


def test_words_of_the_helpers():
    assert spelled_out("a你好b", {"你", "好"}) == "a[U+4F60 U+597D]b"
    assert spelled_out("a]b^", {"]", "^"}) == "a[U+005D]b[U+005E]"
    assert shortened("short", 20) == "short"
    assert shortened("one two three four five six", 9, 2) == "one two\nthree…"
    assert shortened("x" * 100, 10) == "\n".join(["x" * 10, "x" * 10, "x" * 9 + "…"])
