"""What the Twente study claims, judged by the numbers of its protocol, by its own error and rule.

The paper names the cross-entropy for the error it prints, which decides what is said of that error, and none for its
flags, so shares are asked of cross-entropy and squared error. What two measures tell differently stays open. A claim
about medical images is judged on those that are there, and says which are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ._rows import REFERENCES
from ._shape import Claim, Verdict
from ._twente_images import NOISE
from ._twente_noise import amount_matters, hides, more_noise, sweet_spot
from ._twente_numbers import ERRORS, Share
from ._twente_paper import MEDICAL, PUBLISHED, SETS
from ._twente_truths import (
    CRUCIAL,
    NOT_RUN,
    WELL,
    apart,
    close_to,
    missing_too,
    seeds_above,
    share_above,
    title,
    under_way,
    without,
)
from ._twente_work import PAPER_SIGMA
from ._verdicts import Truth, above, agree, all_of, any_of, judged, opposite, printed

__all__ = ["claims"]


_NEAR_BCE, _NEAR_SHARE, _NEAR_COST = 0.1, 0.1, 0.1
"""Published and measured agree within so much: of the error, in share of images, of the training time."""

_IMPRESSIVE, _LIKE_NOISE = 0.5, 0.8
"""Ours, for the paper names none: a share that is impressive, and what of noise's entropy an image must have, or of a
perfect correlation its pixels must not, to resemble noise."""

_ALARMS = 0.1
"""Share of flagged normals above which no rule does well; two standard deviations promise half of it."""

_KINDS = {"fashion": "FashionMNIST images", "noise": f"own images with noise of σ {PAPER_SIGMA:g}"}


def claims(numbers: Mapping[str, Any]) -> list[Claim]:
    """Judge every claim of abstract, results, discussion and conclusion by the numbers the protocol stores."""
    return [
        Claim(
            "the quality of the data set plays a pivotal role",
            "abstract",
            Verdict.UNTESTED,
            "the quality of the data is not varied, here or there",
        ),
        *(_published_error(numbers, name) for name in SETS),
        *(_published_rate(numbers, name, kind) for name in SETS for kind in _KINDS),
        *(_published_real(numbers, name) for name in MEDICAL),
        Claim(
            "the cost is 33.91, 35.95 and 32.72 images per second",
            "Table 1",
            Verdict.UNTESTED,
            "another machine; ours stands in Experiment 4",
        ),
        _ordered_errors(numbers, "pneumoniamnist", "mnist", "PneumoniaMNIST's reconstruction error is above MNIST's"),
        Claim(
            "... for its images contain no clearly defined shapes",
            "5.1",
            Verdict.UNTESTED,
            "a cause; no shapes are varied, here or there",
        ),
        _ordered_errors(
            numbers, "pneumoniamnist", "octmnist", "OCTMNIST's reconstruction error is below PneumoniaMNIST's"
        ),
        Claim(
            "OCTMNIST resembles MNIST better",
            "3.2.3, 5.1",
            Verdict.UNTESTED,
            "to the eye, and no measure is named; the entropies of the sets stand in the table of image entropy",
        ),
        _struggles(numbers),
        Claim(
            "... due to their high resemblance to random data",
            "6",
            Verdict.UNTESTED,
            "a cause; how much they resemble noise is told below, what follows from it was not varied",
        ),
        _high_entropy(numbers, "mnist", "the entropy of chest X-rays is high", "3.2.2"),
        _high_entropy(numbers, "octmnist", "retinal scans are less random than chest X-rays", "3.2.3"),
        _resembles_noise(numbers),
        _does_well(numbers, ("mnist",), "the model scores well on MNIST", "5.1, 5.3"),
        _weak_on_retina(numbers),
        Claim(
            "... for FashionMNIST looks like retinal scans, or these are not centred",
            "5.1",
            Verdict.UNTESTED,
            "offered as possible reasons",
        ),
        _does_well(
            numbers,
            MEDICAL,
            "autoencoders trained on medical images spot artificial anomalies well",
            "6",
        ),
        _trustworthy(numbers),
        hides(numbers),
        sweet_spot(numbers),
        amount_matters(numbers),
        more_noise(numbers),
        _depends_on_data(numbers),
        _unimpressive(numbers),
        _errors_rise(numbers),
        _strange_errors_rise(numbers),
        Claim(
            "the reconstruction error of medical data is high, which makes finding anomalies inconvenient",
            "5.2",
            Verdict.UNTESTED,
            "a cause; the claims above and below tell either half",
        ),
        Claim(
            "... for normal anatomy varies much, and medical anomalies are often subtle",
            "5.2",
            Verdict.UNTESTED,
            "causes; neither is varied, here or there",
        ),
        Claim(
            "to use this technology efficiently in medicine, knowledge of several fields is required",
            "5.3",
            Verdict.UNTESTED,
            "no experiment says so",
        ),
        Claim(
            "custom-made models reach high accuracy on real anomalies",
            "6",
            Verdict.UNTESTED,
            "the paper cites it and runs none",
        ),
        _cost(numbers, "the cost for the medical data sets does not differ from that for MNIST", "5.1", MEDICAL),
        _cost(numbers, "the nature of the data plays no significant role in the cost", "6", (*MEDICAL, NOISE)),
        Claim(
            "the cost depends on image size, model design and training method",
            "6",
            Verdict.UNTESTED,
            "none of the three is varied, here or there",
        ),
    ]


Rates = Mapping[str, Share]
"""What is detected, and false alarms; of a medical set those on its normals, beside those on all held-out images."""


def _rate(numbers: Mapping[str, Any], name: str, kind: str, score: str) -> Rates | None:
    """Return the rates of the two-sided rule, None where it was not run."""
    found = numbers["artificial"].get(name, {}).get(kind) if kind in _KINDS else numbers["real"].get(name)
    if found is None or found[score]["two-sided"] is None:
        return None
    alone = found[score].get("normals_alone")
    rates: Rates = found[score]["two-sided"]
    return {**rates, "false_alarms": alone["two-sided"], "on_all": rates["false_alarms"]} if alone else rates


def _said(rate: Rates | None) -> str:
    if rate is None:
        return NOT_RUN
    said = f"{100 * rate['detected']['value']:.1f} % at {100 * rate['false_alarms']['value']:.1f} % false alarms"
    return said + (f" on normals, {100 * rate['on_all']['value']:.1f} % on all kinds" if "on_all" in rate else "")


def _both(numbers: Mapping[str, Any], name: str, kind: str) -> str:
    """Say what either error detects, and what the best of the scores without a network does."""
    found = numbers["artificial"][name][kind] if kind in _KINDS else numbers["real"][name]
    said = f"{_said(_rate(numbers, name, kind, 'bce'))} by cross-entropy"
    upper = found["bce"]["upper"]["detected"]["value"]
    if found["bce"]["two-sided"]["detected"]["value"] - upper > 0.1:
        said += f" ({100 * upper:.1f} % above the upper bound, the rest reconstructed better than the training images)"
    said += f", {_said(_rate(numbers, name, kind, 'mse'))} by squared error"
    trivial = {s: rate for s in REFERENCES if s in found and (rate := _rate(numbers, name, kind, s)) is not None}
    if trivial:
        best = max(trivial, key=lambda score: trivial[score]["detected"]["value"])
        said += f"; without a network {_said(trivial[best])} by {best}"
    return said


def _published_error(numbers: Mapping[str, Any], name: str) -> Claim:
    text, where = f"the cross-entropy on {title(name)} is {PUBLISHED[name].bce:.4f}", "Table 1"
    found = numbers["reconstruction"].get(name)
    if found is None:
        return without(text, where, [name])
    ours, floor = (fmean(found["train"][measure]) for measure in ("bce", "floor"))
    why = f"ours {ours:.4f}; a perfect copy has {floor:.4f}, a grey image {math.log(2):.4f}; asked: within "
    why += f"{100 * _NEAR_BCE:.0f} %"
    near = close_to(found["train"]["bce"], PUBLISHED[name].bce, _NEAR_BCE * PUBLISHED[name].bce)
    return judged(text, where, near, why, f"Experiment 1, {title(name)}, train, BCE")


def _published_rate(numbers: Mapping[str, Any], name: str, kind: str) -> Claim:
    paper = PUBLISHED[name].fashion if kind == "fashion" else PUBLISHED[name].noise
    return _share_claim(numbers, name, kind, paper, f"{paper:.1f} % of {_KINDS[kind]} are detected on {title(name)}")


def _published_real(numbers: Mapping[str, Any], name: str) -> Claim:
    paper = PUBLISHED[name].real
    assert paper is not None
    return _share_claim(numbers, name, "real", paper, f"{paper:.1f} % of real anomalies are detected on {title(name)}")


def _share_claim(numbers: Mapping[str, Any], name: str, kind: str, paper: float, text: str) -> Claim:
    rates = [rate for score in ERRORS if (rate := _rate(numbers, name, kind, score)) is not None]
    if not rates:
        return without(text, "Table 1", [name])
    why = f"{_both(numbers, name, kind)}; asked: within {100 * _NEAR_SHARE:.0f} percentage points by either error"
    low, high = paper / 100 - _NEAR_SHARE, paper / 100 + _NEAR_SHARE
    near = agree([
        all_of([share_above(some["detected"], low), opposite(share_above(some["detected"], high))])
        for some in rates
    ])  # fmt: skip
    return judged(text, "Table 1", near, why, f"Table 1, {title(name)}")


def _ordered_errors(numbers: Mapping[str, Any], high: str, low: str, text: str) -> Claim:
    found, missing = numbers["reconstruction"], [n for n in (high, low) if n not in numbers["reconstruction"]]
    if missing:
        return without(text, "5.1", missing)
    some = {name: {key: np.asarray(values) for key, values in found[name]["train"].items()} for name in (high, low)}
    why = ", ".join(
        f"{title(name)} cross-entropy {of['bce'].mean():.4f} (perfect copy {of['floor'].mean():.4f}), squared error "
        f"{of['mse'].mean():.4f}"
        for name, of in some.items()
    )
    higher = {error: seeds_above((some[high][error] - some[low][error]).tolist(), 0.0) for error in ERRORS}
    why += "; the paper's error, cross-entropy, decides"
    if higher["mse"] is not higher["bce"]:
        why += ", and it is the image itself that tells: squared error does not say so"
    return judged(text, "5.1", higher["bce"], why, "Experiment 1, train, BCE and MSE")


def _struggles(numbers: Mapping[str, Any]) -> Claim:
    text, where = "autoencoders struggle to reconstruct complex medical images accurately", "6"
    found = numbers["reconstruction"]
    medical = [name for name in MEDICAL if name in found]
    if "mnist" not in found or not medical:
        return without(text, where, [name for name in SETS if name not in found])
    errors, said = {}, []
    for name in ("mnist", *medical):
        some = {measure: np.asarray(values) for measure, values in found[name]["held_out"].items()}
        errors[name] = (some["mse"], some["bce"] - some["floor"], some["mse"] / some["mean_image"])
        squared, left = some["mse"].mean(), 100 * some["mse"].mean() / some["mean_image"].mean()
        said.append(
            f"{title(name)}: squared error {squared:.4f} ({left:.0f} % of the mean image's), "
            f"cross-entropy {errors[name][1].mean():.4f} above a perfect copy's"
        )
    worse = [seeds_above((errors[name][k] - errors["mnist"][k]).tolist(), 0.0) for name in medical for k in range(3)]
    worse += under_way(numbers, MEDICAL, found)
    why = "; ".join(said) + "; asked: the same of all three" + missing_too(MEDICAL, found)
    return judged(text, where, agree(worse), why, "Experiment 1, held-out")


def _high_entropy(numbers: Mapping[str, Any], other: str, text: str, where: str) -> Claim:
    found = numbers["entropy"]
    missing = [name for name in ("pneumoniamnist", other) if name not in found]
    if missing:
        return without(text, where, missing)
    measures = {"shannon": "Shannon", "local": "local"}
    values = {name: [found[name][key]["mean"] for key in measures] for name in ("pneumoniamnist", other)}
    why = "; ".join(
        f"{title(name)}: " + ", ".join(f"{word} {v:.2f} bits" for word, v in zip(measures.values(), some, strict=True))
        for name, some in values.items()
    )
    higher = agree([_higher(found["pneumoniamnist"], found[other], key) for key in measures])
    why += f"; asked: above that of {title(other)} by either"
    return judged(text, where, higher, why, "Image entropy")


def _higher(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> Truth:
    """Tell whether a mean over images is higher than another set's, beyond 1.96 standard errors."""
    gap = one[key]["mean"] - other[key]["mean"]
    error = math.hypot(*(some[key]["sd"] / math.sqrt(some["images"]) for some in (one, other)))
    return above({"low": gap - 1.96 * error, "high": gap + 1.96 * error}, 0.0)


