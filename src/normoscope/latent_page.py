"""What the template and the script of an interactive latent space are given, and the policy that lets that script run.

    LatentView --plain values--> LatentPage --templates/latent.html.j2--> markup, JSON and latent.js inside one page

The page needs nothing else: the policy allows this script by its hash, no other, and images from the page itself.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup

from .heatmaps import greyscale
from .latent_groups import Part
from .latent_planes import HEIGHT, WIDTH
from .latent_view import LatentView, Point
from .sprites import Sheet, sheet
from .traversal import REACH, Traversal

__all__ = ["Column", "LatentPage", "Strip", "latent_page", "policy"]

_GREY = "#6b7680"

_LABELS = {"normal": "#0072b2", "abnormal": "#d55e00", "unknown": _GREY}

_OTHERS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b2733", "#b8a900")
"""Okabe and Ito's colours but for those that mean normal and abnormal."""

_MARKS = (
    "M4.5 0A4.5 4.5 0 1 1 -4.5 0A4.5 4.5 0 1 1 4.5 0Z",
    "M0 -5.8L5.4 4.2H-5.4Z",
    "M0 -6L5.2 0L0 6L-5.2 0Z",
    "M-4 -4H4V4H-4Z",
    "M-1.7 -5.2H1.7V-1.7H5.2V1.7H1.7V5.2H-1.7V1.7H-5.2V-1.7H-1.7Z",
    "M0 5.8L5.4 -4.2H-5.4Z",
    "M-5 -3L-3 -5L0 -2L3 -5L5 -3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
)
"""Outlines: disc, triangle, diamond, square, plus, triangle down, cross."""

_STOPS = 12


@dataclass(frozen=True)
class Column:
    """One way to colour the points.

    Args:
        title: What is coloured.
        values: Its values; the last is "other" where there are many.
        colours: Of each value.
        of: Each point's place in the values.
    """

    title: str
    values: tuple[str, ...]
    colours: tuple[str, ...]
    of: tuple[int, ...]

    @property
    def counts(self) -> list[int]:
        """Points of each value."""
        return [self.of.count(place) for place in range(len(self.values))]


@dataclass(frozen=True)
class Strip:
    """A traversal as a page shows it.

    Args:
        title: The walk's.
        text: Its figure.
        bar: That figure as a share of the highest; None where there is nothing to compare.
        pictures: Its images in one row; None where images stay out.
    """

    title: str
    text: str
    bar: float | None
    pictures: Sheet | None


@dataclass(frozen=True)
class LatentPage:
    """What the template is given.

    Args:
        view: What is shown.
        columns: Ways to colour, label first.
        strips: Traversals.
        spectrum: Information of every coordinate in bits, the highest first; empty where it was not measured.
        highlight: The point to be marked; None marks none.
        data: What the script reads, in plain values.
        marks: Outlines, one for each value of a column.
        images: Whether pictures and names are in the page.
    """

    view: LatentView
    columns: tuple[Column, ...]
    strips: tuple[Strip, ...]
    spectrum: tuple[float, ...]
    highlight: int | None
    data: dict[str, Any]
    marks: tuple[str, ...]
    images: bool

    width = WIDTH
    height = HEIGHT
    reach = REACH

    @property
    def script(self) -> Markup:
        """The script itself, to the byte that its hash was taken of."""
        return Markup(_script())

    def marking(self, name: str) -> LatentPage:
        """Return the same page with the image of this name marked, if it is among those shown."""
        named = [i for i, point in enumerate(self.view.points) if point.name == name]
        # a training image may have the same name
        scored = [i for i in named if self.view.points[i].part is Part.SCORED]
        marked = next(iter(scored or named), None)
        return replace(self, highlight=marked, data={**self.data, "highlight": marked})


def latent_page(view: LatentView, *, images: bool = True) -> LatentPage:
    """Put a latent space into the form a page needs.

    Args:
        view: What to show.
        images: Embed small pictures and names; False leaves out every one.
    """
    columns = _columns(view.points)
    shown = view if images else replace(view, sheets=())
    spectrum = _spectrum(view)
    return LatentPage(
        view=shown,
        columns=columns,
        strips=tuple(_strip(walk, spectrum[0] if spectrum else 0.0, images) for walk in view.traversals),
        spectrum=spectrum,
        highlight=None,
        data=_data(shown, columns, images),
        marks=_MARKS,
        images=images,
    )


