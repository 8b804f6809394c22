"""A history as a picture, by matplotlib's objects alone: ``pyplot`` keeps figures, and may open windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..checks import count
from ..errors import missing_metric
from ._history_table import numbers_of
from ._monitor import Mode, Monitor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..run import EpochRecord
    from .history import Ending

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which colour-blind eyes tell apart; the styles do so in grey."""
_STYLES: Final = ("-", (0, (5, 1.5)), "-.", ":")
_BEST: Final = "#117733"
_STOP: Final = "#555555"
_RATE_COLOUR: Final = "#882255"
_RATE: Final = "learning_rate"
_PANEL: Final = (4.2, 2.8)
"""Inches."""
_LETTER, _HANDLE, _ROW = 0.078, 0.6, 0.24
"""Inches of the legend, about: a letter, what stands before a text, a line."""
_DOTTED: Final = 40
"""Up to so many points each has a dot; of more only one that stands alone, since no line shows it."""


class _Curve(NamedTuple):
    """The values of one metric, NaN and infinities too, at the epochs that had it, from 1."""

    epochs: list[int]
    values: list[float]


class _Mark(NamedTuple):
    """An epoch, from 1, with its line and what the legend says of it."""

    epoch: int
    line: Mapping[str, Any]
    text: str
    at: tuple[str, float] | None = None
    """The metric and the value that made it the best."""


Panels = dict[str, dict[str, str]]
"""By their titles: the metrics in each by what the legend calls them."""


def draw(
    records: Sequence[EpochRecord],
    validations: Iterable[str],
    ending: Ending,
    *,
    metrics: Sequence[str] | None,
    monitor: str | None,
    mode: Mode,
    columns: int | None,
) -> Figure:
    """As ``History.plot``; ``validations`` are the prefixes of their metrics."""
    curves = _curves(records)
    panels = _panels(curves, sorted(validations, key=len, reverse=True), metrics)
    best, stop = _best(curves, monitor, mode), _stop(records, ending)
    marks = [mark for mark in (stop, best) if mark is not None]  # the best last: it is seen over the stop
    number = max(1, len(panels))
    wanted = (2 if number == 4 else 3) if columns is None else count(columns, f"History.plot(columns={columns!r})", 1)
    across = min(number, wanted)
    down = math.ceil(number / across)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03)
    figure = Figure((_PANEL[0] * across, _PANEL[1] * down), dpi=120, layout=layout)
    if not panels:
        figure.text(0.5, 0.5, "No epoch has ended." if not records else "No metric is a number.", ha="center")
        return figure
    epochs = [record.epoch + 1 for record in records] + [mark.epoch for mark in marks]
    legend: dict[str, Line2D] = {}
    for place, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, place + 1)
        for mark in marks:
            axes.axvline(mark.epoch, linewidth=1.2, zorder=1, **mark.line)
        lines = {label: _line(axes, curves[name], at, title == _RATE) for at, (label, name) in enumerate(names.items())}
        if title != _RATE:
            legend.update(lines)
        elif len(names) > 1:
            axes.legend(lines.values(), lines, fontsize="small", frameon=False)
        for mark in marks:
            if mark.at is not None and mark.at[0] in names.values():
                axes.plot(mark.epoch, mark.at[1], "*", color=_BEST, markersize=11, zorder=4)
        _decorate(axes, title, [curves[name] for name in names.values()], epochs, is_lowest=place + across >= number)
    for mark in reversed(marks):
        star: dict[str, Any] = {"marker": "*", "markersize": 9} if mark.at else {}
        legend[mark.text] = Line2D([], [], linewidth=1.2, **mark.line, **star)
    drawn = [curves[name] for names in panels.values() for name in names.values()]
    if not all(math.isfinite(value) for curve in drawn for value in curve.values):
        legend["NaN or infinite"] = Line2D([], [], color=_STOP, marker="x", markersize=5, linestyle="none")
    if legend:
        _add_legend(figure, legend)
    return figure


# What there is to draw


def _curves(records: Sequence[EpochRecord]) -> dict[str, _Curve]:
    """The metrics that are numbers, in the order in which they came."""
    curves = {}
    for name in dict.fromkeys(name for record in records for name in record.logs):
        having = [record for record in records if record.logs.get(name) is not None]
        values = numbers_of(record.logs[name] for record in having)
        if values:
            curves[name] = _Curve([record.epoch + 1 for record in having], values)
    return curves


def _panels(curves: Mapping[str, _Curve], validations: Sequence[str], metrics: Sequence[str] | None) -> Panels:
    """Each metric with its validations', the learning rates last; of these only ``metrics``, if given."""
    panels: Panels = {}
    title_of: dict[str, str] = {}
    for name in sorted(curves, key=lambda name: name.partition("/")[0] == _RATE):
        validation = next((one for one in validations if name.startswith(f"{one}_") and name != f"{one}_"), None)
        if name.partition("/")[0] == _RATE:
            title, label = _RATE, f"group {name.partition('/')[2]}" if "/" in name else _RATE
        elif validation is not None:
            title = name.removeprefix(f"{validation}_")
            label = "validation" if validation == "val" else validation
        else:
            title, label = name, "training"
        title_of[name] = title
        panels.setdefault(title, {})[label] = name
    if len(panels.get(_RATE, ())) > 1:
        panels[_RATE].pop(_RATE, None)  # the first group's, which has a curve of its own
    for one in panels.values():
        if "training" in one:  # first, and so in the same colour everywhere
            one.update({"training": one.pop("training")} | {label: one.pop(label) for label in list(one)})
    if metrics is None:
        return panels
    for name in metrics:
        if name not in title_of and name not in panels:
            raise missing_metric("History.plot()", name, list(curves))
    titles = dict.fromkeys(title_of.get(name, name) for name in metrics)
    return {title: panels[title] for title in titles}


