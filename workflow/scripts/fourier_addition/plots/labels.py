"""Text that stands clear: labels over peaks and beside points, and axes of periods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from fourier_addition.plots import frame, theme

_GAP = 2.5
"""Pixels at the figure's own resolution (100 dpi) between a label and what is below it."""
# In order of preference where two would collide: the periods of base 10 first.
_ROUND_PERIODS = (2, 2.5, 5, 10, 20)
_OTHER_PERIODS = (50, 100, 200, 3, 4, 30, 40)


def _measure(
    ax: Axes, texts: Sequence[str], size: float, weights: Sequence[str] | None = None
) -> list[tuple[float, float]]:
    renderer = frame.renderer_of(frame.figure_of(ax))
    probe = ax.text(0, 0, "", fontsize=size)
    sizes = []
    for text, weight in zip(texts, weights or ["normal"] * len(texts), strict=True):
        probe.set(text=text, fontweight=weight)
        box = probe.get_window_extent(renderer)
        sizes.append((box.width, box.height))
    probe.remove()
    return sizes


def _inside(points: np.ndarray, left: float, low: float, width: float, height: float) -> bool:
    """Whether any point (point, 2) lies in a box, its edges not counted."""
    x, y = points[:, 0], points[:, 1]
    return bool(((x > left) & (x < left + width) & (y > low + 0.5) & (y < low + height)).any())


def _risen(left: float, bottom: float, size: tuple[float, float], boxes: Sequence[Bbox | None]) -> float:
    """Lowest height from `bottom` up at which a box of this size is clear of the boxes that stand."""
    width, height = size
    # Rise over placed labels until none is in the way; each rise passes at least one.
    for _ in boxes:
        hits = [
            box
            for box in boxes
            if box is not None
            and box.x0 < left + width + _GAP
            and left < box.x1 + _GAP
            and box.y0 < bottom + height
            and bottom < box.y1
        ]
        if not hits:
            break
        bottom = max(box.y1 for box in hits) + 0.5
    return bottom


def _settle(
    anchors: np.ndarray, sizes: list[tuple[float, float]], curve: np.ndarray, panel: Bbox
) -> list[Bbox] | None:
    """Boxes above their anchors, above the curve and clear of one another; None if the panel is too low.

    anchors: (label, 2) pixels. curve: (point, 2) pixels of everything that must stay visible. Whoever is
    placed first has the best place, so that several orders are tried: the highest first, from the left, from
    the right. The one that reads best is taken.
    """
    count = range(len(anchors))
    orders = (
        sorted(count, key=lambda j: -anchors[j, 1]),
        sorted(count, key=lambda j: anchors[j, 0]),
        sorted(count, key=lambda j: -anchors[j, 0]),
    )
    tried = [_settle_in(order, anchors, sizes, curve, panel) for order in orders]
    return min((each for each in tried if each), key=lambda each: each[0], default=(0.0, None))[1]