def _resembles_noise(numbers: Mapping[str, Any]) -> Claim:
    text, where, found = "complex medical images highly resemble random data", "6", numbers["entropy"]
    medical = [name for name in MEDICAL if name in found]
    if not medical or NOISE not in found:
        return without(text, where, [name for name in MEDICAL if name not in found])
    measures = {"shannon": "Shannon entropy", "local": "local entropy", "bytes": "compressed bytes"}
    shares = {
        name: {word: found[name][key]["mean"] / found[NOISE][key]["mean"] for key, word in measures.items()}
        for name in medical
    }
    beside = {name: found[name]["neighbours"]["mean"] for name in medical}
    like: list[Truth] = [share >= _LIKE_NOISE for some in shares.values() for share in some.values()]
    like += [correlation < 1 - _LIKE_NOISE for correlation in beside.values()]
    like += under_way(numbers, MEDICAL, found)
    why = "; ".join(
        f"{title(name)}: of uniform noise's "
        + ", ".join(f"{word} {100 * share:.0f} %" for word, share in some.items())
        + f", but adjacent pixels correlate {beside[name]:.2f}"
        for name, some in shares.items()
    )
    why += f"; asked: at least {100 * _LIKE_NOISE:.0f} % of noise's and a correlation below {1 - _LIKE_NOISE:.1f}"
    return judged(text, where, agree(like), why + missing_too(MEDICAL, found), "Image entropy")


