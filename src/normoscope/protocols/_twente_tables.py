"""The tables of the Twente study, from its numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from ._data import DATA
from ._pairs import told
from ._rows import REFERENCES
from ._shape import Table
from ._tables import spread
from ._twente_images import NOISE
from ._twente_numbers import RULES, Share
from ._twente_paper import ANOMALIES, FASHION, PUBLISHED, SETS
from ._verdicts import printed

__all__ = ["percent", "tables"]

_GREY = math.log(2)
_NOTHING = "–"
_DETECTION = ["AUROC", *(f"{rule}: {what}" for rule in RULES for what in ("detected %", "false alarms %"))]


def tables(numbers: Mapping[str, Any], absent: Collection[str], *, quick: bool) -> list[Table]:
    """Return the tables that have rows; a set that is absent or not run stands in the paper's with the reason.

    Args:
        numbers: As the protocol stores them.
        absent: Names of data sets that are not there.
        quick: Say that this is no reproduction.
    """
    found = [
        _paper(numbers, absent, quick),
        _reconstruction(numbers["reconstruction"]),
        _artificial(numbers["artificial"], numbers["counts"]),
        _sweep(numbers["sweep"]),
        _real(numbers["real"], numbers["counts"]),
        _against_references(numbers["against_references"]),
        _cost(numbers["cost"], numbers["cost_ratios"]),
        _entropy(numbers["entropy"]),
    ]
    return [table for table in found if table.rows]


def percent(values: Sequence[float]) -> str:
    """Print the mean ± sd of shares in per cent; one value alone has no sd."""
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{deviation}"


def _flagged(share: Share) -> str:
    """Print a share over seeds in per cent with its interval over images and seeds."""
    bounds = "" if share["low"] is None else f" [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
    return percent(share["by_seed"]) + bounds


def _paper(numbers: Mapping[str, Any], absent: Collection[str], quick: bool) -> Table:
    """Table 1 as the paper counts: two-sided; beside each rate the false alarms; and what needs no network."""

    def rate(found: Mapping[str, Any] | None, missing: str, score: str = "bce") -> str:
        if found is None:
            return missing
        rates, alone = found[score]["two-sided"], found[score].get("normals_alone")
        if rates is None:
            return f"no bounds; AUROC {found[score]['auroc']['value']:.3f}"
        alarms = alone["two-sided"] if alone else rates["false_alarms"]
        return f"{_flagged(rates['detected'])} ({_flagged(alarms)})"

    rows = []
    for name in SETS:
        paper, missing = PUBLISHED[name], "not run: data absent" if name in absent else "not run yet"
        stranger = "not run: data absent" if FASHION in absent else missing
        trained = numbers["reconstruction"].get(name)
        kinds, timed = numbers["artificial"].get(name, {}), numbers["cost"].get(name)
        rows.append(
            [
                DATA[name].title,
                _small(trained["train"]["bce"]) if trained else missing,
                f"{paper.bce:.4f}",
                rate(kinds.get("fashion"), stranger),
                f"{paper.fashion:.1f}",
                rate(kinds.get("noise"), missing),
                f"{paper.noise:.1f}",
                "n/a" if paper.real is None else rate(numbers["real"].get(name), missing),
                "n/a" if paper.real is None else f"{paper.real:.1f}",
                _tenths(timed["rate"]) if timed else missing,
                f"{paper.rate:.2f}",
            ]
        )
        judged = {"fashion": kinds.get("fashion"), "noise": kinds.get("noise"), "real": numbers["real"].get(name)}
        for score in ("mse", *REFERENCES):
            cells = [
                "n/a" if kind == "real" and paper.real is None else rate(some, _NOTHING, score)
                for kind, some in judged.items()
            ]
            if any(judged.values()):
                shown = [cell for one in cells for cell in (one, _NOTHING)]
                rows.append([f"{DATA[name].title}, {score}", _NOTHING, _NOTHING, *shown, _NOTHING, _NOTHING])
    heads = ("recon. BCE", "FashionMNIST %", "Gaussian noise %", "real anomalies %", "images / s")
    notes = [
        "mean ± sd over seeds [95 % interval over images and seeds]; in round brackets the false alarms on held-out "
        "images, of the normal class where there is one, which the paper leaves out",
        "flagged: outside mean ± 2 sd of the training images' values, the paper's rule; by cross-entropy, in the rows "
        "below by squared error and by what needs no network",
        "the rule also flags what is reconstructed better than the training images: see the upper half in Experiment 2",
        "the paper's 87.3, 82.5 and 85.9 % of 500 anomalies would be 436.5, 412.5 and 429.5 images",
        "patients are not known: images count as independent, which makes intervals too narrow where one has several",
        f"a grey image has a BCE of {_GREY:.3f}: a published error above it is no converged network's on greys in "
        "[0, 1]",
    ]
    if quick:
        notes.append("few images, few epochs, one seed: a check that all runs, no reproduction")
    return Table("Table 1, as the paper counts", ["data", *_ours_and_paper(heads)], rows, notes)


def _ours_and_paper(heads: Sequence[str]) -> list[str]:
    return [f"{head}{who}" for head in heads for who in ("", ", paper")]


def _reconstruction(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            DATA[name].title,
            part.replace("_", "-"),
            *(spread(some[measure]) for measure in ("bce", "floor")),
            f"{_GREY:.3f}",
            spread([bce - floor for bce, floor in zip(some["bce"], some["floor"], strict=True)]),
            *(_small(some[measure]) for measure in ("mse", "mean_image")),
            percent([mse / mean for mse, mean in zip(some["mse"], some["mean_image"], strict=True)]),
        ]
        for name, parts in found.items()
        for part, some in parts.items()
    ]
    columns = ["data", "images", "BCE", "BCE of a perfect copy", "BCE of grey", "BCE above the perfect copy",
               "MSE", "MSE of the mean image", "MSE left, % of the mean image's"]  # fmt: skip
    notes = [
        "trained on all classes; mean over images, mean ± sd over seeds",
        "cross-entropy of grey values is not 0 for a perfect copy: only what lies above it is the network's error",
    ]
    return Table("Experiment 1: reconstruction error", columns, rows, notes)


def _small(values: Sequence[float]) -> str:
    """Print small errors with five decimals."""
    deviation = f" ± {stdev(values):.5f}" if len(values) > 1 else ""
    return f"{fmean(values):.5f}{deviation}"


def _tenths(values: Sequence[float]) -> str:
    """Print seconds and rates with one decimal."""
    deviation = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{deviation}"


def _detection(found: Mapping[str, Any]) -> list[str]:
    """Return the cells of one score: AUROC, and both rules' rates."""
    auroc = found["auroc"]
    value = spread(auroc["by_seed"])
    bounds = "" if auroc["low"] is None else f" [{auroc['low']:.3f}, {auroc['high']:.3f}]"
    cells = [value + bounds]
    for rule in RULES:
        rates = found[rule]
        cells += [_flagged(rates[what]) for what in ("detected", "false_alarms")] if rates else [_NOTHING] * 2
    return cells