def policy(*, script: bool) -> str:
    """Return the Content-Security-Policy of a page: nothing from outside, and no script but this one, if any."""
    allowed = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode("ascii")
    return f"{allowed}; script-src 'sha256-{digest}'" if script else allowed


@cache
def _script() -> str:
    return (files("normoscope") / "templates" / "latent.js").read_text(encoding="utf-8")


def _columns(points: Sequence[Point]) -> tuple[Column, ...]:
    """Offer every column whose values differ, and the label always."""
    label = _column("label", [point.label for point in points], list(_LABELS), list(_LABELS.values()))
    found = [_column("part", [point.part.value for point in points], [part.value for part in Part], list(_OTHERS))]
    for title in dict.fromkeys(name for point in points for name in point.source):
        values = [point.source.get(title) or "unknown" for point in points]
        common = [value for value, _ in Counter(values).most_common()]
        found.append(_column(title, values, common, list(_OTHERS)))
    return label, *(column for column in found if len(column.values) > 1)


def _column(title: str, values: Sequence[str], order: Sequence[str], colours: Sequence[str]) -> Column:
    """Colour the values in this order; more than there are colours share one grey."""
    present = [value for value in order if value in set(values)]
    paint = dict(zip(order, colours, strict=False))
    kept = [value for value in present if value in paint]
    more = len(kept) < len(present)
    of = tuple(kept.index(value) if value in paint else len(kept) for value in values)
    names = (*kept, *(["other"] if more else []))
    return Column(title, names, (*(paint[value] for value in kept), *([_GREY] if more else [])), of)


def _strip(walk: Traversal, highest: float, images: bool) -> Strip:
    pictures = [greyscale(image) for image in walk.images] if images and walk.images is not None else []
    row = sheet("", pictures, len(pictures)) if pictures else None
    if walk.information is None:
        return Strip(walk.title, f"{100 * walk.share:.3g}\u00a0% of the variance", None, row)
    return Strip(walk.title, str(walk.information), max(0.0, walk.information.value) / max(highest, 1e-9), row)


def _spectrum(view: LatentView) -> tuple[float, ...]:
    along = [estimate.value for estimate in view.entropy.information_by_dimension] if view.entropy else []
    return tuple(sorted(along, reverse=True)) if along and all(map(math.isfinite, along)) else ()


def _data(view: LatentView, columns: Sequence[Column], images: bool) -> dict[str, Any]:
    """Return plain values for the script; without images, no name is among them."""
    scores = [point.score for point in view.points]
    low, high = np.quantile(scores, [0.02, 0.98])
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "names": [point.name for point in view.points] if images else None,
        "facts": [_facts(point, {column.title for column in columns}) for point in view.points],
        "scores": scores,
        "ramp": {"low": float(low), "high": float(high), "colours": _ramp()},
        "columns": [{"values": c.values, "colours": c.colours, "of": c.of} for c in columns],
        "marks": _MARKS,
        "views": [
            {"title": v.title, "note": v.note, "axes": v.axes, "at": np.round(v.at, 2).tolist()} for v in view.views
        ],
        "sheets": [{name: value for name, value in asdict(one).items() if name != "title"} for one in view.sheets],
        "highlight": None,
    }


def _facts(point: Point, differing: Collection[str]) -> list[tuple[str, str]]:
    """Return what stands in a point's panel below its name; of its source what is not the same for all."""
    source = [(title, value) for title, value in point.source.items() if title in differing]
    facts = [("part", point.part.value), ("label", point.label), *source]
    facts.append(("score", f"{point.score:.4g}"))
    if point.part is Part.SCORED:
        facts.append(("p-value", "not calibrated" if point.pvalue is None else f"{point.pvalue:.3g}"))
    if point.disagreement is not None:
        facts.append(("|z1 − z2|", f"{point.disagreement:.3g}"))
    return facts


def _ramp() -> list[str]:
    """Return colours from low to high, even in brightness and safe for colour-blind readers."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](place)) for place in np.linspace(0, 1, _STOPS)]
