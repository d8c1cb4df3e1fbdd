"""Every claim of the Twente study follows the numbers, and turns where they do."""

from __future__ import annotations

import copy
from typing import Any

from normoscope.protocols import Verdict
from normoscope.protocols._twente_claims import claims
from normoscope.protocols._twente_images import NOISE


def seeds(value: float) -> list[float]:
    """Three seeds around a value."""
    return [value - 0.002, value, value + 0.002]


def area(auroc: float) -> dict[str, float]:
    return {"value": auroc, "low": auroc - 0.05, "high": auroc + 0.05}


def rates(detected: float, alarms: float = 0.05, auroc: float = 0.6) -> dict[str, Any]:
    shares = {"detected": seeds(detected), "false_alarms": seeds(alarms)}
    one = {"auroc": area(auroc), "two-sided": shares, "upper": shares}
    return {"bce": one, "mse": copy.deepcopy(one)}


def swept(shares: list[float], likeness: list[float]) -> dict[str, Any]:
    return {
        sigma: {"likeness": [like], "bce": {"two-sided": seeds(share)}, "mse": {"two-sided": seeds(share)}}
        for sigma, share, like in zip(("0.1", "0.2", "0.3"), shares, likeness, strict=True)
    }


def errors(bce: float, floor: float, mse: float) -> dict[str, Any]:
    part = {"bce": seeds(bce), "floor": [floor] * 3, "mse": [mse] * 3, "mean_image": [0.02] * 3}
    return {"train": part, "held_out": part}


def ratio(value: float, low: float, high: float) -> dict[str, Any]:
    return {"ratio": {"value": value, "low": low, "high": high}}


def measured(shannon: float, neighbours: float) -> dict[str, Any]:
    found = {"shannon": shannon, "local": shannon - 1, "bytes": 100 * shannon, "neighbours": neighbours}
    return {"images": 400, **{name: {"mean": value, "sd": 1.0} for name, value in found.items()}}


def numbers() -> dict[str, Any]:
    """As the paper has it, but for its errors: MNIST and PneumoniaMNIST, no OCTMNIST."""
    return {
        "reconstruction": {"mnist": errors(0.10, 0.06, 0.004), "pneumoniamnist": errors(0.63, 0.62, 0.003)},
        "artificial": {
            "mnist": {"fashion": rates(0.96), "noise": rates(0.87)},
            "pneumoniamnist": {"fashion": rates(0.85), "noise": rates(0.80)},
        },
        "real": {"pneumoniamnist": rates(0.26)},
        "sweep": {
            "mnist": swept([0.8, 0.9, 1.0], [0.97, 0.9, 0.8]),
            "pneumoniamnist": swept([0.2, 0.8, 1.0], [0.9, 0.85, 0.4]),
        },
        "cost_ratios": {
            "first": "mnist",
            "sets": {
                "mnist": ratio(1, 1, 1),
                "pneumoniamnist": ratio(1.01, 0.97, 1.05),
                NOISE: ratio(0.99, 0.95, 1.03),
            },
        },
        "entropy": {
            "mnist": measured(1.6, 0.78),
            "pneumoniamnist": measured(6.8, 0.92),
            NOISE: measured(7.7, 0.0),
        },
    }


def verdict(content: dict[str, Any], text: str) -> Verdict:
    [found] = [claim for claim in claims(content) if text in claim.text]
    return found.verdict


def test_claims_are_judged_by_the_numbers_and_absent_sets_wait() -> None:
    content = numbers()
    judged = {
        "is 0.7381": Verdict.FAILS,
        "is 0.5146": Verdict.UNTESTED,
        "86.2 % of FashionMNIST images are detected on Pneumonia": Verdict.HOLDS,
        "26.0 % of real anomalies": Verdict.HOLDS,
        "19.0 % of real anomalies": Verdict.UNTESTED,
        "PneumoniaMNIST's reconstruction error is above": Verdict.HOLDS,
        "struggle to reconstruct": Verdict.FAILS,
        "entropy of chest X-rays is high": Verdict.HOLDS,
        "retinal scans are less random": Verdict.UNTESTED,
        "highly resemble random data": Verdict.UNTESTED,  # by entropy they do, by adjacent pixels they do not
        "scores well on MNIST": Verdict.HOLDS,
        "detected worst on OCTMNIST": Verdict.UNTESTED,
        "spot artificial anomalies well": Verdict.HOLDS,
        "recognisable while more than 75 %": Verdict.HOLDS,
        "right amount of noise is crucial": Verdict.HOLDS,
        "need more noise": Verdict.HOLDS,
        "depends very much on the task": Verdict.HOLDS,
        "not detected impressively": Verdict.HOLDS,
        "higher than that of normals": Verdict.HOLDS,
        "do not change the computational cost": Verdict.HOLDS,
        "custom-made models": Verdict.UNTESTED,
    }
    assert {text: verdict(content, text) for text in judged} == judged
    ran = [claim for claim in claims(content) if claim.verdict is not Verdict.UNTESTED]
    assert all(claim.cell and any(letter.isdigit() for letter in claim.why) for claim in ran)


