"""What ConOCC's paper claims, judged by the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from ._pairs import Difference, better, changed, told
from ._shape import Claim, Verdict
from ._verdicts import Truth, above, all_of, judged

__all__ = ["claims"]

_RIVALS = ("ocsvm", "cocsvm", "dagmm", "deep_svdd", "anogan", "sae", "cae")
_AUTOENCODERS = ("cae", "sae", "dagmm")
_DEEP = ("dagmm", "deep_svdd", "anogan")
_COMPACT = ("ocsvm", "cocsvm")
_THROUGHOUT = "abstract, 3.1, conclusion"
_KERNELS = "OCSVM and C-OCSVM are relatively effective on every data set"
_LOW = "all AUROCs on chest X-rays are low, for their images are large and few"
_ITS_OWN = {  # where the paper's own chest X-ray numbers say something else
    "Table 2": "in the paper's own table OCSVM's and SAE's AUPR of abnormal images (0.756, 0.748) are above "
    "ConOCC's 0.739",
    "Table 3": "in the paper's own table the AUPR of abnormal images of D-SVDD (0.671) and CAE (0.638) is above "
    "ConOCC's 0.619",
    "cae": "in the paper's own table CAE (0.576) is below D-SVDD (0.579) and AnoGAN (0.594)",
}

Families = Mapping[str, Mapping[str, Difference]]
"""First method to each other one, and the AUROC of the first minus that of the other."""


def claims(numbers: Mapping[str, Any], *, quick: bool) -> list[Claim]:
    """Judge every claim of abstract, results, discussion and conclusion."""
    if quick:
        return []
    once, folds = numbers["table2_pairs"], numbers["table3_pairs"]

    def ahead(text: str, where: str, one: str, others: Sequence[str], more: str = "") -> Claim:
        return _ahead(text, where, once, one, others, "Table 2", more)

    return [
        ahead("ConOCC is better than all seven rivals", _THROUGHOUT, "conocc", _RIVALS, _ITS_OWN["Table 2"]),
        _ahead("the same under cross-validation", "Table 3", folds, "conocc", _RIVALS, "Table 3", _ITS_OWN["Table 3"]),
        ahead("ConOCC is better than all autoencoder-like models", "3.1", "conocc", _AUTOENCODERS),
        ahead("ConOCC is better than CAE: the constraint helps", "3.1", "conocc", ("cae",)),
        ahead("ConOCC is better than SAE: compactness beats sparsity", "3.1", "conocc", ("sae",)),
        ahead("SAE is better than CAE", "3.1", "sae", ("cae",)),
        ahead("CAE is better than the other deep methods", "3.1", "cae", _DEEP, _ITS_OWN["cae"]),
        ahead("SAE is better than the other deep methods", "3.1", "sae", _DEEP),
        _told_only(
            _KERNELS,
            "3.1",
            _aurocs(numbers, _COMPACT),
            "the paper names no measure; in its own Table 2 OCSVM is last of eight on chest X-rays",
        ),
        _told_only(
            _LOW,
            "3.1",
            _aurocs(numbers, ("conocc", "knn")),
            "the size of the images was not varied here; knn has the same few images",
        ),
        Claim("best on breast MRI and on FFDM", "Tables 2 and 3", Verdict.UNTESTED, "the images are not published"),
        _robust(numbers["figure5"]),
        _high(numbers["figure5"]),
        *_features(numbers["figure6"]),
    ]


def _ahead(
    text: str, where: str, families: Families, one: str, others: Sequence[str], cell: str, more: str = ""
) -> Claim:
    """Ask that a method is better than each of the others beyond chance; one that is better than it refutes that."""
    found = {other: families[one][other] for other in others if other in families.get(one, {})}
    if not found:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    missing = [other for other in others if other not in found]
    parts = [f"{one} minus " + "; ".join(f"{other} {told(difference)}" for other, difference in found.items())]
    parts += ["150 epochs, and the same abnormal images in every fold"] if cell == "Table 3" else []
    parts += ["anogan with a quarter of its channels"] if "anogan" in found else []
    parts += [more] if more else []
    parts += [f"not run yet: {', '.join(missing)}"] if missing else []
    truth = all_of([*map(better, found.values()), *[None] * len(missing)])
    return judged(text, where, truth, "; ".join(parts), f"{cell}: paired differences of AUROC")


def _told_only(text: str, where: str, aurocs: Mapping[str, float], why: str) -> Claim:
    """Put our numbers beside a claim that has no measure of its own."""
    listed = ", ".join(f"{row} {value:.3f}" for row, value in aurocs.items())
    return Claim(text, where, Verdict.UNTESTED, f"{why}; AUROC here: {listed or 'not run yet'}")


def _aurocs(numbers: Mapping[str, Any], methods: Sequence[str]) -> dict[str, float]:
    rows = numbers["table2"].items()
    return {row: found["auroc"]["value"] for row, found in rows if row.partition(" ")[0] in methods}


def _robust(grid: Mapping[str, Any]) -> Claim:
    """Ask that λ moves CAE beyond chance, and ConOCC less and not beyond chance in a majority of settings.

    It is refuted where λ moves ConOCC beyond chance in a majority of settings.
    """
    text, where = "ConOCC is robust to λ in a majority of γ and T, where CAE is not", "4.1, Figure 5"
    change: Mapping[str, Difference] = grid["change"]
    cae = change.get("cae")
    ours = {setting: difference for setting, difference in change.items() if setting != "cae"}
    if cae is None or not ours:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    sizes = [abs(difference["value"]) for difference in ours.values()]
    steadier = sum(abs(one["value"]) < abs(cae["value"]) and not changed(one) for one in ours.values())
    moved = sum(map(changed, ours.values()))
    why = (
        f"the smaller λ changes CAE's AUROC by {told(cae)}, ConOCC's by {fmean(sizes):.3f} on average, by less than "
        f"CAE's and not beyond chance in {steadier} of {len(ours)} settings, beyond chance in {moved}; "
        "150 epochs, in which the smaller λ may not have converged; chest X-rays; one seed per setting of ConOCC, as "
        "published, so what another seed would change is in these differences"
    )
    why += f"; not run yet: {grid['missing']} settings" if grid["missing"] else ""
    majority: Truth = True if 2 * steadier > len(ours) else False if 2 * moved > len(ours) else None
    truth = None if grid["missing"] else all_of([True if changed(cae) else None, majority])
    return judged(text, where, truth, why, "Figure 5")


def _high(grid: Mapping[str, Any]) -> Claim:
    """Ask that a majority of ConOCC's settings is above CAE at the same λ, the plane in the paper's drawing."""
    text, where = "ConOCC's AUROC is high, above CAE's plane, in a majority of γ and T", "4.1, Figure 5"
    against: Mapping[str, Difference] = grid["minus_cae"]
    if len(against) < 2:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    sides = [better(difference) for difference in against.values()]
    aurocs = [grid["auroc"][row] for row in against]
    why = (
        f"above CAE beyond chance in {sides.count(True)} of {len(sides)} settings and rates, below in "
        f"{sides.count(False)}; AUROC {fmean(aurocs):.3f} ± {stdev(aurocs):.3f} over them, {min(aurocs):.3f} to "
        f"{max(aurocs):.3f}; it says stable, too, and not how stable; one seed per setting, as published"
    )
    why += f"; not run yet: {grid['missing']} settings" if grid["missing"] else ""
    majority = next((side for side in (True, False) if 2 * sides.count(side) > len(sides)), None)
    return judged(text, where, None if grid["missing"] else majority, why, "Figure 5")


def _features(figure: Mapping[str, Any]) -> list[Claim]:
    """Ask what t-SNE was to show of numbers: size, density and neighbours of codes, over seeds."""
    compact = "features of the given class are more compact than CAE's"
    dense = "they get denser towards the centre: more than CAE's lie within half the 95 % radius"
    apart = "both classes are easier to tell apart by their features, distances within smaller than between"
    if "against_cae" not in figure:
        return [
            Claim(text, where, Verdict.UNTESTED, "not run yet")
            for text, where in ((compact, "4.2, Figure 6"), (dense, "4.2, Figure 6"), (apart, "abstract, 3.1"))
        ]
    against = figure["against_cae"]

    def claim(text: str, where: str, name: str, low_is_good: bool, more: str) -> Claim:
        gap = against[name]
        larger = above(gap, 0.0)
        truth = larger if larger is None else larger != low_is_good
        bounds = "no interval" if gap["low"] is None else f"[{gap['low']:+.3f}, {gap['high']:+.3f}]"
        why = f"ConOCC minus CAE over {gap['seeds']} seeds {gap['value']:+.3f} {bounds}; {more}"
        return judged(text, where, truth, f"{why}; 150 epochs, chest X-rays", "Figure 6 in numbers")

    return [
        claim(
            compact,
            "4.2, Figure 6",
            "log_spread",
            True,
            "of the log of mean ‖z−μ‖², in absolute units, which the constraint lowers and the decoder can undo",
        ),
        claim(dense, "4.2, Figure 6", "inner", False, "of a share that also falls with the number of dimensions used"),
        claim(apart, "abstract, 3.1", "purity", False, "of the share of test neighbours with the same label"),
    ]