def _counted(counts: Mapping[str, Mapping[str, int]], experiment: str) -> list[str]:
    """Say of how many images of each kind the shares are."""
    of = {row.partition(" ")[2]: count for row, count in counts.items() if row.partition(" ")[0] == experiment}
    said = [f"{DATA[name].title} {', '.join(f'{kind} {n:,}' for kind, n in one.items())}" for name, one in of.items()]
    return [f"images: {'; '.join(said)}".replace("_", " ")] if said else []


def _artificial(found: Mapping[str, Any], counts: Mapping[str, Any]) -> Table:
    names = {"fashion": "FashionMNIST", "noise": "own images + noise, σ 0.2"}
    rows = []
    for name, kinds in found.items():
        for kind, scores in kinds.items():
            for score, judged in scores.items():
                alarms = judged.get("normals_alone")
                alone = [_flagged(alarms[rule]) if alarms else _NOTHING for rule in RULES]
                rows.append([DATA[name].title, names[kind], score, *_detection(judged), *alone])
    columns = ["data", "anomalies", "score", *_DETECTION, *(f"{rule}: false alarms, normal class %" for rule in RULES)]
    notes = [
        f"trained on all classes; up to {ANOMALIES} anomalies of a kind; false alarms on held-out test images of all "
        "classes, and on those of the normal class alone where the set is medical",
        "thresholds are mean ± 2 sd of the training images' scores; knn has none, for it knows the training images",
        "mean ± sd over seeds [95 % interval over images and seeds]; an AUROC below 0.5 means that anomalies are "
        "reconstructed better, and what is flagged then lies below the lower bound",
        *_counted(counts, "artificial"),
    ]
    return Table("Experiment 2: artificial anomalies", columns, rows, notes)


def _sweep(found: Mapping[str, Any]) -> Table:
    scores = next((list(of["clean"]) for of in found.values()), [])
    rows = []
    for name, of in found.items():
        alarms = [_flagged(of["clean"][score][rule]) for score in scores for rule in RULES]
        rows.append([DATA[name].title, "0 (false alarms)", "1.000", *alarms])
        for sigma, some in of["noise"].items():
            rates = [_flagged(some[score][rule]) for score in scores for rule in RULES]
            rows.append([DATA[name].title, sigma, spread(some["likeness"]), *rates])
    columns = ["data", "σ", "likeness", *(f"{score}, {rule} %" for score in scores for rule in RULES)]
    notes = [
        "detected share of own held-out images with Gaussian noise of deviation σ, clipped to [0, 1]; at 0 the same "
        "images without noise; mean ± sd over seeds [95 % interval over images and seeds]",
        "of what needs no network the gradient alone was followed; the others stand in Experiment 2 at 0.2",
        "likeness: mean correlation of noisy and clean image",
    ]
    return Table("Detection and false alarms against the noise", columns, rows, notes)


