"""What ConOCC's paper claims, judged by the numbers of its protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from ._conocc_grid import SIDE
from ._conocc_tables import METRICS, PUBLISHED
from ._pairs import Difference, better, changed, least, most, told
from ._shape import Claim, Verdict
from ._tables import spread
from ._verdicts import Truth, above, all_of, judged

__all__ = ["claims"]

_RIVALS = ("ocsvm", "cocsvm", "dagmm", "deep_svdd", "anogan", "sae", "cae")
_AUTOENCODERS = ("cae", "sae", "dagmm")
_DEEP = ("dagmm", "deep_svdd", "anogan")
_COMPACT = ("ocsvm", "cocsvm")
_PAIRS = {"Table 2": "table2_pairs", "Table 3": "table3_pairs"}
_THROUGHOUT = "abstract, 3.1, conclusion"
_BY_FEATURES = "3.1; abstract, conclusion"
_KERNELS = "OCSVM and C-OCSVM are relatively effective on every data set"
_LOW = "AUROCs on chest X-rays are relatively low, probably for their images are large and few"
_ON_BREAST = {  # where the paper's AUROCs on its own images say something else
    ("cae", "Table 2"): "on FFDM CAE (0.675) is below AnoGAN (0.676)",
    ("cae", "Table 3"): "on FFDM CAE (0.650) is below D-SVDD (0.662) and AnoGAN (0.705)",
}
_HANDICAPS = {  # what keeps a rival from being the paper's
    "anogan": "anogan with a quarter of its channels and 200 of 500 search steps",
    "dagmm": "dagmm with 8 latent dimensions",
    "sae": "sae with a weak penalty of our choice",
}

Families = Mapping[str, Mapping[str, Mapping[str, Difference]]]
"""Whom of two with a λ of two the test favours, to the first method, to each other one and the difference."""


def claims(numbers: Mapping[str, Any], *, quick: bool) -> list[Claim]:
    """Judge every claim of abstract, results, discussion and conclusion."""
    if quick:
        return []

    def ahead(text: str, where: str, one: str, others: Sequence[str]) -> list[Claim]:
        """Ask it of both tables, as the paper draws its observations from both."""
        return [_ahead(text, where, numbers[pairs], one, others, table) for table, pairs in _PAIRS.items()]

    return [
        *ahead("ConOCC is better than all seven rivals", _THROUGHOUT, "conocc", _RIVALS),
        *ahead("ConOCC is better than the autoencoder-like CAE, SAE and DAGMM", "3.1", "conocc", _AUTOENCODERS),
        *ahead("ConOCC is better than CAE: the constraint helps", "3.1", "conocc", ("cae",)),
        *ahead("ConOCC is better than SAE: compactness beats sparsity", "3.1", "conocc", ("sae",)),
        *ahead("SAE is better than CAE", "3.1", "sae", ("cae",)),
        *ahead("CAE is better than the other deep methods", "3.1", "cae", _DEEP),
        *ahead("SAE is better than the other deep methods", "3.1", "sae", _DEEP),
        _told_only(
            _KERNELS,
            "3.1",
            _aurocs(numbers, _COMPACT),
            "the paper names no measure; in its own Table 2 OCSVM is last of eight on chest X-rays by AUROC, and first "
            "by AUPR of abnormal images",
        ),
        Claim(
            "... for kernel methods are effective on small data sets",
            "3.1",
            Verdict.UNTESTED,
            "offered as a possible reason; the number of images is not varied, here or there",
        ),
        Claim(
            "... CAE and SAE are ahead, so reconstruction may suit medical images better; it converges to local optima",
            "3.1",
            Verdict.UNTESTED,
            "offered as reasons; no experiment parts them",
        ),
        _told_only(
            _LOW,
            "3.1",
            _aurocs(numbers, ("conocc", "knn")),
            "the size of the images was not varied here; the paper's chest X-rays are its largest training set; knn "
            "has the same images",
        ),
        Claim("best on breast MRI and on FFDM", "Tables 2 and 3", Verdict.UNTESTED, "the images are not published"),
        _robust(numbers["rate"], numbers["figure5"]),
        _high(numbers["figure5"]),
        *_features(numbers["figure6"]),
        Claim(
            "features are compact and descriptive, and the decoder amplifies how classes differ",
            "abstract, 3.1, conclusion",
            Verdict.UNTESTED,
            "the paper names no measure; the AUROCs above show what comes of it",
        ),
    ]


_AT_TWO_RATES = {"cae", "cocsvm", "sae"}
"""What is compared once it was run at both λ, of which normals choose one and the test the other."""


def _ahead(text: str, where: str, families: Families, one: str, others: Sequence[str], table: str) -> Claim:
    """Ask that a method is better than each of the others beyond chance; one that is better than it refutes that.

    Better: even with the λ of the other that the test favours. Refuted: even with its own λ that the test favours.
    """
    text += f" (AUROC, chest X-rays, {table})"
    strict, lenient = (families[favour].get(one, {}) for favour in ("rival", "first"))
    found = {other: strict[other] for other in others if other in strict}
    if not found:
        rates = " at both λ" if {one, *others} & _AT_TWO_RATES else ""
        return Claim(text, where, Verdict.UNTESTED, f"not run yet{rates}")
    missing = [other for other in others if other not in found]
    parts = [f"{one} minus " + "; ".join(f"{other} {told(difference)}" for other, difference in found.items())]
    swapped = {other: lenient[other] for other in found if other in lenient}
    listed = "; ".join(f"{o} {told(of)}" for o, of in swapped.items() if of["rows"] != found[o]["rows"])
    parts += [f"with {one}'s λ by the test, the other's by normals: {listed}"] if listed else []
    parts += ["150 epochs, and the same abnormal images in every fold"] if table == "Table 3" else []
    parts += [text for method, text in _HANDICAPS.items() if method == one or method in found]
    parts += _against_itself(one, others, table)
    halves = [other for other in missing if other in _AT_TWO_RATES]
    parts += [f"not run yet at both λ: {', '.join(halves)}"] if halves else []
    parts += (
        [f"not run yet: {', '.join(whole)}"] if (whole := [other for other in missing if other not in halves]) else []
    )
    truths: list[Truth] = [
        True if better(difference) else False if other in swapped and better(swapped[other]) is False else None
        for other, difference in found.items()
    ]
    truth = all_of([*truths, *[None] * len(missing)])
    return judged(text, where, truth, "; ".join(parts), f"{table}: paired differences of AUROC")


def _against_itself(one: str, others: Sequence[str], table: str) -> list[str]:
    """Say where the paper's own table has another method above the one that it calls better."""
    column = int(table == "Table 3")
    published = {
        method: [float(np.ravel(value)[0]) for value in PUBLISHED[method][column]] for method in (one, *others)
    }
    said = [
        f"{metric} of {other} {theirs:.3f} above {own:.3f}"
        for other in others
        for metric, theirs, own in zip(METRICS, published[other], published[one], strict=True)
        if theirs > own
    ]
    said += [_ON_BREAST[one, table]] if (one, table) in _ON_BREAST else []
    return [f"in the paper's own table {', '.join(said)}"] if said else []


