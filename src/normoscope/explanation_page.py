"""A page per image that says why it has its score, opens offline, and shows beside every map how true it is.

    Explanation --pictures, sentences, tables--> templates/explain.html.j2 --> NAME.html      all of them --> index.html
                --plain values--> explanations.json

Everything is drawn on scales that do not depend on the image, but for attributions: a score has no unit per pixel, so
each of these is scaled to itself, and the page says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined

from . import methods
from ._version import __version__
from .explanation import Explained, Explanation
from .explanation_text import ENDLESS, percent, place, sentences
from .faithfulness import Chance
from .gallery import MARK, outlined
from .heatmaps import FLOOR, file_names, greyscale, overlay
from .latent_page import LatentPage, latent_page, policy
from .latent_view import LatentView
from .map_kinds import OWN, STANDARDISED
from .model import Model
from .randomisation import Check, Verdict
from .regions import HEIGHT
from .sprites import data_uri, shrunk
from .transforms import Prepared
from .written import write_atomically

__all__ = ["Context", "write_explanations"]

SIDE = 320
"""Pictures are enlarged by whole pixels to about this side."""

_BRIGHTEST = 0.99  # quantile of an attribution from which pixels are brightest

_BARS = 8
"""Latent dimensions that are drawn."""

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Context:
    """What all pages share.

    Args:
        model: The model.
        normals: Training normals that are neighbours; None without.
        view: The latent space; None without.
        notes: What could not be explained, and why.
        data: Where the images came from, as typed.
        command: What was typed.
    """

    model: Model
    normals: Prepared | None = None
    view: LatentView | None = None
    notes: Sequence[str] = ()
    data: str = ""
    command: str = ""


@dataclass(frozen=True)
class _Shown:
    """One picture and what is to be said of it."""

    title: str
    uri: str
    caption: str
    failed: bool = False


def write_explanations(found: Sequence[Explanation], context: Context, folder: Path) -> Path:
    """Write every page, then `explanations.json`, then `index.html`: where that stands, nothing is missing.

    Args:
        found: What to write, 1 or more.
        context: What all pages share.
        folder: Made if it is not there; files of other names are left alone.

    Returns:
        The index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").unlink(missing_ok=True)
    # an image called index must not take the index's place
    files = [f"{name}.html" for name in file_names(["index", *(one.name for one in found)])[1:]]
    space = None if context.view is None else latent_page(context.view)
    for one, file in zip(found, files, strict=True):
        write_atomically(folder / file, _page(one, context, space and space.marking(one.name)))
    write_atomically(folder / "explanations.json", json.dumps(_summary(found, files, context), indent=1) + "\n")
    write_atomically(folder / "index.html", _index(found, files, context))
    return folder / "index.html"


def _summary(found: Sequence[Explanation], files: Sequence[str], context: Context) -> dict[str, Any]:
    alpha = context.model.calibration.alpha
    return {
        "method": context.model.method,
        "preset": context.model.preset,
        "data": context.data,
        "command": context.command,
        "normoscope": __version__,
        "notes": list(context.notes),
        "images": [
            {"page": file, "sentences": sentences(one, context.model.calibration), **one.to_json(alpha)}
            for one, file in zip(found, files, strict=True)
        ],
    }


def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("normoscope"), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def _index(found: Sequence[Explanation], files: Sequence[str], context: Context) -> str:
    rows = [
        {
            "file": file,
            "name": one.name,
            "uri": _enlarged(greyscale(one.image), 96),
            "score": f"{one.score:.4g}",
            "pvalue": "–" if one.pvalue is None else f"{one.pvalue:.3g}",
            "flagged": one.flagged,
            "regions": "–" if one.regions is None else len(one.standing(context.model.calibration.alpha)),
        }
        for one, file in zip(found, files, strict=True)
    ]
    return (
        _environment()
        .get_template("explain_index.html.j2")
        .render(rows=rows, policy=policy(script=False), **_shared(context))
    )


