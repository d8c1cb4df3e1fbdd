"""One page that opens offline and says what a model is worth: summary, curves, images, data, provenance.

    Assessment --figures, gallery, summary--> templates/report.html.j2 --> report.html, written whole

The page holds everything it shows and asks nothing of any network. Names from the data are escaped; without images,
neither pixels nor names of images or patients are in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import figures, methods
from ._version import __version__
from .bands import pr_band, roc_band
from .comparison import Assessment
from .errors import TooFewImagesError
from .gallery import galleries
from .heatmaps import FLOOR, colour
from .latent_groups import fitted_groups, scored_group
from .latent_page import LatentPage, latent_page, policy
from .latent_view import latent_view
from .latents import FEWEST, LatentEntropy, latent_entropy
from .map_kinds import map_check
from .metrics import title
from .splits import patients_of
from .statistics import Interval
from .summary import normals_by_unit, percent, summarise
from .written import write_atomically

__all__ = ["render", "write_report"]


def write_report(found: Assessment, path: Path, *, images: bool = True, command: str = "") -> Path:
    """Write the report, whole or not at all.

    Args:
        found: What to report.
        path: The HTML file; its folder is made.
        images: Embed test images and their names; False leaves out every pixel and every name.
        command: What the user typed to get the report.

    Returns:
        The path.
    """
    page = render(found, images=images, command=command)
    write_atomically(path, page)
    return path


def render(found: Assessment, *, images: bool = True, command: str = "") -> str:
    """Return the report as text; the same assessment gives the same page but for its date."""
    environment = Environment(loader=PackageLoader("normoscope"), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["percent"] = percent
    entropy = _entropy(found)
    space = _space(found, entropy, images)
    return environment.get_template("report.html.j2").render(
        found=found,
        model=found.model,
        evaluation=found.evaluation,
        calibration=found.model.calibration,
        provenance=found.model.provenance,
        version=__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=summarise(found),
        abnormal=_abnormal_classes(found),
        metrics=_metric_rows(found),
        baselines=_baseline_rows(found),
        charts=_charts(found),
        unit=normals_by_unit(found)[1],
        redrawn="images" if patients_of(found.prepared.samples) is None else "patients",
        galleries=galleries(found) if images else [],
        images=images,
        scale_bar=_scale_bar(),
        floor=FLOOR,
        check=map_check(found.model, found.prepared.images) if found.model.localizes and images else None,
        outlines=found.evaluation.lesion_share > 0,
        facts=_facts(found),
        recipe=methods.to_json(found.model.recipe),
        record=_record(found),
        latent=[] if entropy is None else entropy.rows(),
        space=space,
        policy=policy(script=space is not None),
        notes=_notes(found, images),
        command=command,
    )


def _abnormal_classes(found: Assessment) -> str:
    """Name what counts as abnormal, as the data calls it."""
    classes = {s.class_name for s in found.prepared.samples if s.label == 1 and s.class_name}
    names = sorted(map(found.collection.title, classes))
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


@dataclass(frozen=True)
class MetricRow:
    """One line of the metric table."""

    name: str
    value: str
    interval: str
    positive: str
    remark: str
    point: bool = False


def _metric_rows(found: Assessment) -> dict[str, list[MetricRow]]:
    """Group the figures by what they judge."""
    e = found.evaluation
    groups = {"Ranking of images": e.ranking, "Decisions at the frozen rule": e.decisions, "Pixels": e.pixels}
    return {group: [_metric_row(found, *item) for item in values.items()] for group, values in groups.items() if values}


def _metric_row(found: Assessment, name: str, interval: Interval) -> MetricRow:
    e, positive, how = found.evaluation, "", interval.how
    if name in e.ranking:
        which, prevalence = e.positive(name)
        positive = f"{which}, prevalence {prevalence:.3f}"
    if name == "pixel_ap":
        positive = f"lesion pixels, share {e.lesion_share:.4f}"
    return MetricRow(title(name), *_value(interval), positive, how, "_at_" in name)


def _value(interval: Interval) -> tuple[str, str]:
    value = "–" if math.isnan(interval.value) else f"{interval.value:.3f}"
    return value, "–" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def _baseline_rows(found: Assessment) -> list[MetricRow]:
    """This model first, then the trivial rows."""
    rows = [MetricRow(f"{found.model.method} (this model)", *_value(found.evaluation.auroc), "", "")]
    for name, interval in found.baselines.items():
        plain = name.replace(" (oracle)", "")
        rows.append(MetricRow(plain, *_value(interval), "", "oracle" if plain != name else ""))
    return rows


def _charts(found: Assessment) -> dict[str, Markup]:
    """Draw what the data allows."""
    labels, values, calibration = found.labels, found.scores, found.model.calibration
    alone = calibration.scores if calibration.unit == "image" else None
    charts = {"scores": figures.scores(labels, values, calibration.rule, alone)}
    if 0 < labels.sum() < len(labels):
        groups = patients_of(found.prepared.samples)
        sensitivity, precision, alarms = _at_rule(found)
        charts["roc"] = figures.roc(labels, values, roc_band(labels, values, groups), (alarms, sensitivity))
        charts["pr"] = figures.precision_recall(
            labels, values, pr_band(labels, values, groups), (sensitivity, precision)
        )
    if calibration.calibrated and (labels == 0).any():
        normals, unit = normals_by_unit(found)
        charts["pvalues"] = figures.pvalues(normals, unit, calibration)
    if history := found.model.provenance["training"]["history"]:
        charts["training"] = figures.training(history)
    return charts


def _at_rule(found: Assessment) -> tuple[float, float, float]:
    """Sensitivity, precision and false-alarm rate over images at the frozen rule; nan without one."""
    if found.flags is None:
        return math.nan, math.nan, math.nan
    abnormal = found.labels == 1
    hits, alarms = int((found.flags & abnormal).sum()), int((found.flags & ~abnormal).sum())
    precision = hits / (hits + alarms) if hits + alarms else math.nan
    return hits / int(abnormal.sum()), precision, alarms / int((~abnormal).sum())


def _scale_bar() -> str:
    """Write the heatmap's colours, from none to the full scale, as CSS gradient stops over mid-grey."""
    shares = np.linspace(0, 1, 21)
    colours, opacity = colour(shares)
    shown = np.rint(255 * (0.45 * (1 - opacity[:, None]) + colours * opacity[:, None])).astype(int)
    stops = (f"rgb({r} {g} {b}) {100 * share:.0f}%" for (r, g, b), share in zip(shown.tolist(), shares, strict=True))
    return ", ".join(stops)