def _real(found: Mapping[str, Any], counts: Mapping[str, Any]) -> Table:
    rows = [
        [DATA[name].title, score, *_detection(judged), _in_test(judged), _published_real(name, score)]
        for name, scores in found.items()
        for score, judged in scores.items()
    ]
    columns = ["data", "score", *_DETECTION, "two-sided: detected %, test part alone", "two-sided: detected %, paper"]
    notes = [
        "trained on normals of the official train and validation parts; false alarms on normals of the test part",
        f"detected: of up to {ANOMALIES} abnormal images, those of the test part first, the rest borrowed from train "
        "and validation, as the paper must have done; AUROC on the test part alone",
        "MNIST has no real anomalies",
        *_counted(counts, "real"),
    ]
    return Table("Experiment 3: real anomalies", columns, rows, notes)


def _in_test(judged: Mapping[str, Any]) -> str:
    rates = judged["two-sided"]
    return _flagged(rates.get("detected_in_test", rates["detected"])) if rates else _NOTHING


def _against_references(found: Mapping[str, Mapping[str, Any]]) -> Table:
    names = {"fashion": "FashionMNIST", "noise": "own images + noise, σ 0.2", "abnormal": "real anomalies"}
    rows = [
        [DATA[name].title, names[kind], error, *(told(of_error[other]) for other in REFERENCES)]
        for name, kinds in found.items()
        for kind, errors in kinds.items()
        for error, of_error in errors.items()
    ]
    columns = ["data", "anomalies", "error", *(f"AUROC minus that of {other}, Holm" for other in REFERENCES)]
    notes = [
        "difference [95 %, not adjusted], p-value adjusted by Holm over the eight of a set and kind; paired DeLong "
        "over images, with a noisy copy its image, and seeds",
    ]
    return Table("The network's errors against what needs no network", columns, rows, notes)


def _published_real(name: str, score: str) -> str:
    paper = PUBLISHED[name].real if score == "bce" else None
    return _NOTHING if paper is None else f"{paper:.1f}"


def _cost(found: Mapping[str, Any], ratios: Mapping[str, Any] | None) -> Table:
    names = [*SETS, NOISE]
    timed = ratios["sets"] if ratios else {}
    rows = []
    for name in names:
        if name not in found and name not in timed:
            continue
        one, turns = found.get(name), timed.get(name)
        paper = PUBLISHED.get(name)
        rows.append(
            [
                DATA[name].title if name in DATA else name,
                f"{one['images']}" if one else _NOTHING,
                _tenths(one["seconds"]) if one else _NOTHING,
                _tenths(one["rate"]) if one else _NOTHING,
                f"{paper.images} / {paper.seconds:g} = {paper.rate:.2f}" if paper else _NOTHING,
                printed(turns["ratio"]) if turns else _NOTHING,
            ]
        )
    columns = ["data", "images", "training seconds", "images / s", "images / s, paper", "seconds in turns, ratio"]
    notes = [
        "training steps alone, all epochs, one thread, other jobs beside it; there Google Colab; mean ± sd over seeds"
    ]
    if ratios:
        first, images = ratios["first"], ratios["images"]
        title = DATA[first].title if first in DATA else first
        notes += [
            f"ratio: {images} images of every set in turns in one process, an epoch each; seconds over {title}'s "
            f"[95 % interval over {ratios['processes']} processes]",
            f"one image's forward pass takes {ratios['flops'] / 1e6:.2f} million floating-point operations, "
            "whatever it shows",
        ]
    return Table("Experiment 4: computational cost", columns, rows, notes)


def _entropy(found: Mapping[str, Any]) -> Table:
    measures = {
        "shannon": "Shannon entropy, bits",
        "local": "local, 7 x 7, bits",
        "bytes": "bytes compressed",
        "neighbours": "correlation of neighbours",
        "floor": "BCE of a perfect copy",
    }
    rows = [
        [
            DATA[name].title if name in DATA else name,
            f"{values['images']}",
            *(f"{values[measure]['mean']:.3f} ± {values[measure]['sd']:.3f}" for measure in measures),
        ]
        for name, values in found.items()
    ]
    notes = [
        "mean ± sd over images of 784 pixels of 8 bits; in blocks of 49 pixels the entropy is at most 5.61 bits",
        "neighbours: of horizontally adjacent pixels; 0 in noise, 1 in a smooth image",
    ]
    return Table("Image entropy", ["data", "images", *measures.values()], rows, notes)