def _does_well(numbers: Mapping[str, Any], names: Sequence[str], text: str, where: str) -> Claim:
    """Ask either error to detect more than 75 % of either kind of anomaly, with few false alarms.

    The paper counts none: of a model trained on all classes they may be those on normals, or on all held-out images.
    """
    found = numbers["artificial"]
    run = [(name, kind) for name in names for kind in _KINDS if kind in found.get(name, {})]
    if not run:
        return without(text, where, names)
    why = "; ".join(f"{title(name)}, {_KINDS[kind]}: {_both(numbers, name, kind)}" for name, kind in run)
    why += f"; asked: more than {100 * WELL:.0f} % at less than {100 * _ALARMS:.0f} % false alarms by either error"
    dropped = [_KINDS[kind] for kind in _KINDS if not all(kind in found[name] for name, _ in run)]
    why += f"; {NOT_RUN}: {', '.join(dropped)}" if dropped else ""
    by_error = [all_of(_well(numbers, name, kind, score) for name, kind in run) for score in ERRORS]
    waiting = [*under_way(numbers, names, found), *[None] * len(dropped)]
    return judged(
        text, where, all_of([agree(by_error), *waiting]), why + missing_too(names, found), "Experiment 2, two-sided"
    )


def _well(numbers: Mapping[str, Any], name: str, kind: str, score: str) -> Truth:
    rate = _rate(numbers, name, kind, score)
    assert rate is not None
    alarms = [share_above(rate[on], _ALARMS) for on in ("false_alarms", "on_all") if on in rate]
    return all_of([share_above(rate["detected"], WELL), agree([opposite(many) for many in alarms])])


