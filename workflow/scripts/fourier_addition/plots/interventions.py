"""Turned phases and exchanged bands: how answers follow, beside their controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

MOVES = ("arm", "delta", "change", "count", "of")
DOSES = ("module", "layers", "arm", "delta", "moved", "moved_low", "moved_high")
EXCHANGES = ("module", "layers", "band", "arm", "outcome", "share", "low", "high")
CONTROLS = {"phases": "random phases", "subspace": "random planes", "unused": "unused periods"}
STEERED = (
    {"turn": "turned", **CONTROLS},
    {
        "probes": "circles of probes",
        "least-probes": "smallest change",
        "shuffled-probes": "shuffled numbers",
    },
)
"""Rows of panels of steering: arm -> title."""
DASHES: dict[str, Sequence[float]] = {"phases": (1, 0), "subspace": (4, 1.5), "unused": (1, 1.2)}
OUTCOMES = {
    "residue": ("other's last digit, own magnitude", theme.BLUE),
    "magnitude": ("other's magnitude, own last digit", theme.ORANGE),
    "source": ("other's answer", theme.GREEN),
    "other": ("anything else", theme.FAINT),
    "unchanged": ("own answer", theme.CONTROL),
}
"""Outcome of an exchange -> words and colour, in the order in which bars stack."""
BANDS = {"periods": "last digit's periods", "low": "low frequencies", "high": "high frequencies"}


def _followed(delta: np.ndarray, modulus: int) -> np.ndarray:
    """The change that phases ask for: the nearest number to the own one with the residue moved by delta."""
    near: np.ndarray = (delta + modulus // 2) % modulus - modulus // 2
    return near


def _draw_moves(ax: Axes, table: pd.DataFrame, *, modulus: int, colour: str, window: int) -> pd.DataFrame:
    """Dots whose area is the share of answers that moved so far, for each turn. Returns what is drawn."""
    table = table.assign(share=table["count"] / table["of"])
    table["follows"] = (table["change"] - _followed(table["delta"].to_numpy(), modulus)) % modulus == 0
    nearest = abs(table["change"]) <= modulus / 2
    seen = table[abs(table["change"]) <= window]

    # Where the answers would all be if they followed the phases
    deltas = np.arange(int(table["delta"].min()), int(table["delta"].max()) + 1)
    near = _followed(deltas, modulus)
    breaks = np.flatnonzero(np.diff(near) < 0) + 1
    for part in np.split(np.arange(len(deltas)), breaks):
        # Half the modulus down is as near as half up.
        x, y = deltas[part], near[part]
        if part[-1] != len(deltas) - 1:
            x, y = np.append(x, x[-1] + 1), np.append(y, y[-1] + 1)
        ax.plot(x, y, color=colour, alpha=0.25, linewidth=3.2, zorder=1, solid_capstyle="round")

    follows = seen["follows"] & nearest.loc[seen.index]
    for chosen, shade, order in ((~follows, theme.FAINT, 2), (follows, colour, 3)):
        own = seen[chosen]
        ax.scatter(own["delta"], own["change"], s=62 * own["share"], color=shade, linewidth=0, zorder=order)
    ax.axhline(0, color=theme.FAINT, linewidth=0.5, zorder=0.5)
    ax.set_ylim(-window - 0.7, window + 0.7)
    ax.set_xlim(deltas[0] - 0.8, deltas[-1] + 0.8)
    ax.set_xlabel("phases turned by (numbers)")
    frame.ticks(ax.xaxis, 7, whole=True)
    frame.ticks(ax.yaxis, 7, whole=True)
    return table


def _draw_doses(ax: Axes, doses: pd.DataFrame, block: str, modulus: int) -> tuple[pd.DataFrame, list[Artist]]:
    """Share of answers whose residue moved by just the turn: a line for each block, grey controls at one."""
    stream = doses[doses["module"] == "residual"]
    blocks = sorted(stream["layers"].unique(), key=int)
    colours = theme.layer_map()(np.linspace(0, 1, max(2, len(blocks))))
    handles: list[Artist] = []
    for layers, shade in zip(blocks, colours, strict=False):
        line = stream[(stream["layers"] == layers) & (stream["arm"] == "turn")].sort_values("delta")
        ax.vlines(
            line["delta"], 100 * line["moved_low"], 100 * line["moved_high"], color=shade, linewidth=0.8
        )
        for _, side in line.groupby(np.sign(line["delta"])):
            ax.plot(side["delta"], 100 * side["moved"], color=shade, marker="o", markersize=2.8)
        handles.append(Line2D([], [], color=shade, marker="o", label=f"turned after block {layers}"))
    controls = stream[(stream["layers"] == block) & stream["arm"].isin(CONTROLS)]
    for arm, own in controls.groupby("arm", sort=False):
        dashes = DASHES[str(arm)]
        line = own.sort_values("delta")
        for _, side in line.groupby(np.sign(line["delta"])):
            ax.plot(side["delta"], 100 * side["moved"], color=theme.FAINT, linewidth=1.0, dashes=dashes)
        handles.append(Line2D([], [], color=theme.FAINT, dashes=dashes, label=CONTROLS[str(arm)]))
    ax.set(ylim=(-3, 103), xlabel="phases turned by (numbers)", ylabel="last digit moved by that (%)")
    if modulus != 10:
        ax.set_ylabel(f"residue mod {modulus} moved by that (%)")
    frame.ticks(ax.xaxis, 7, whole=True)
    return pd.concat([stream[stream["arm"] == "turn"], controls]), handles


@theme.themed
def plot_dose_response(
    moves: pd.DataFrame,
    doses: pd.DataFrame,
    *,
    block: str,
    modulus: int = 10,
    window: int = 8,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """How far answers move when phases are turned, beside random planes, and how often by just that.

    moves: arm, delta, change, count, of, after one block (`steering.moves`). doses: `steering.dose_response`.
    block: that block, as `layers` writes it. window: changes shown on either side.
    Returns the figure and the drawn table. Raises UserError when a column is missing.
    """
    require(moves, MOVES, "the moves of answers")
    require(doses, DOSES, "the dose response")
    require_fractions(doses, DOSES[4:], "the dose response")
    figure, axes = frame.panels(1, 3, height=2.45, width_ratios=[1, 1, 1.02])
    parts = []

    # Dots: the planes of the last digit, and random planes turned by the same angles
    panels = (
        ("turn", "the last digit's periods", theme.BLUE),
        ("subspace", "random planes", theme.FAINT),
    )
    for letter, ax, (arm, text, colour) in zip("ab", axes[0], panels, strict=False):
        own = moves[moves["arm"] == arm]
        ax.set_title(text)
        if len(own):
            drawn = _draw_moves(ax, own, modulus=modulus, colour=colour, window=window)
            parts.append((letter, drawn[[*MOVES, "share"]]))
        else:
            frame.empty(ax, "not measured")
    axes[0, 0].set_ylabel("answer moved by")
    axes[0, 1].tick_params(labelleft=False)

    # Lines: how often the last digit moves by just the turn
    shown, handles = _draw_doses(axes[0, 2], doses, block, modulus)
    axes[0, 2].set_title("the last digit follows" if modulus == 10 else "the residue follows")
    parts.append(("c", shown[list(DOSES)]))
    dot = Line2D(
        [], [], color=theme.BLUE, marker="o", linewidth=0, markersize=5, label="area: share of answers"
    )
    frame.legend_below(figure, [dot, *handles])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def place_label(module: str, layers: str) -> str:
    """A place of interventions in words."""
    if module == "residual":
        return f"stream after block {layers}"
    return f"{theme.module_label(module)}, layer{'s' if not layers.isdigit() else ''} {layers}"


def _draw_shares(
    ax: Axes, own: pd.DataFrame, places: Sequence[tuple[str, str]], title: str, *, labels: bool
) -> AxesImage:
    """Share of answers that follow, a row for each place (module, layers) and a column for each turn."""
    deltas = sorted(own["delta"].unique())
    cells = own.set_index(["module", "layers", "delta"])["moved"]
    values = 100 * np.array([[cells.get((*place, delta), np.nan) for delta in deltas] for place in places])
    image = ax.imshow(np.ma.masked_invalid(values), cmap=theme.share_map(), vmin=0, vmax=100, aspect="auto")
    ax.set_title(title)

    # Turns below, places on the left
    step = 3 if labels else 5
    ticks = [place for place, delta in enumerate(deltas) if delta % step == 0]
    ax.set_xticks(ticks, [f"{deltas[place]:g}".replace("-", "\N{MINUS SIGN}") for place in ticks])
    ax.set_xlabel("turned by")
    ax.set_yticks(range(len(places)), [place_label(*place) for place in places])
    ax.tick_params(labelleft=labels)
    ax.spines[["top", "right"]].set_visible(True)
    return image


@theme.themed
def plot_steering(
    doses: pd.DataFrame, *, title: str | None = None, note: str | None = None
) -> tuple[Figure, pd.DataFrame]:
    """How often the residue moves by just the turn, place by place, beside the controls' shares.

    doses: `steering.dose_response`. Circles that probes find have a row of panels of their own, where they
    were turned. Returns the figure and the drawn table. Raises UserError when a column is missing.
    """
    require(doses, DOSES, "the dose response")
    found = set(doses["arm"])
    grid = [{arm: text for arm, text in names.items() if arm in found} for names in STEERED]
    grid = [names for names in grid if names]
    many = max(map(len, grid), default=1)
    own = [doses[doses["arm"].isin(names)] for names in grid]
    places = [list(dict.fromkeys(zip(part["module"], part["layers"], strict=True))) for part in own]
    heights = [0.75 + 0.19 * len(rows) for rows in places] or [1.5]
    figure, axes = frame.panels(
        len(heights),
        many,
        height=float(np.mean(heights)),
        width_ratios=[1.6] + [1] * (many - 1),
        height_ratios=heights,
    )
    if not grid:
        frame.empty(axes[0, 0], "not measured")

    # A row of panels for the unembedding's planes, and one for circles of probes
    parts, image = [], None
    letters = np.array(list("abcdefgh")[: axes.size]).reshape(axes.shape)
    for names, table, rows, line, its in zip(grid, own, places, axes, letters, strict=False):
        for ax in line[len(names) :]:
            ax.set_axis_off()
            ax.set_title("", loc="left")
        for ax, letter, (arm, text) in zip(line, its, names.items(), strict=False):
            drawn = table[table["arm"] == arm]
            image = _draw_shares(ax, drawn, rows, text, labels=ax is line[0])
            parts.append((str(letter), drawn[list(DOSES)]))
    if image is not None:
        bar = figure.colorbar(
            image, ax=axes.ravel().tolist(), label="last digit moved by that (%)", aspect=25, pad=0.02
        )
        bar.outline.set_visible(False)
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts)


def _exchange_rows(own: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(band, arm, label) of every bar, band by band."""
    rows = []
    for band, words in BANDS.items():
        if band in set(own["band"]):
            rows.append((band, "replace", words))
            rows += [
                (band, arm, CONTROLS[arm].replace("planes", "subspaces"))
                for arm in ("phases", "subspace")
                if ((own["band"] == band) & (own["arm"] == arm)).any()
            ]
    return rows + ([("unused", "unused", CONTROLS["unused"])] if "unused" in set(own["band"]) else [])


