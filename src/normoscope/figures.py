"""The report's plots, as SVG to stand inside a page.

    numbers --matplotlib, no pyplot--> SVG text --> Markup without ids, addresses or dates that clash or change

Blue is normal and vermilion abnormal, as Okabe and Ito chose them, and no meaning hangs on colour alone. Text stays
text, so it can be read aloud, searched and printed. No figure holds a name from the data.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup, escape

from . import metrics
from .bands import Band
from .calibration import Above, Calibration, Outside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ABNORMAL",
    "FAINT",
    "NORMAL",
    "STYLE",
    "THIRD",
    "precision_recall",
    "pvalues",
    "roc",
    "scores",
    "standalone",
    "training",
]

NORMAL, ABNORMAL, THIRD, INK, FAINT = "#0072B2", "#D55E00", "#009E73", "#1b2733", "#8a97a3"

Point = tuple[float, float]

STYLE: dict[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "font.size": 10,
    "grid.color": "#e6eaee",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "normoscope",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
}


def roc(
    labels: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], band: Band | None, rule: Point | None
) -> Markup:
    """Draw the ROC curve, its band, chance, and the frozen rule's (false-alarm rate, sensitivity)."""
    fpr, tpr, _ = metrics.roc_curve(labels, values)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2, label="chance")
        _fill(axes, band)
        axes.plot(fpr, tpr, color=NORMAL, label="ROC curve")
        _mark(axes, rule)
        _unit_square(axes, "false-alarm rate (1 − specificity)", "sensitivity")
        axes.legend(loc="lower right")

    return _svg(draw, "roc", "ROC curve: sensitivity against the false-alarm rate.")


def precision_recall(
    labels: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], band: Band | None, rule: Point | None
) -> Markup:
    """Draw the PR curve in steps, its band, the prevalence, and the frozen rule's (sensitivity, precision)."""
    recall, precision = _steps(*metrics.pr_curve(labels, values)[:2])
    prevalence = float(np.mean(labels))

    def draw(axes: Axes) -> None:
        label = f"prevalence {prevalence:.3f}: precision without information"
        axes.axhline(prevalence, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2, label=label)
        _fill(axes, band)
        axes.plot(recall, precision, color=NORMAL, drawstyle="steps-pre", label="precision–recall curve")
        _mark(axes, rule)
        _unit_square(axes, "recall (sensitivity)", "precision")
        axes.legend(loc="lower left")

    return _svg(draw, "pr", "Precision–recall curve with the abnormal class as positive.")