def _trustworthy(numbers: Mapping[str, Any]) -> Claim:
    """Ask that few own images of every set are flagged, by either error, and whichever images are meant."""
    text, where = "mean ± 2 standard deviations of the training error give a trustworthy metric to decide on", "3.3.4"
    found = numbers["artificial"]
    rates = {
        (name, score): rate
        for name, kinds in found.items()
        for score in ERRORS
        if (rate := _rate(numbers, name, next(iter(kinds)), score)) is not None
    }
    if not rates:
        return without(text, where, SETS)
    words = {"bce": "cross-entropy", "mse": "squared error"}
    why = "false alarms on own held-out images " + "; ".join(
        f"{title(name)}, {words[score]}: {100 * rate.get('on_all', rate['false_alarms'])['value']:.1f} %"
        + (f", on normals {100 * rate['false_alarms']['value']:.1f} %" if "on_all" in rate else "")
        for (name, score), rate in rates.items()
    )
    why += f"; asked: below {100 * _ALARMS:.0f} % by either (ours; two deviations of a normal law promise 5 %)"
    by_reading = [
        all_of(
            opposite(share_above(rate.get(on, rate["false_alarms"]), _ALARMS))
            for (_, measured), rate in rates.items()
            if measured == score
        )
        for score in ERRORS
        for on in ("on_all", "false_alarms")
    ]
    few = all_of([agree(by_reading), *under_way(numbers, SETS, found)])
    return judged(text, where, few, why + missing_too(SETS, found), "Experiment 2, two-sided")