def _told_only(text: str, where: str, aurocs: Mapping[str, float], why: str) -> Claim:
    """Put our numbers beside a claim that has no measure of its own."""
    listed = ", ".join(f"{row} {value:.3f}" for row, value in aurocs.items())
    return Claim(text, where, Verdict.UNTESTED, f"{why}; AUROC here: {listed or 'not run yet'}")


def _aurocs(numbers: Mapping[str, Any], methods: Sequence[str]) -> dict[str, float]:
    rows = numbers["table2"].items()
    return {row: found["auroc"]["value"] for row, found in rows if row.partition(" ")[0] in methods}


_ROBUST = 0.5
"""Share of what λ moves CAE by that it may move ConOCC by; the paper names no measure of robust."""

_CONDITIONS = "robust is read as: moved at most half as much as CAE; chest X-rays, γ = 10, T = 60"


def _robust(rate: Mapping[str, Difference], grid: Mapping[str, Any]) -> Claim:
    """Ask at full length that λ moves CAE beyond chance, and ConOCC at most half as much, with both whole intervals.

    It is refuted where λ moves ConOCC more, by the same measure. The grid decides nothing: by its end the smaller
    λ has not converged, so what changes there is how far training has come.
    """
    text, where = "CAE is influenced by λ significantly, whereas ConOCC is robust to λ", "4.1, Figure 5"
    parts = [f"at 1,000 epochs the smaller λ changes the AUROC of {name} by {told(of)}" for name, of in rate.items()]
    change: Mapping[str, Difference] = grid["change"]
    cae, ours = change.get("cae"), [abs(of["value"]) for setting, of in change.items() if setting != "cae"]
    if cae is not None and ours:
        parts.append(
            f"at 150 and {SIDE} px, when it has not converged, that of cae by {told(cae)} and conocc's by "
            f"{fmean(ours):.3f} on average over {len(ours)} settings of γ and T"
        )
    if len(rate) < 2:
        return Claim(text, where, Verdict.UNTESTED, "; ".join(["not run yet", *parts]))
    plain, constrained = rate["cae"], rate["conocc"]
    truth: Truth = None
    if plain["low"] is not None and constrained["low"] is not None:
        if changed(plain) and most(constrained) <= _ROBUST * least(plain):
            truth = True
        elif changed(constrained) and most(plain) < least(constrained):
            truth = False
    return judged(text, where, truth, "; ".join([*parts, _CONDITIONS]), "Figure 5")