def _steps(
    recall: Float[np.ndarray, " k"], precision: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Keep the steps that average precision adds up: from recall 0 to the first threshold that finds everything."""
    shown = np.append(True, np.diff(recall) > 0) & (recall > 0)
    return np.append(0, recall[shown]), np.append(precision[shown][:1], precision[shown])


def _fill(axes: Axes, band: Band | None) -> None:
    if band is not None:
        axes.fill_between(band.x, band.low, band.high, color=NORMAL, alpha=0.18, linewidth=0, label="95 % band")


def _mark(axes: Axes, point: Point | None) -> None:
    if point is not None and not any(math.isnan(x) for x in point):
        axes.plot(
            *point, "D", color=ABNORMAL, markeredgecolor="white", markersize=8, label="frozen rule", clip_on=False
        )


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=x, ylabel=y)


def scores(
    labels: Int[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    rule: Above | Outside | None,
    calibration: Float[np.ndarray, " m"] | None,
) -> Markup:
    """Draw the scores of both classes, each as shares of its class, the calibration normals' outline and the rule.

    Args:
        labels: 1 anomalous, 0 normal.
        values: Raw scores.
        rule: Its thresholds become vertical lines.
        calibration: Scores of single calibration normals; None where they are of patients.
    """
    edges = _edges(values)

    def draw(axes: Axes) -> None:
        for label, name, tint in ((0, "normal", NORMAL), (1, "abnormal", ABNORMAL)):
            found = values[labels == label]
            if len(found):
                axes.stairs(
                    _shares(found, edges),
                    edges,
                    fill=True,
                    facecolor=(tint, 0.35),
                    edgecolor=tint,
                    linewidth=1.0,
                    label=f"{name} test images ({len(found)})",
                )
        if calibration is not None and len(calibration):
            name = f"calibration normals ({len(calibration)})"
            axes.stairs(_shares(calibration, edges), edges, color=INK, linewidth=1.3, label=name)
        for number, threshold in enumerate(_thresholds(rule)):
            text = None if number else f"frozen rule: {rule}"
            axes.axvline(threshold, color=INK, linestyle=(0, (2, 2)), linewidth=1.4, label=text)
        axes.set(xlabel="anomaly score (raw, higher is more anomalous)", ylabel="share of the class")
        axes.margins(x=0.01)
        axes.legend(loc="upper right")

    return _svg(draw, "scores", "Histograms of the scores of normal and of abnormal test images.", (7.6, 3.6))


def _edges(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """Span all but the most extreme half per cent, which the outermost bins take in."""
    low, high = np.quantile(values, [0.005, 0.995])
    bins = int(np.clip(len(values) // 5, 10, 40))
    return np.linspace(low, high, bins + 1) if high > low else np.linspace(low - 0.5, low + 0.5, 4)


def _shares(values: Float[np.ndarray, " n"], edges: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k-1"]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(1, len(values))


def _thresholds(rule: Above | Outside | None) -> tuple[float, ...]:
    if isinstance(rule, Outside):
        return rule.low, rule.high
    return () if rule is None else (rule.threshold,)


def pvalues(normals: Float[np.ndarray, " n"], unit: str, calibration: Calibration) -> Markup:
    """Draw the p-values of test normals' scores (one per image or patient) against what exchangeable ones have."""
    values = calibration.pvalues(normals)
    bins = 10 if len(values) < 400 else 20
    usual = calibration.usual_shares(len(values), bins)

    def draw(axes: Axes) -> None:
        shares, edges = np.histogram(values, bins, (0, 1))
        axes.stairs(shares / max(1, len(values)), edges, fill=True, facecolor=(NORMAL, 0.35), edgecolor=NORMAL,
                    label=f"normal test {unit}s ({len(values)})")  # fmt: skip
        highest = float(shares.max()) / max(1, len(values))
        if usual is not None:
            axes.stairs(usual[1], edges, baseline=usual[0], fill=True, facecolor=(INK, 0.13), edgecolor="none",
                        label="95 % of normals alike")  # fmt: skip
            highest = max(highest, float(usual.max()))
        axes.axhline(1 / bins, color=INK, linestyle=(0, (4, 3)), linewidth=1.2, label="expected")
        top = 1.35 * highest
        axes.set(xlim=(0, 1), ylim=(0, top), xlabel=f"p-value of a normal test {unit}", ylabel="share")
        axes.legend(loc="upper right")

    return _svg(
        draw, "pvalues", f"Histogram of the p-values of normal test {unit}s, and the band that chance allows each bar."
    )


def training(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the loss of each epoch: one line per phase and one for the select normals, stages side by side."""
    epochs = np.arange(1, len(history) + 1)

    def draw(axes: Axes) -> None:
        drawn: list[float] = []
        for phase in range(max(len(epoch["losses"]) for epoch in history)):
            losses = [epoch["losses"][phase] if phase < len(epoch["losses"]) else math.nan for epoch in history]
            tint = (NORMAL, THIRD, "#CC79A7")[phase % 3]
            axes.plot(epochs, losses, color=tint, label="training loss" + (f", phase {phase + 1}" if phase else ""))
            drawn += losses
        select = [math.nan if epoch["select_loss"] is None else epoch["select_loss"] for epoch in history]
        if not all(map(math.isnan, select)):
            axes.plot(epochs, select, color=ABNORMAL, linestyle=(0, (4, 2)), label="loss on select normals")
        _stages(axes, [epoch["stage"] for epoch in history])
        finite = [loss for loss in [*drawn, *select] if math.isfinite(loss)]
        if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
            axes.set_yscale("log")
        axes.set(xlabel="epoch", ylabel="mean loss per image")
        axes.margins(x=0.01)
        axes.legend(loc="upper right")

    return _svg(draw, "training", "Training loss over the epochs.", (7.6, 3.2))


def _stages(axes: Axes, stages: Sequence[str]) -> None:
    """Mark where a stage ends and another begins."""
    for i in (i for i in range(1, len(stages)) if stages[i] != stages[i - 1]):
        axes.axvline(i + 0.5, color=FAINT, linewidth=1)
        at = axes.get_xaxis_transform()
        axes.annotate(stages[i], (i + 0.5, 1), (4, -4), xycoords=at, textcoords="offset points", va="top", fontsize=9)


def standalone(
    paint: Callable[[Any], None], *, rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.2, 4.0)
) -> str:
    """Draw a file of its own under our style.

    Args:
        paint: Given the axes: one, or an array of them.
        rows: Of axes.
        columns: Of axes.
        size: Inches.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots(rows, columns))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return file.getvalue()


def _svg(draw: Callable[[Axes], None], name: str, alt: str, size: tuple[float, float] = (5.2, 4.0)) -> Markup:
    """Draw under our style alone, whatever the user's matplotlib settings say, to stand inside a page."""
    return _inline(standalone(draw, size=size), name, alt)


def _inline(svg: str, name: str, alt: str) -> Markup:
    """Make a file's SVG part of a page: its ids are its own, and nothing in it looks like an address."""
    found = re.search(r'viewBox="([^"]+)"', svg)
    assert found is not None
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]+;? ?", "", body).replace("xlink:href", "href")
    body = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    return Markup(f'<svg viewBox="{found[1]}" role="img" aria-label="{escape(alt)}">{body}')