def _weak_on_retina(numbers: Mapping[str, Any]) -> Claim:
    text = "FashionMNIST images are detected worst on OCTMNIST"
    rates = {name: {score: _rate(numbers, name, "fashion", score) for score in ERRORS} for name in SETS}
    missing = [name for name, some in rates.items() if some["bce"] is None]
    if missing:
        return without(text, "5.1", missing)
    why = "; ".join(f"{title(name)} {_both(numbers, name, 'fashion')}" for name in rates)
    worst = [all_of(_fewer(rates["octmnist"], rates[name], score) for name in SETS[:-1]) for score in ERRORS]
    return judged(text, "5.1", agree(worst), why, "Experiment 2, two-sided")


def _fewer(one: Mapping[str, Rates | None], other: Mapping[str, Rates | None], score: str) -> Truth:
    """Tell whether one share of detected images is below another of other images, beyond their intervals."""
    a, b = one[score], other[score]
    assert a is not None
    assert b is not None
    return apart(b["detected"], a["detected"], 0.0)


def _depends_on_data(numbers: Mapping[str, Any]) -> Claim:
    """Ask for two sets, or two kinds of anomaly of one set, whose detected shares lie far apart."""
    text, where = "performance depends very much on the task and the data", "5.3"
    kinds = {**_KINDS, "real": "real anomalies"}
    by_error, said = [], []
    for score, word in {"bce": "cross-entropy", "mse": "squared error"}.items():
        shares = {
            (name, kind): rate["detected"]
            for name in SETS
            for kind in kinds
            if (rate := _rate(numbers, name, kind, score)) is not None
        }
        pairs = [(a, b) for a in shares for b in shares if a != b and (a[0] == b[0] or a[1] == b[1])]
        if not pairs:
            return without(text, where, SETS)
        low, high = max(pairs, key=lambda pair: shares[pair[1]]["value"] - shares[pair[0]]["value"])
        by_error.append(any_of(apart(shares[b], shares[a], CRUCIAL) for a, b in pairs))
        said.append(
            f"by {word} {100 * shares[low]['value']:.1f} % ({title(low[0])}, {kinds[low[1]]}) to "
            f"{100 * shares[high]['value']:.1f} % ({title(high[0])}, {kinds[high[1]]})"
        )
    why = f"detected {'; '.join(said)}; asked: {100 * CRUCIAL:.0f} percentage points apart by either error"
    depends = agree(by_error)
    complete = all(name in numbers["artificial"] for name in SETS)
    truth = None if depends is False and not complete else depends
    return judged(text, where, truth, why + missing_too(SETS, numbers["artificial"]), "Experiments 2 and 3, two-sided")