def _facts(found: Assessment) -> dict[str, str]:
    """Return the data summary: what was cut how, and what the model sees."""
    p, seen = found.model.provenance, found.model.preprocessor
    counts = ", ".join(f"{part} {count}" for part, count in p["data"]["counts"].items())
    patients = (
        "yes" if p["split"]["by_patient"] else "no: patients are unknown or shared, so one may stand in several parts"
    )
    return {
        "Fitted on": f"{p['data']['spec']}, normal class {found.collection.title(p['data']['normal_class'])}",
        "Images in each part": f"{counts} (all but test are normals)",
        "Split": f"{p['split']['rule']}; seed {p['split']['seed']}",
        "Split by patient": patients,
        "Reported on": f"{found.collection.spec}: {found.part}",
        "Image size": f"{seen.size} × {seen.size} pixels, {seen.channels} channel{'s' if seen.channels > 1 else ''}, "
        f"read as {seen.depth}",
        "Preprocessing": f"aspect {seen.aspect.value}; intensity {seen.intensity.value}, "
        f"{seen.low:.4g} to {seen.high:.4g} becomes 0 to 1",
        "Scoring": found.model.scored_by,
        "p-values": found.model.calibration.pvalue_note if found.pvalues is not None else "none: not calibrated",
    }


def _entropy(found: Assessment) -> LatentEntropy | None:
    """Measure the latent entropy on the test's normals; None without a latent vector, or with too few of them."""
    rows = np.flatnonzero(found.labels == 0)
    if len(rows) < FEWEST:
        return None
    patients = [found.prepared.samples[row].patient for row in rows]
    return latent_entropy(found.model.detector, found.prepared.images.subset(rows), patients)


def _space(found: Assessment, entropy: LatentEntropy | None, images: bool) -> LatentPage | None:
    """Lay the latent space out; None without a latent vector, or for a single image."""
    groups, notes = fitted_groups(found.model, found.collection)
    scored = scored_group(found.collection, found.prepared, found.scores)
    try:
        view = latent_view(found.model, [*groups, scored], entropy=entropy, notes=notes, images=images)
    except TooFewImagesError:
        return None
    return None if view is None else latent_page(view, images=images)


def _record(found: Assessment) -> dict[str, str]:
    """Return the provenance, flat."""
    p = found.model.provenance
    return {
        "Model made": p["created"],
        "Seed": str(p["seed"]),
        "Data hash": p["data"]["hash"],
        "Versions": ", ".join(f"{name} {version}" for name, version in p["versions"].items()),
        "Commit": p["commit"] or "none (an installed package)",
        "Hardware": ", ".join(f"{key} {value}" for key, value in p["hardware"].items()),
        "Training time": f"{p['training']['seconds']:.1f} s on {p['data']['counts']['train']} images",
        "Scoring time": f"{found.seconds:.2f} s for {len(found.scores)} images",
    }


def _notes(found: Assessment, images: bool) -> list[str]:
    """Gather every note once; without images, no name of an image is left in any."""
    notes = list(dict.fromkeys([*found.notes, *found.model.provenance["notes"]]))
    return notes if images else _nameless(notes, _image_names(found))


def _image_names(found: Assessment) -> set[str]:
    known = (part.values() for part in found.model.parts.values())
    return {
        *(sample.name for sample in (*found.collection.samples, *found.prepared.samples)),
        *(name for names in known for name in names),
    }


def _without(note: str, name: str) -> str:
    within = r"\(first.*\)" if re.fullmatch(r"\d{1,4}", name) else ".+"
    own = rf"(?<!\w){re.escape(name)}(?!\w)"
    return re.sub(within, lambda part: re.sub(own, "[name left out]", part[0]), note)


def _nameless(notes: Sequence[str], names: Iterable[str]) -> list[str]:
    """Replace names of images; sentences on single files become a count.

    Short numbers, which an array's images are called by, are names only where names are listed: (first: 12, 95).
    """
    kept = [note for note in notes if not note.startswith("not read: ")]
    unread = len(notes) - len(kept)
    # longest first, so that no part of a name is left where another name is its beginning
    for name in sorted((name for name in names if any(name in note for note in kept)), key=len, reverse=True):
        kept = [_without(note, name) for note in kept]
    return [*kept, *([f"{unread} images could not be read"] if unread else [])]