def _high(grid: Mapping[str, Any]) -> Claim:
    """Count ConOCC's settings above CAE at the same λ, the plane in the paper's drawing.

    Nothing is decided: what another seed would change in a setting is not known of one, and all forty share it.
    """
    text = "ConOCC is above CAE at the same λ in a majority of γ and T (our reading of high; stable is not judged)"
    where = "4.1, Figure 5"
    against: Mapping[str, Difference] = grid["minus_cae"]
    if len(against) < 2:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    sides = [better(difference) for difference in against.values()]
    aurocs = [grid["auroc"][row] for row in against]
    why = (
        f"above CAE beyond chance in {sides.count(True)} of {len(sides)} settings and rates, below in "
        f"{sides.count(False)}; AUROC {fmean(aurocs):.3f} ± {stdev(aurocs):.3f} over them, {min(aurocs):.3f} to "
        f"{max(aurocs):.3f}; 150 epochs at {SIDE} px, one seed per setting, as published, "
        "so that what another would change is not known"
    )
    listed = ", ".join(f"{name} {value:.3f}" for name, value in grid["beside"].items())
    why += f"; without any of these settings: {listed}" if listed else ""
    why += f"; not run yet: {grid['missing']} settings" if grid["missing"] else ""
    return Claim(text, where, Verdict.UNTESTED, why, "Figure 5")


def _features(figure: Mapping[str, Any]) -> list[Claim]:
    """Ask what t-SNE was to show of numbers: size and neighbours of codes, over seeds."""
    compact = "features of the given class are more compact than CAE's"
    dense = "the sample density increases towards the centre"
    apart = "distances within a class get smaller and those between classes larger"
    told_apart = "samples of different classes are more distinguishable by their features than by CAE's (our measure)"
    if "against_cae" not in figure:
        texts = {compact: "4.2, Figure 6", dense: "4.2, Figure 6", apart: "3.1", told_apart: _BY_FEATURES}
        return [Claim(text, where, Verdict.UNTESTED, "not run yet") for text, where in texts.items()]
    conditions = "both at λ = 1e-3, 150 epochs, chest X-rays; what other images would change is not in the interval"

    def claim(text: str, where: str, name: str, low_is_good: bool, more: str) -> Claim:
        gap = figure["against_cae"][name]
        larger = above(gap, 0.0)
        truth = larger if larger is None else larger != low_is_good
        value = "undefined" if gap["value"] is None else f"{gap['value']:+.3f}"
        bounds = "no interval" if gap["low"] is None else f"[{gap['low']:+.3f}, {gap['high']:+.3f}]"
        why = f"ConOCC minus CAE over {gap['seeds']} seeds {value} {bounds}; {more}"
        return judged(text, where, truth, f"{why}; {conditions}", "Figure 6 in numbers")

    def listed(of: Callable[[Mapping[str, Any]], float]) -> str:
        return ", ".join(f"{method} {spread([of(seed) for seed in figure[method]])}" for method in ("cae", "conocc"))

    return [
        claim(
            compact,
            "4.2, Figure 6",
            "log_spread",
            True,
            "of the log of mean ‖z−μ‖², in absolute units, which the constraint lowers and the decoder can undo",
        ),
        Claim(
            dense,
            "4.2, Figure 6",
            Verdict.UNTESTED,
            "in hundreds of dimensions density cannot be counted, and a drawing by t-SNE does not keep it; share of "
            f"the training codes within half the 95 % radius: {listed(lambda one: one['inner']['train'])}",
        ),
        Claim(
            apart,
            "3.1",
            Verdict.UNTESTED,
            "no measure is named; mean ‖z−μ‖² of abnormal over that of normal test images: "
            + listed(lambda one: one["spread"]["abnormal"] / (one["spread"]["normal"] or math.nan)),
        ),
        claim(
            told_apart,
            _BY_FEATURES,
            "purity",
            False,
            "of the share of a test image's nearest neighbours with its label, some of its own patient",
        ),
    ]