def test_claims_turn_where_the_numbers_do() -> None:
    content = numbers()
    content["reconstruction"]["pneumoniamnist"] = errors(0.70, 0.62, 0.01)
    content["artificial"]["pneumoniamnist"]["noise"] = rates(0.02)
    content["real"]["pneumoniamnist"] = rates(0.6)
    for score in ("bce", "mse"):
        content["real"]["pneumoniamnist"][score]["auroc"] = area(0.36)
    content["sweep"]["pneumoniamnist"] = swept([0.2, 0.3, 0.4], [0.9, 0.85, 0.4])
    content["cost_ratios"]["sets"]["pneumoniamnist"] = ratio(1.5, 1.3, 1.7)
    content["entropy"]["pneumoniamnist"] = measured(1.0, 0.9)
    turned = {
        "is 0.7381": Verdict.HOLDS,
        "82.5 % of own images": Verdict.FAILS,
        "struggle to reconstruct": Verdict.HOLDS,
        "spot artificial anomalies well": Verdict.FAILS,
        "recognisable while more than 75 %": Verdict.FAILS,
        "right amount of noise is crucial": Verdict.FAILS,
        "need more noise": Verdict.HOLDS,  # no noise is enough
        "not detected impressively": Verdict.FAILS,
        "higher than that of normals": Verdict.FAILS,
        "do not change the computational cost": Verdict.FAILS,
        "entropy of chest X-rays is high": Verdict.FAILS,
        "highly resemble random data": Verdict.FAILS,
    }
    assert {text: verdict(content, text) for text in turned} == turned
    content["entropy"]["pneumoniamnist"] = measured(7.0, 0.1)
    assert verdict(content, "highly resemble random data") is Verdict.HOLDS
    content["cost_ratios"]["sets"]["pneumoniamnist"] = ratio(1.05, 0.9, 1.2)
    assert verdict(content, "do not change the computational cost") is Verdict.UNTESTED
    content["sweep"]["pneumoniamnist"] = swept([0.8, 0.9, 0.3], [0.9, 0.85, 0.4])
    assert verdict(content, "recognisable while more than 75 %") is Verdict.HOLDS  # one spot is enough
    content["reconstruction"]["pneumoniamnist"] = errors(0.70, 0.62, 0.001)
    assert verdict(content, "struggle to reconstruct") is Verdict.UNTESTED  # the measures disagree


def test_what_seeds_disagree_on_and_one_seed_are_undecided() -> None:
    content = numbers()
    real = content["real"]["pneumoniamnist"]
    real["bce"]["two-sided"] = {"detected": [0.2, 0.3, 0.7], "false_alarms": seeds(0.05)}
    real["mse"]["auroc"] = area(0.36)  # by one measure higher, by the other lower
    content["sweep"]["mnist"] = content["sweep"]["pneumoniamnist"]
    content["entropy"]["mnist"] = measured(6.75, 0.78)
    waiting = ("not detected impressively", "26.0 % of real", "higher than that of normals", "need more noise")
    for text in (*waiting, "entropy of chest X-rays is high"):
        assert verdict(content, text) is Verdict.UNTESTED
        assert next(claim for claim in claims(content) if text in claim.text).why.startswith("undecided: ")
    alone = numbers()
    for kinds in alone["artificial"].values():
        for found in kinds.values():
            found["bce"]["two-sided"] = {name: values[:1] for name, values in found["bce"]["two-sided"].items()}
    for text in ("86.2 % of FashionMNIST", "scores well on MNIST", "spot artificial anomalies", "depends very much"):
        assert verdict(alone, text) is Verdict.UNTESTED