def _settle_in(
    order: Sequence[int],
    anchors: np.ndarray,
    sizes: list[tuple[float, float]],
    curve: np.ndarray,
    panel: Bbox,
) -> tuple[float, list[Bbox]] | None:
    """What it costs to place the labels in an order, and their boxes; see `_settle`."""
    boxes: list[Bbox | None] = [None] * len(anchors)
    leaders = np.empty((0, 2))
    total = 0.0

    for i in order:
        width, height = sizes[i]
        best: tuple[float, Bbox] | None = None
        for shift in (0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9, 1.2, -1.2):
            # One place to try: beside the anchor by `shift` widths, above the curve and the labels.
            left = np.clip(anchors[i, 0] + shift * width - width / 2, panel.x0, panel.x1 - width)
            under = curve[(curve[:, 0] >= left - 1) & (curve[:, 0] <= left + width + 1), 1]
            bottom = max(anchors[i, 1], under.max(initial=panel.y0)) + _GAP
            bottom = _risen(left, bottom, sizes[i], boxes)

            # How well it reads: lines that cross a text, and labels in another order than their peaks.
            leader = np.linspace(anchors[i], [left + width / 2, bottom], 24)
            crossed = sum(
                _inside(leader, box.x0, box.y0, box.width, box.height) for box in boxes if box is not None
            ) + _inside(leaders, left, bottom, width, height)
            centre = left + width / 2
            swapped = sum(
                (anchors[i, 0] - anchors[j, 0]) * (centre - (box.x0 + box.width / 2)) < 0
                for j, box in enumerate(boxes)
                if box is not None
            )

            # Either costs as much as a detour of several lines of text.
            cost = bottom - anchors[i, 1] + 0.7 * abs(centre - anchors[i, 0]) + 60 * crossed + 40 * swapped
            if bottom + height <= panel.y1 + 1 and (best is None or cost < best[0]):
                best = (cost, Bbox.from_bounds(left, bottom, width, height))
        if best is None:
            return None

        # The label stands; its line to the peak is in the way of those that follow.
        total += best[0]
        boxes[i] = best[1]
        end = [best[1].x0 + best[1].width / 2, best[1].y0]
        leaders = np.vstack([leaders, np.linspace(anchors[i], end, 24)])
    return total, [box for box in boxes if box is not None]


def label_peaks(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    texts: Sequence[str],
    *,
    curve: tuple[np.ndarray, np.ndarray],
    size: float = theme.SMALL_SIZE,
    colours: Sequence[str] | None = None,
) -> None:
    """Write each text above its peak (x, y), clear of the curve and of the other labels.

    Labels that had to move are joined to their peak by a thin line. The y axis is raised as far
    as the labels need. Call it when everything else is drawn and the limits of x are set.
    curve: x and y of the points that no label may cover.
    """
    if len(x):
        peaks = np.column_stack([x, y]).astype(float)
        points = np.column_stack(curve).astype(float)
        frame.later(ax, lambda: _place_peaks(ax, peaks, list(texts), points, size, colours))


def _place_peaks(
    ax: Axes,
    peaks: np.ndarray,
    texts: list[str],
    points: np.ndarray,
    size: float,
    colours: Sequence[str] | None,
) -> None:
    """Place the labels of `label_peaks` for the panel's final size, and write them."""
    figure = ax.figure
    low, high = ax.get_ylim()
    transform = ax.yaxis.get_transform()
    bottom, top = transform.transform([low, high])
    sizes = _measure(ax, texts, size)

    # Raise the y axis step by step until the labels find room above the curve.
    boxes = None
    for room in (0.10, 0.18, 0.26, 0.36, 0.48, 0.65, 0.9, 1.3, 2.0):
        ax.set_ylim(low, transform.inverted().transform([top + room * (top - bottom)])[0])
        anchors = ax.transData.transform(peaks)
        boxes = _settle(anchors, sizes, ax.transData.transform(points), ax.get_window_extent())
        if boxes is not None:
            break
    if boxes is None:
        # More labels than the panel holds: overlap is the lesser evil than a label left out.
        boxes = [
            Bbox.from_bounds(ax_x - w / 2, ax_y + _GAP, w, h)
            for (ax_x, ax_y), (w, h) in zip(anchors, sizes, strict=True)
        ]

    # Write them; one that stands away from its peak gets a line to it.
    for i, (box, text) in enumerate(zip(boxes, texts, strict=True)):
        colour = theme.INK if colours is None else colours[i]
        right = (box.x0 + box.width / 2 - anchors[i, 0]) * 72 / figure.dpi
        up = (box.y0 - anchors[i, 1]) * 72 / figure.dpi
        moved = up > 6 or abs(right) > 0.6 * box.width * 72 / figure.dpi
        ax.annotate(
            text,
            peaks[i],
            (right, up),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=size,
            color=colour,
            annotation_clip=False,
            zorder=5,
            arrowprops={
                "arrowstyle": "-",
                "color": theme.FAINT,
                "linewidth": 0.4,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (0.5, 0),
            }
            if moved
            else None,
        ).set_in_layout(False)