def _best(curves: Mapping[str, _Curve], monitor: str | None, mode: Mode) -> _Mark | None:
    """The best epoch by ``monitor``; by default none where nothing was validated."""
    name = monitor or "val_loss"
    watch = Monitor("History.plot", name, mode)
    if name not in curves:
        if monitor is None:
            return None
        raise missing_metric("History.plot()", name, list(curves))
    if watch.mode is None:
        raise ValueError(f"{watch.who}: mode='auto' cannot tell which way it is better. Give mode='min' or mode='max'.")
    best = None
    for epoch, value in zip(*curves[name], strict=True):
        if math.isfinite(value) and watch.is_better(value, watch.best):
            watch.best, best = value, epoch
    if best is None or watch.best is None:
        return None
    text = f"best: epoch {best} ({_shown(name)} {watch.best:.4g})"
    return _Mark(best, {"color": _BEST, "linestyle": ":"}, text, (name, watch.best))


def _stop(records: Sequence[EpochRecord], ending: Ending) -> _Mark | None:
    if ending.kind is None or not records:
        return None
    epoch = 1 + (records[-1].epoch if ending.epoch is None else ending.epoch)
    by = f", {_shown(ending.source)}" if ending.source else ""
    return _Mark(epoch, {"color": _STOP, "linestyle": "--"}, f"stop: epoch {epoch}{by} ({ending.kind})")


# How it looks


def _line(axes: Axes, curve: _Curve, place: int, is_rate: bool) -> Line2D:
    """One curve, with a gap and a cross at the edge where it is no finite number."""
    colour = _RATE_COLOUR if is_rate and not place else _COLOURS[place % len(_COLOURS)]
    finite = [value if math.isfinite(value) else math.nan for value in curve.values]
    size = len(finite)
    shown = [not math.isnan(value) for value in finite]
    dots = [
        at
        for at in range(size)
        if shown[at] and (size <= _DOTTED or not (shown[max(0, at - 1) : at] + shown[at + 1 : at + 2]).count(True))
    ]
    (line,) = axes.plot(
        curve.epochs,
        finite,
        color=colour,
        linestyle=_STYLES[place % len(_STYLES)],
        linewidth=1.6,
        marker="os^D"[place % 4],
        markersize=3,
        markevery=dots,
        drawstyle="steps-mid" if is_rate else "default",
        zorder=3,
    )
    for at, value in zip(*curve, strict=True):
        if not math.isfinite(value):
            height = 0.97 - 0.06 * place if value == math.inf else 0.03 + 0.06 * place
            axes.plot(at, height, "x", color=colour, markersize=5, transform=axes.get_xaxis_transform(), zorder=3)
    return line


def _decorate(axes: Axes, title: str, curves: Sequence[_Curve], epochs: Sequence[int], *, is_lowest: bool) -> None:
    first, last = min(epochs), max(epochs)
    margin = max(0.5, 0.03 * (last - first))
    axes.set_xlim(first - min(margin, 0.9), last + margin)  # there is no epoch 0 here
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value, axes.get_ylim())))
    values = [value for curve in curves for value in curve.values if math.isfinite(value)]
    if not values:
        axes.set_yticks([])
    elif title == _RATE and min(values) > 0 and max(values) >= 10 * min(values):
        axes.set_yscale("log")
        spans_two = max(values) >= 100 * min(values)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if spans_two else (1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(_shown(title), loc="left", fontsize="medium", fontweight="bold")
    if is_lowest:
        axes.set_xlabel("epoch")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, lines: Mapping[str, Line2D]) -> None:
    """One for all panels, below them, in as many columns as there is room for."""
    width, height = figure.get_size_inches()
    widths = [_HANDLE + _LETTER * len(text) for text in lines]
    across = len(lines) if sum(widths) <= width else max(1, int(width // max(widths)))
    figure.set_size_inches(width, height + _ROW * math.ceil(len(lines) / across))
    figure.legend(lines.values(), lines, loc="outside lower center", ncols=across, fontsize="small", frameon=False)


def _number(value: float, limits: tuple[float, float]) -> str:
    """A tick's label, with as many digits as tell it from the next: no offset stands apart from it then."""
    span = abs(limits[1] - limits[0])
    largest = max(map(abs, limits))
    digits = 3 + (max(0, math.ceil(math.log10(largest / span))) if span > 0 and largest > 0 else 0)
    return f"{0.0 if abs(value) < span * 1e-9 else value:.{min(digits, 15)}g}"


def _shown(text: str) -> str:
    """A name as matplotlib may have it: ``$`` would begin a formula, and a long one would run into its neighbour."""
    text = text if len(text) <= 36 else text[:35] + "\u2026"
    return text.replace("$", r"\$")