def _unimpressive(numbers: Mapping[str, Any]) -> Claim:
    text, where, found = "real anomalies are not detected impressively", "5, 6", numbers["real"]
    if not found:
        return without(text, where, MEDICAL)
    why = "; ".join(f"{title(name)}: {_both(numbers, name, 'real')}" for name in found)
    by_error = [
        all_of(opposite(share_above(some[score]["two-sided"]["detected"], _IMPRESSIVE)) for some in found.values())
        for score in ERRORS
    ]
    why += f"; asked: less than {100 * _IMPRESSIVE:.0f} % by either error"
    few = all_of([agree(by_error), *under_way(numbers, MEDICAL, found)])
    return judged(text, where, few, why + missing_too(MEDICAL, found), "Experiment 3, two-sided")


def _errors_rise(numbers: Mapping[str, Any]) -> Claim:
    text = "the reconstruction error of real anomalies should be higher than that of normals"
    areas = {(name, "real"): some for name, some in numbers["real"].items()}
    return _rising(numbers, text, "3.3.5, 5.2", areas, MEDICAL, "Experiment 3, AUROC")


def _strange_errors_rise(numbers: Mapping[str, Any]) -> Claim:
    text = "the reconstruction error of anomalies is expected to be high: of artificial ones, higher than of own images"
    areas = {(name, kind): some for name, kinds in numbers["artificial"].items() for kind, some in kinds.items()}
    return _rising(numbers, text, "1", areas, SETS, "Experiment 2, AUROC")


def _rising(
    numbers: Mapping[str, Any], text: str, where: str, areas: Mapping[tuple[str, str], Any], names: Sequence[str],
    cell: str,
) -> Claim:  # fmt: skip
    """Ask both errors to rank every kind of anomaly above other images."""
    if not areas:
        return without(text, where, names)
    why = "; ".join(
        f"{title(name)}{', ' + _KINDS[kind] if kind in _KINDS else ''}: AUROC {printed(some['bce']['auroc'])} by "
        f"cross-entropy, which also measures the image itself, {printed(some['mse']['auroc'])} by squared error"
        for (name, kind), some in areas.items()
    )
    found = {name: True for name, _ in areas}
    by_error = [all_of(above(some[score]["auroc"], 0.5) for some in areas.values()) for score in ERRORS]
    rise = all_of([agree(by_error), *under_way(numbers, names, found)])
    return judged(text, where, rise, why + missing_too(names, found), cell)


def _cost(numbers: Mapping[str, Any], text: str, where: str, names: Sequence[str]) -> Claim:
    """Ask that the training time on these data is that on MNIST, with its whole interval."""
    ratios = numbers["cost_ratios"]
    of = {} if ratios is None else {name: ratios["sets"][name]["ratio"] for name in names if name in ratios["sets"]}
    if not of or ratios["first"] != "mnist":
        return Claim(text, where, Verdict.UNTESTED, NOT_RUN)
    why = "seconds over those of MNIST: " + ", ".join(f"{title(name)} {printed(ratio)}" for name, ratio in of.items())
    low, high = 1 / (1 + _NEAR_COST), 1 + _NEAR_COST
    alike = all_of(all_of([above(ratio, low), opposite(above(ratio, high))]) for ratio in of.values())
    why += f"; equal means within {100 * _NEAR_COST:.0f} %" + missing_too(names, of)
    return judged(text, where, alike, why, "Experiment 4, seconds in turns")
