"""What the Twente study claims, judged by the numbers of its protocol, by its own error and rule.

A share or an error of a trained network decides where its t interval over seeds lies on one side of the limit, so one
seed decides nothing; a ranking of test images where its interval over images and seeds does. What two measures tell
differently stays open. A claim about medical images is judged on those that were run, and says which were not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ..statistics import seeds_interval
from ._data import DATA
from ._shape import Claim, Verdict
from ._twente_images import NOISE
from ._twente_paper import MEDICAL, PUBLISHED, SETS
from ._twente_work import PAPER_SIGMA
from ._verdicts import Truth, above, all_of, any_of, judged, printed

__all__ = ["claims"]

_WELL = 0.75
"""Detected share the paper calls enough."""

_ALIKE = 0.8
"""Correlation with the clean image above which a noisy one still shows it; ours, in place of a person's eye."""

_NEAR_BCE, _NEAR_SHARE, _NEAR_COST = 0.1, 0.1, 0.1
"""Published and measured agree within so much: of the error, in share of images, of the training time."""

_CRUCIAL, _IMPRESSIVE, _LIKE_NOISE = 0.5, 0.5, 0.8
"""Ours, for the paper names none: a difference in detected share that is crucial, a share that is impressive, and what
of noise's entropy an image must have, or of a perfect correlation its pixels must not, to resemble noise."""

_KINDS = {"fashion": "FashionMNIST images", "noise": f"own images with noise of σ {PAPER_SIGMA:g}"}
_NOT_RUN = "not run"


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
        _ordered_errors(numbers, "pneumoniamnist", "mnist", "PneumoniaMNIST's reconstruction error is above MNIST's"),
        _ordered_errors(
            numbers, "pneumoniamnist", "octmnist", "OCTMNIST's reconstruction error is below PneumoniaMNIST's"
        ),
        _struggles(numbers),
        _high_entropy(numbers, "mnist", "the entropy of chest X-rays is high", "3.2.2"),
        _high_entropy(numbers, "octmnist", "retinal scans are less random than chest X-rays", "3.2.3"),
        _resembles_noise(numbers),
        _does_well(numbers, ("mnist",), "the model scores well on MNIST", "5.1, 5.3"),
        _weak_on_retina(numbers),
        _does_well(
            numbers,
            MEDICAL,
            "autoencoders trained on medical images spot artificial anomalies well",
            "6",
        ),
        _hides(numbers),
        _sweet_spot(numbers),
        _amount_matters(numbers),
        _more_noise(numbers),
        _depends_on_data(numbers),
        _unimpressive(numbers),
        _errors_rise(numbers),
        Claim(
            "custom-made models reach high accuracy on real anomalies",
            "6",
            Verdict.UNTESTED,
            "the paper cites it and runs none",
        ),
        _cost(numbers),
        Claim(
            "the cost depends on image size, model design and training method",
            "6",
            Verdict.UNTESTED,
            "none of the three is varied, here or there",
        ),
    ]


def _title(name: str) -> str:
    return DATA[name].title if name in DATA else name


def _above(values: Sequence[float], limit: float) -> Truth:
    """Tell whether a mean over seeds is above a limit with its whole interval, or below it."""
    return above(seeds_interval(np.asarray(values))[0].to_json(), limit)


def _near(values: Sequence[float], target: float, width: float) -> Truth:
    """Tell whether a mean over seeds is within so much of a target with its whole interval, or outside."""
    past_low, past_high = _above(values, target - width), _above(values, target + width)
    return all_of([past_low, _opposite(past_high)])


def _agree(parts: Sequence[Truth]) -> Truth:
    """Tell what several measures of one thing say where all say the same."""
    return parts[0] if len(set(parts)) == 1 else None


