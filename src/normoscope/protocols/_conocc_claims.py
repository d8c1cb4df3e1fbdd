"""What ConOCC's paper claims, judged by the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from ._pairs import Difference, changed, clear, told
from ._shape import Claim, Verdict

__all__ = ["claims"]

_RIVALS = ("ocsvm", "cocsvm", "dagmm", "deep_svdd", "anogan", "sae", "cae")
_DEEP = ("dagmm", "deep_svdd", "anogan")

Families = Mapping[str, Mapping[str, Difference]]
"""First method to each other one, and the AUROC of the first minus that of the other."""


def claims(numbers: Mapping[str, Any], *, quick: bool) -> list[Claim]:
    """Judge every claim of abstract, results and conclusion."""
    if quick:
        return []
    once: Families = numbers["table2_pairs"]
    folds: Families = numbers["table3_pairs"]
    return [
        _ahead(
            "ConOCC's AUROC is above that of all seven rivals",
            "abstract, 3.1, conclusion",
            once,
            "conocc",
            _RIVALS,
            "Table 2",
        ),
        _ahead("the same under cross-validation", "Table 3", folds, "conocc", _RIVALS, "Table 3"),
        _ahead("ConOCC is better than CAE: the constraint helps", "3.1", once, "conocc", ("cae",), "Table 2"),
        _ahead("ConOCC is better than SAE: compactness beats sparsity", "3.1", once, "conocc", ("sae",), "Table 2"),
        _ahead("SAE is better than CAE", "3.1", once, "sae", ("cae",), "Table 2"),
        _ahead("CAE is better than the other deep methods", "3.1", once, "cae", _DEEP, "Table 2"),
        _ahead("SAE is better than the other deep methods", "3.1", once, "sae", _DEEP, "Table 2"),
        _robust(numbers["figure5"]["change"]),
        Claim("best on breast MRI and on FFDM", "Table 2", Verdict.UNTESTED, "the images are not published"),
        _compact(numbers.get("figure6", {})),
    ]


def _ahead(text: str, where: str, families: Families, one: str, others: tuple[str, ...], cell: str) -> Claim:
    """Ask that a method is better than each of the others beyond chance."""
    found = {other: families[one][other] for other in others if other in families.get(one, {})}
    if not found:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    missing = [other for other in others if other not in found]
    why = f"{one} minus " + "; ".join(f"{other} {told(difference)}" for other, difference in found.items())
    why += "; cae and sae at the λ that the test favours (oracle)" if cell == "Table 2" else ""
    why += f"; not run yet: {', '.join(missing)}" if missing else ""
    behind = not all(map(clear, found.values()))
    verdict = Verdict.FAILS if behind else Verdict.UNTESTED if missing else Verdict.HOLDS
    return Claim(text, where, verdict, why, f"{cell}: paired differences of AUROC")


def _robust(change: Mapping[str, Difference]) -> Claim:
    """Ask that λ moves CAE beyond chance, and that it moves ConOCC less in a majority of settings."""
    text, where = "ConOCC is robust to λ in a majority of γ and T, where CAE is not", "4.1, Figure 5"
    cae = change.get("cae")
    ours = {setting: difference for setting, difference in change.items() if setting != "cae"}
    if cae is None or not ours:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    sizes = [abs(difference["value"]) for difference in ours.values()]
    steadier = sum(size < abs(cae["value"]) for size in sizes)
    why = (
        f"the smaller λ changes CAE's AUROC by {told(cae)}, ConOCC's by {fmean(sizes):.3f} on average, by less than "
        f"CAE's in {steadier} of {len(ours)} settings and beyond chance in {sum(map(changed, ours.values()))}"
    )
    holds = changed(cae) and 2 * steadier > len(ours)
    return Claim(text, where, Verdict.HOLDS if holds else Verdict.FAILS, why, "Figure 5")


def _compact(features: Mapping[str, Any]) -> Claim:
    text = "features of the given class are more compact than CAE's, and denser towards the centre"
    if not {"cae", "conocc"} <= set(features):
        return Claim(text, "4.2, Figure 6", Verdict.UNTESTED, "not run yet")
    cae, ours = features["cae"], features["conocc"]
    ratio = ours["spread"]["train"] / cae["variance"]
    holds = ratio < 1 and ours["inner"] > cae["inner"]
    why = (
        f"mean squared distance to the centre {ratio:.2g} of CAE's variance; share within half the 95 % radius "
        f"{ours['inner']:.3f} against {cae['inner']:.3f}; neighbour purity on the test {ours['purity']:.3f} against "
        f"{cae['purity']:.3f} (chance {cae['chance']:.3f}); chest X-rays instead of FFDM"
    )
    return Claim(text, "4.2, Figure 6", Verdict.HOLDS if holds else Verdict.FAILS, why, "Figure 6")