def label_points(
    ax: Axes,
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    *,
    size: float,
    colours: Sequence[str],
    weights: Sequence[str] | None = None,
    drawn: Callable[[list[bool]], None] | None = None,
) -> None:
    """Write texts beside points, in the order given, leaving out those that would cover others.

    A label may touch neither an earlier label nor any point but its own. `drawn` is told whether
    each was written. Call it when the limits of both axes are set.
    """
    frame.later(
        ax, lambda: _place_beside(ax, np.asarray(x), np.asarray(y), texts, size, colours, weights, drawn)
    )


def _free_spot(
    point: np.ndarray,
    size: tuple[float, float],
    panel: Bbox,
    boxes: Sequence[tuple[float, float, float, float]],
    others: np.ndarray,
) -> tuple[float, float, float, float] | None:
    """The first of eight places around a point that is free: (left, low, right, high) in pixels, or None.

    point: (2,). boxes: labels that stand. others: (point, 2), which no label may cover.
    """
    (px, py), (width, height) = point, size
    spots = [
        (px + 2.5, py - height / 2),
        (px - 2.5 - width, py - height / 2),
        (px - width / 2, py + 2.5),
        (px - width / 2, py - 2.5 - height),
        (px + 2, py + 1.5),
        (px - 2 - width, py + 1.5),
        (px + 2, py - 1.5 - height),
        (px - 2 - width, py - 1.5 - height),
    ]
    for left, low in spots:
        right, high = left + width, low + height
        if left < panel.x0 or right > panel.x1 or low < panel.y0 or high > panel.y1:
            continue
        if any(left < b[2] and right > b[0] and low < b[3] and high > b[1] for b in boxes):
            continue
        x, y = others[:, 0], others[:, 1]
        if not ((x > left - 1) & (x < right + 1) & (y > low) & (y < high)).any():
            return left, low, right, high
    return None


def _place_beside(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    texts: Sequence[str],
    size: float,
    colours: Sequence[str],
    weights: Sequence[str] | None,
    drawn: Callable[[list[bool]], None] | None,
) -> None:
    """Place the labels of `label_points` for the panel's final size, and write those that find room."""
    figure = ax.figure
    points = ax.transData.transform(np.column_stack([x, y]))
    panel = ax.get_window_extent()
    boxes: list[tuple[float, float, float, float]] = []
    written = []
    for i, extent in enumerate(_measure(ax, texts, size, weights)):
        spot = _free_spot(points[i], extent, panel, boxes, np.delete(points, i, axis=0))
        written.append(spot is not None)
        if spot is None:
            continue

        # A label's place is an offset in points from what it names, so that every file format keeps it.
        boxes.append(spot)
        ax.annotate(
            texts[i],
            (x[i], y[i]),
            ((spot[0] - points[i, 0]) * 72 / figure.dpi, (spot[1] - points[i, 1]) * 72 / figure.dpi),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=size,
            color=colours[i],
            fontweight=None if weights is None else weights[i],
        ).set_in_layout(False)
    if drawn is not None:
        drawn(written)


def period_axis(ax: Axes, base_period: float, *, label: str = "period") -> None:
    """Write the periods (base period / component) along the top of a panel over components.

    Only round periods that stand far enough apart are written. Call it when x is limited.
    """
    low, high = ax.get_xlim()
    chosen: list[tuple[float, float]] = []
    for period in (*_ROUND_PERIODS, base_period, *_OTHER_PERIODS):
        component = base_period / period
        if (
            max(low, 0.5) <= component <= high
            and period <= base_period
            and all(abs(component - other) > 0.075 * (high - low) for other, _ in chosen)
        ):
            chosen.append((component, period))
    chosen.sort()
    top = ax.secondary_xaxis("top")
    top.set_xticks([component for component, _ in chosen], [theme.period_text(p) for _, p in chosen])
    top.tick_params(colors=theme.FAINT)
    top.spines["top"].set(color=theme.FAINT, linewidth=0.4)
    top.set_xlabel(label, color=theme.FAINT, labelpad=2)