def _opposite(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _without(text: str, where: str, names: Sequence[str]) -> Claim:
    return Claim(text, where, Verdict.UNTESTED, f"{', '.join(map(_title, names))}: {_NOT_RUN}")


def _also(names: Sequence[str], found: Mapping[str, Any]) -> str:
    """Name the sets a claim speaks of that were not run."""
    missing = [_title(name) for name in names if name not in found]
    return f"; {_NOT_RUN}: {', '.join(missing)}" if missing else ""


Rates = tuple[Sequence[float], Sequence[float]]
"""Detected share and false alarms, by seed."""


def _rate(numbers: Mapping[str, Any], name: str, kind: str, score: str = "bce") -> Rates | None:
    """Return the rates of the two-sided rule, None where it was not run."""
    found = numbers["artificial"].get(name, {}).get(kind) if kind in _KINDS else numbers["real"].get(name)
    if found is None:
        return None
    rates = found[score]["two-sided"]
    return rates["detected"], rates["false_alarms"]


def _said(rate: Rates | None) -> str:
    return _NOT_RUN if rate is None else f"{100 * fmean(rate[0]):.1f} % at {100 * fmean(rate[1]):.1f} % false alarms"


def _both(numbers: Mapping[str, Any], name: str, kind: str) -> str:
    """Say what cross-entropy and squared error detect."""
    other = _said(_rate(numbers, name, kind, "mse"))
    return f"{_said(_rate(numbers, name, kind))} by cross-entropy, {other} by squared error"


def _published_error(numbers: Mapping[str, Any], name: str) -> Claim:
    text, where = f"the cross-entropy on {_title(name)} is {PUBLISHED[name].bce:.4f}", "Table 1"
    found = numbers["reconstruction"].get(name)
    if found is None:
        return _without(text, where, [name])
    ours, floor = (fmean(found["train"][measure]) for measure in ("bce", "floor"))
    why = f"ours {ours:.4f}; a perfect copy has {floor:.4f}, a grey image {math.log(2):.4f}; asked: within "
    why += f"{100 * _NEAR_BCE:.0f} %"
    near = _near(found["train"]["bce"], PUBLISHED[name].bce, _NEAR_BCE * PUBLISHED[name].bce)
    return judged(text, where, near, why, f"Experiment 1, {_title(name)}, train, BCE")


def _published_rate(numbers: Mapping[str, Any], name: str, kind: str) -> Claim:
    paper = PUBLISHED[name].fashion if kind == "fashion" else PUBLISHED[name].noise
    return _share_claim(numbers, name, kind, paper, f"{paper:.1f} % of {_KINDS[kind]} are detected on {_title(name)}")


def _published_real(numbers: Mapping[str, Any], name: str) -> Claim:
    paper = PUBLISHED[name].real
    assert paper is not None
    return _share_claim(numbers, name, "real", paper, f"{paper:.1f} % of real anomalies are detected on {_title(name)}")


def _share_claim(numbers: Mapping[str, Any], name: str, kind: str, paper: float, text: str) -> Claim:
    rate = _rate(numbers, name, kind)
    if rate is None:
        return _without(text, "Table 1", [name])
    why = f"{_both(numbers, name, kind)}; asked: within {100 * _NEAR_SHARE:.0f} percentage points"
    near = _near(rate[0], paper / 100, _NEAR_SHARE)
    return judged(text, "Table 1", near, why, f"Table 1, {_title(name)}")


def _ordered_errors(numbers: Mapping[str, Any], high: str, low: str, text: str) -> Claim:
    found, missing = numbers["reconstruction"], [n for n in (high, low) if n not in numbers["reconstruction"]]
    if missing:
        return _without(text, "5.1", missing)
    ours = {name: fmean(found[name]["train"]["bce"]) for name in (high, low)}
    floors = {name: fmean(found[name]["train"]["floor"]) for name in (high, low)}
    why = ", ".join(f"{_title(name)} {ours[name]:.4f} (perfect copy {floors[name]:.4f})" for name in ours)
    gaps = np.subtract(*(found[name]["train"]["bce"] for name in (high, low)))
    return judged(text, "5.1", _above(gaps.tolist(), 0.0), why, "Experiment 1, train, BCE")


def _struggles(numbers: Mapping[str, Any]) -> Claim:
    text, where = "autoencoders struggle to reconstruct complex medical images accurately", "6"
    found = numbers["reconstruction"]
    medical = [name for name in MEDICAL if name in found]
    if "mnist" not in found or not medical:
        return _without(text, where, [name for name in SETS if name not in found])
    errors, said = {}, []
    for name in ("mnist", *medical):
        some = {measure: np.asarray(values) for measure, values in found[name]["held_out"].items()}
        errors[name] = (some["mse"], some["bce"] - some["floor"])
        squared, left = some["mse"].mean(), 100 * some["mse"].mean() / some["mean_image"].mean()
        said.append(
            f"{_title(name)}: squared error {squared:.4f} ({left:.0f} % of the mean image's), "
            f"cross-entropy {errors[name][1].mean():.4f} above a perfect copy's"
        )
    worse = [_above((errors[name][k] - errors["mnist"][k]).tolist(), 0.0) for name in medical for k in range(2)]
    why = "; ".join(said) + ("; measures or data sets disagree" if {True, False} <= set(worse) else "")
    return judged(text, where, _agree(worse), why + _also(MEDICAL, found), "Experiment 1, held-out")


def _high_entropy(numbers: Mapping[str, Any], other: str, text: str, where: str) -> Claim:
    found = numbers["entropy"]
    missing = [name for name in ("pneumoniamnist", other) if name not in found]
    if missing:
        return _without(text, where, missing)
    measures = {"shannon": "Shannon", "local": "local"}
    values = {name: [found[name][key]["mean"] for key in measures] for name in ("pneumoniamnist", other)}
    why = "; ".join(
        f"{_title(name)}: " + ", ".join(f"{word} {v:.2f} bits" for word, v in zip(measures.values(), some, strict=True))
        for name, some in values.items()
    )
    higher = _agree([_higher(found["pneumoniamnist"], found[other], key) for key in measures])
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
        return _without(text, where, [name for name in MEDICAL if name not in found])
    measures = {"shannon": "Shannon entropy", "local": "local entropy", "bytes": "compressed bytes"}
    shares = {
        name: {word: found[name][key]["mean"] / found[NOISE][key]["mean"] for key, word in measures.items()}
        for name in medical
    }
    beside = {name: found[name]["neighbours"]["mean"] for name in medical}
    like = [share >= _LIKE_NOISE for some in shares.values() for share in some.values()]
    like += [correlation < 1 - _LIKE_NOISE for correlation in beside.values()]
    why = "; ".join(
        f"{_title(name)}: of uniform noise's "
        + ", ".join(f"{word} {100 * share:.0f} %" for word, share in some.items())
        + f", but adjacent pixels correlate {beside[name]:.2f}"
        for name, some in shares.items()
    )
    why += f"; asked: at least {100 * _LIKE_NOISE:.0f} % of noise's and a correlation below {1 - _LIKE_NOISE:.1f}"
    return judged(text, where, _agree(like), why + _also(MEDICAL, found), "Image entropy")


def _does_well(numbers: Mapping[str, Any], names: Sequence[str], text: str, where: str) -> Claim:
    cell, found = "Experiment 2, bce, two-sided", numbers["artificial"]
    rates = {(n, kind): _rate(numbers, n, kind) for n in names for kind in _KINDS if kind in found.get(n, {})}
    if not rates:
        return _without(text, where, names)
    why = "; ".join(f"{_title(name)}, {_KINDS[kind]}: {_both(numbers, name, kind)}" for name, kind in rates)
    well = all_of(None if rate is None else _above(rate[0], _WELL) for rate in rates.values())
    return judged(text, where, well, f"{why}; asked: more than {100 * _WELL:.0f} %{_also(names, found)}", cell)


def _weak_on_retina(numbers: Mapping[str, Any]) -> Claim:
    text = "FashionMNIST images are detected worst on OCTMNIST"
    rates = {name: _rate(numbers, name, "fashion") for name in SETS}
    missing = [name for name, rate in rates.items() if rate is None]
    if missing:
        return _without(text, "5.1", missing)
    shares = {name: np.asarray(rate[0]) for name, rate in rates.items() if rate is not None}
    why = ", ".join(f"{_title(name)} {100 * share.mean():.1f} %" for name, share in shares.items())
    retina = shares.pop("octmnist")
    worst = all_of(_above((share - retina).tolist(), 0.0) for share in shares.values())
    return judged(text, "5.1", worst, why, "Experiment 2")


def _hides(numbers: Mapping[str, Any]) -> Claim:
    text = "under the same noise digits stay recognisable and medical images look random to the bare eye"
    likeness = {name: fmean(sweep[f"{PAPER_SIGMA:g}"]["likeness"]) for name, sweep in numbers["sweep"].items()}
    values = ", ".join(f"{value:.2f} on {_title(name)}" for name, value in likeness.items()) or _NOT_RUN
    why = f"a person must look, at the figure of the noise; correlation with the clean image: {values}"
    return Claim(text, "5.1", Verdict.UNTESTED, why, f"Detection and false alarms against the noise, σ {PAPER_SIGMA:g}")


def _least(sweep: Mapping[str, Any], score: str) -> tuple[float, float] | None:
    """Return the least deviation from which on more than 75 % are detected, and its likeness; None where none is."""
    sigma = _start({sigma: fmean(one[score]["two-sided"]) > _WELL for sigma, one in sweep.items()})
    return None if sigma is None else (float(sigma), fmean(sweep[sigma]["likeness"]))


def _start(good: Mapping[str, bool]) -> str | None:
    """Return the first key from which on all values are true."""
    start = None
    for key, value in good.items():
        start = (start or key) if value else None
    return start


def _said_least(least: tuple[float, float] | None) -> str:
    return "at no σ up to 0.5" if least is None else f"from σ {least[0]:g}, likeness {least[1]:.2f}"


def _sweet_spot(numbers: Mapping[str, Any]) -> Claim:
    text = "some noise leaves medical images recognisable while more than 75 % are detected"
    swept = {name: numbers["sweep"][name] for name in MEDICAL if name in numbers["sweep"]}
    if not swept:
        return _without(text, "5.1", MEDICAL)
    found = {name: {score: _least(sweep, score) for score in ("bce", "mse")} for name, sweep in swept.items()}
    why = "; ".join(
        f"{_title(name)}: {_said_least(some['bce'])} by cross-entropy, {_said_least(some['mse'])} by squared error"
        for name, some in found.items()
    )
    why += f"; recognisable is taken as a correlation of {_ALIKE:g} with the clean image" + _also(MEDICAL, swept)
    spot = all_of(_spot(sweep) for sweep in swept.values())
    return judged(text, "5.1", spot, why, "Detection and false alarms against the noise")


def _spot(sweep: Mapping[str, Any]) -> Truth:
    """Tell whether any deviation is detected well enough while the image is still recognisable."""
    alike = [one for one in sweep.values() if fmean(one["likeness"]) >= _ALIKE]
    return any_of(_above(one["bce"]["two-sided"], _WELL) for one in alike)


def _amount_matters(numbers: Mapping[str, Any]) -> Claim:
    text, where = "the right amount of noise is crucial for detection", "6"
    swept = {name: numbers["sweep"][name] for name in MEDICAL if name in numbers["sweep"]}
    if not swept:
        return _without(text, where, MEDICAL)
    parts, said = [], []
    for name, sweep in swept.items():
        shares = np.asarray([some["bce"]["two-sided"] for some in sweep.values()])
        low, high = np.argmin(shares.mean(1)), np.argmax(shares.mean(1))
        parts.append(_above((shares[high] - shares[low]).tolist(), _CRUCIAL))
        ends = f"{100 * shares[low].mean():.1f} to {100 * shares[high].mean():.1f} % detected"
        said.append(f"{_title(name)}: {ends}, σ 0.02 to 0.5")
    why = f"{'; '.join(said)}; asked: {100 * _CRUCIAL:.0f} percentage points apart{_also(MEDICAL, swept)}"
    return judged(text, where, all_of(parts), why, "Detection and false alarms against the noise")


def _more_noise(numbers: Mapping[str, Any]) -> Claim:
    text, where, sweep = "medical images need more noise than digits before it is detected", "6", numbers["sweep"]
    medical = [name for name in MEDICAL if name in sweep]
    if "mnist" not in sweep or not medical:
        return _without(text, where, [name for name in SETS if name not in sweep])
    least = {name: _least(sweep[name], "bce") for name in ("mnist", *medical)}
    why = "more than 75 % " + "; ".join(f"on {_title(name)} {_said_least(some)}" for name, some in least.items())
    ends = {name: (_from(sweep[name], sure=False), _from(sweep[name], sure=True)) for name in least}
    early, late = ends["mnist"]
    more = all_of(True if ends[name][0] > late else False if ends[name][1] < early else None for name in medical)
    return judged(text, where, more, why + _also(MEDICAL, sweep), "Detection and false alarms against the noise")


def _from(sweep: Mapping[str, Any], *, sure: bool) -> float:
    """Return the deviation from which on more than 75 % are detected, surely or possibly by the interval over seeds."""
    wanted = (True,) if sure else (True, None)
    sigma = _start({sigma: _above(one["bce"]["two-sided"], _WELL) in wanted for sigma, one in sweep.items()})
    return math.inf if sigma is None else float(sigma)


def _depends_on_data(numbers: Mapping[str, Any]) -> Claim:
    text, where = "performance depends very much on the task and the data", "5.3"
    parts, said = [], []
    for kind in _KINDS:
        rates = [_rate(numbers, name, kind) for name in SETS]
        known = sorted((np.asarray(rate[0]) for rate in rates if rate is not None), key=np.mean)
        if len(known) > 1:
            parts.append(_above((known[-1] - known[0]).tolist(), _NEAR_SHARE))
            said.append(f"{_KINDS[kind]}: {100 * known[0].mean():.1f} to {100 * known[-1].mean():.1f} % detected")
    if not parts:
        return _without(text, where, SETS)
    complete = all(_rate(numbers, name, kind) is not None for name in SETS for kind in _KINDS)
    depends = any_of([*parts, *([] if complete else [None])])
    why = f"{'; '.join(said)}; asked: {100 * _NEAR_SHARE:.0f} percentage points apart"
    return judged(text, where, depends, why + _also(SETS, numbers["artificial"]), "Experiment 2, bce, two-sided")


def _unimpressive(numbers: Mapping[str, Any]) -> Claim:
    text, where, found = "real anomalies are not detected impressively", "5, 6", numbers["real"]
    if not found:
        return _without(text, where, MEDICAL)
    why = "; ".join(f"{_title(name)}: {_both(numbers, name, 'real')}" for name in found)
    few = all_of(_opposite(_above(some["bce"]["two-sided"]["detected"], _IMPRESSIVE)) for some in found.values())
    why += f"; asked: less than {100 * _IMPRESSIVE:.0f} %"
    return judged(text, where, few, why + _also(MEDICAL, found), "Experiment 3")


def _errors_rise(numbers: Mapping[str, Any]) -> Claim:
    text, where, found = (
        "the reconstruction error of real anomalies is higher than that of normals",
        "3.3.5, 5.2",
        numbers["real"],
    )
    if not found:
        return _without(text, where, MEDICAL)
    areas = {name: {score: some[score]["auroc"] for score in ("bce", "mse")} for name, some in found.items()}
    why = "; ".join(
        f"{_title(name)}: AUROC {printed(some['bce'])} by cross-entropy, the paper's error, which also measures the "
        f"image itself, {printed(some['mse'])} by squared error, which does not"
        for name, some in areas.items()
    )
    rise = _agree([above(some[score], 0.5) for some in areas.values() for score in some])
    return judged(text, where, rise, why + _also(MEDICAL, found), "Experiment 3, AUROC")


def _cost(numbers: Mapping[str, Any]) -> Claim:
    text, where, ratios = "the data do not change the computational cost", "5.1, 6", numbers["cost_ratios"]
    if ratios is None:
        return Claim(text, where, Verdict.UNTESTED, _NOT_RUN)
    others = {name: some["ratio"] for name, some in ratios["sets"].items() if name != ratios["first"]}
    why = f"seconds over those of {_title(ratios['first'])}: " + ", ".join(
        f"{_title(name)} {r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for name, r in others.items()
    )
    equal = all(r["low"] >= 1 / (1 + _NEAR_COST) and r["high"] <= 1 + _NEAR_COST for r in others.values())
    differs = any(r["low"] > 1 + _NEAR_COST or r["high"] < 1 / (1 + _NEAR_COST) for r in others.values())
    truth = True if equal else False if differs else None
    why += f"; equal means within {100 * _NEAR_COST:.0f} %" + _also(SETS, ratios["sets"])
    return judged(text, where, truth, why, "Experiment 4, seconds in turns")