def _shared(context: Context) -> dict[str, Any]:
    return {
        "model": context.model,
        "calibration": context.model.calibration,
        "notes": context.notes,
        "command": context.command,
        "version": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _page(one: Explanation, context: Context, space: LatentPage | None) -> str:
    own = {name: found for name, found in one.maps.items() if name not in _CHANCE}
    return _environment().get_template("explain.html.j2").render(
        found=one,
        told=sentences(one, context.model.calibration),
        where=_where(one, context.model),
        regions=_regions(one, context.model.calibration.alpha),
        attributions=[_attribution(name, one, found) for name, found in own.items() if name not in (OWN, STANDARDISED)],
        faithful=_faithful(one),
        counterparts=list(one.counterparts),
        failed=[name for name, found in own.items() if found.check.verdict is Verdict.FAILS],
        terms=_terms(one),
        bars=_bars(one),
        neighbours=_neighbours(one, context.normals),
        space=space,
        policy=policy(script=space is not None),
        recipe=methods.to_json(context.model.recipe),
        **_shared(context),
    )  # fmt: skip


_CHANCE = tuple(chance.value for chance in Chance)


def _where(one: Explanation, model: Model) -> list[_Shown]:
    """The image, what it would be, and where it deviates, all on scales that no image changes."""
    shown = [
        _Shown("image", _enlarged(greyscale(one.image)), f"as the model sees it, {one.image.shape[-1]} pixels wide")
    ]
    if "reconstruction" in one.counterparts:
        picture = _enlarged(greyscale(one.counterparts["reconstruction"]))
        shown.append(_Shown("if it were normal", picture, "what the model makes of it; not a prediction of health"))
    elif "median" in one.counterparts:
        shown.append(
            _Shown("median normal image", _enlarged(greyscale(one.counterparts["median"])), "of all, not of this one")
        )
    if OWN not in one.maps:
        return shown
    scale = model.calibration.map_scale
    check = one.maps[OWN].check
    failed = check.verdict is Verdict.FAILS
    standing = one.standing(model.calibration.alpha)
    lines = [(region.pixels, MARK) for region in standing]
    if scale:
        heat = outlined(overlay(one.image, one.maps[OWN].pixels, scale), lines)
        shown.append(_Shown("heatmap", _enlarged(heat), _said(_marked(one, len(standing)), check), failed))
    if STANDARDISED in one.maps:
        # colours begin where clusters do
        away = outlined(overlay(one.image, one.maps[STANDARDISED].pixels, HEIGHT / FLOOR), lines)
        begin, full = f"{HEIGHT:g}", f"{HEIGHT / FLOOR:g}"
        caption = f"In standard deviations of normals at the same place: colour from {begin}, brightest from {full}"
        check = one.maps[STANDARDISED].check
        failed = check.verdict is Verdict.FAILS
        shown.append(_Shown("deviation from normals", _enlarged(away), _said(f"{caption}.", check), failed))
    return shown


def _said(first: str, check: Check) -> str:
    """Add what the check by random weights says, where there is one."""
    said = "" if check.verdict is Verdict.NOT_APPLICABLE else f"{check.sentence[0].upper()}{check.sentence[1:]}."
    return f"{first} {said}".strip()


def _marked(one: Explanation, count: int) -> str:
    if one.regions is None:
        return "No region can be judged."
    return "Outlined: the regions below." if count else "No region stands out."


def _regions(one: Explanation, alpha: float) -> list[dict[str, Any]]:
    return [
        {
            "place": place(region),
            "area": percent(region.area),
            "peak": f"{region.peak:.1f}" if region.peak < ENDLESS else "∞",
            "at": f"row {region.at[0]}, column {region.at[1]}",
            "pvalue": f"{region.pvalue:.3g}",
        }
        for region in one.standing(alpha)
    ]


def _attribution(name: str, one: Explanation, found: Explained) -> _Shown:
    """Draw the shares that raise the score, over the image, scaled to itself."""
    raising = np.clip(found.pixels, 0, None)
    full = float(np.quantile(raising, _BRIGHTEST)) or float(raising.max())
    picture = overlay(one.image, raising, full) if full > 0 else greyscale(one.image)
    failed = found.check.verdict is Verdict.FAILS
    return _Shown(name.replace("-", " "), _enlarged(picture), _said(_compared(found), found.check), failed)


def _compared(found: Explained) -> str:
    return f"Compared with: {found.against}." if found.against else "The score's slope, without sign."


def _faithful(one: Explanation) -> list[dict[str, Any]]:
    """One row per map: both areas for every counterpart."""
    return [
        {
            "name": name,
            "chance": name in _CHANCE,
            "areas": [f"{value:.2f}" if math.isfinite(value) else "n/a" for a in found.areas.values()
                      for value in (a.deletion, a.insertion)],
            "check": "–" if name in _CHANCE else _checked(found.check),
        }
        for name, found in one.maps.items()
    ]  # fmt: skip


def _checked(check: Check) -> str:
    return f"{check.verdict.value} ({check.count})" if check.images else check.verdict.value


def _terms(one: Explanation) -> list[dict[str, Any]]:
    largest = max((abs(value) for value in one.terms.values()), default=0.0) or 1.0
    return [
        {
            "name": name,
            "value": f"{value:+.4g}",
            "width": round(100 * abs(value) / largest, 1),
            "raises": value > 0,
            "usual": f"{one.usual[name]:+.4g}" if name in one.usual else "",
        }
        for name, value in sorted(one.terms.items(), key=lambda term: -abs(term[1]))
    ]


def _bars(one: Explanation) -> list[dict[str, Any]]:
    """The dimensions with the largest shares."""
    shares = one.latent
    if shares is None:
        return []
    leading = shares.leading(_BARS)
    largest = max(abs(float(shares.shares[i])) for i in leading) or 1.0
    return [
        {
            "name": f"dimension {i + 1}",
            "value": f"{shares.shares[i]:+.3g}",
            "width": round(100 * abs(float(shares.shares[i])) / largest, 1),
            "raises": shares.shares[i] > 0,
            "deviation": "–" if math.isnan(shares.deviations[i]) else f"{shares.deviations[i]:+.1f} sd",
        }
        for i in leading
    ]


def _neighbours(one: Explanation, normals: Prepared | None) -> list[_Shown]:
    if normals is None:
        return []
    batch = normals.images.batch(np.asarray([near.row for near in one.neighbours], np.int64)).numpy()
    return [
        _Shown(near.name, _enlarged(greyscale(image), SIDE // 2), f"distance {near.distance:.3g}")
        for near, image in zip(one.neighbours, batch, strict=True)
    ]


def _enlarged(picture: Picture, side: int = SIDE) -> str:
    """Encode as PNG; small pictures grow by whole pixels, large ones are shrunk to twice the side."""
    times = max(1, round(side / max(picture.shape[:2])))
    return data_uri(shrunk(np.repeat(np.repeat(picture, times, 0), times, 1), 2 * side))