def _draw_outcomes(ax: Axes, own: pd.DataFrame) -> None:
    """Stacked bars of the outcomes of every band and control."""
    cells = own.set_index(["band", "arm", "outcome"])["share"]
    rows = _exchange_rows(own)
    place, places, last = 0.0, [], ""
    for band, arm, _ in rows:
        # Bands stand apart.
        place += 1.45 if last and band != last else 1.0
        last = band
        places.append(place)
        left = 0.0
        for outcome, (_, colour) in OUTCOMES.items():
            share = 100 * float(cells.get((band, arm, outcome), 0.0))
            ax.barh(
                place, share, left=left, height=0.82 if arm in ("replace", "unused") else 0.6, color=colour
            )
            if outcome in ("residue", "magnitude") and share >= 12:
                ax.text(
                    left + share / 2,
                    place,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=theme.SMALL_SIZE,
                )
            left += share
    ax.set_yticks(places, [label for _, _, label in rows])
    for tick, (_, arm, _) in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_color(theme.INK if arm == "replace" else "#6f6f6f")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0, 100), ylim=(place + 0.7, 0.3), xlabel="pairs of prompts (%)")


def _draw_by_block(ax: Axes, table: pd.DataFrame, parts: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Share of one outcome of each band by block of the residual stream. parts: (band, outcome)."""
    stream = table[(table["module"] == "residual") & (table["arm"] == "replace")]
    drawn = []
    for band, outcome in parts:
        line = stream[(stream["band"] == band) & (stream["outcome"] == outcome)]
        line = line.assign(block=line["layers"].astype(int)).sort_values("block")
        colour = OUTCOMES[outcome][1]
        ax.vlines(line["block"], 100 * line["low"], 100 * line["high"], color=colour, linewidth=0.9)
        ax.plot(line["block"], 100 * line["share"], color=colour, marker="o")
        drawn.append(line)
    ax.set(ylim=(-3, 103), xlabel="exchanged after block", ylabel="pairs of prompts (%)")
    frame.ticks(ax.xaxis, 6, whole=True)
    return pd.concat(drawn)


@theme.themed
def plot_exchange(
    table: pd.DataFrame,
    *,
    block: str,
    title: str | None = None,
    note: str | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Outcomes of exchanges between prompts after one block, and the two that matter by block.

    table: `exchange.exchange_table`. block: as `layers` writes it. Returns the figure and the drawn table.
    Raises UserError when a column is missing.
    """
    require(table, EXCHANGES, "the exchanges")
    require_fractions(table, ("share", "low", "high"), "the exchanges")
    own = table[(table["module"] == "residual") & (table["layers"] == block)]
    figure, axes = frame.panels(1, 2, height=2.6, width_ratios=[1.75, 1])
    left, right = axes[0]
    parts = []
    if len(own):
        _draw_outcomes(left, own)
        parts.append(("a", own[list(EXCHANGES)]))
        by_block = _draw_by_block(right, table, [("periods", "residue"), ("low", "magnitude")])
        parts.append(("b", by_block[list(EXCHANGES)]))
    else:
        for ax in axes[0]:
            frame.empty(ax, "no two prompts have answers that tell an exchange apart")
    left.set_title(f"exchanged after block {block}")
    right.set_title("what each band carries")
    frame.legend_below(figure, [Patch(color=colour, label=words) for words, colour in OUTCOMES.values()])
    frame.finish(figure, title=title, note=note)
    return figure, frame.drawn(parts) if parts else own[list(EXCHANGES)].assign(panel="a")
