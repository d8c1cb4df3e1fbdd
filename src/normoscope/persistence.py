"""Models on disk: JSON and safetensors, nothing that could run code.

    MODEL/
      model.json          format, method, recipe, preprocessing, provenance, sha256 of the two files below
      weights.safetensors the detector's state, the trivial baselines, the normals' median image
      parts.json          content hash and name of every image in train, select, calibrate and test
      calibration.json    scoring, scores, rule, unit, normals of other data; replaced by `normoscope calibrate`
      calibration-N.json  the calibrations before
      README.md           model card

A folder is written under a temporary name and renamed when whole, so there is never half a model. model.json and
calibration.json carry a seal, the sha256 of their own content: a changed threshold is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from . import methods
from ._version import __version__
from .calibration import Calibration
from .errors import (
    DamagedModelError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    NewerFormatError,
    NormoscopeError,
    OptionError,
)
from .methods.trivial import Statistic, Trivial
from .model import RECALIBRATE, Model
from .model_card import model_card
from .model_form import CALIBRATION, MODEL, NAMES, Form, misfit
from .regions import NormalMaps
from .rescoring import VarianceHead
from .scoring import Scoring
from .splits import PARTS
from .transforms import Preprocessor
from .types import Run, State
from .written import WrittenFolder, read_json, some, write_atomically

__all__ = ["FORMAT", "check_target", "load_model", "replace_calibration", "save_model"]

FORMAT = 1
"""Version of the folder's layout; later versions read earlier ones."""

DETECTOR, BASELINE, HEAD, MEDIAN = "detector/", "baseline/", "head/", "median"

CHANGED = "its contents changed since it was written (sha256 differs)"


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a model's path where something is, or with `overwrite` something that is not a model and nothing else.

    Raises:
        OptionError: What is there would be lost.
    """
    if not target.exists():
        return
    if not overwrite:
        raise OptionError("--out", str(target), "a path that does not exist yet (or pass --overwrite)")
    foreign = WrittenFolder.MODEL.strangers(target)
    if not (target / "model.json").is_file() or "model.json" in foreign:
        raise OptionError("--out", str(target), "a new path; this one exists and is not a model")
    if foreign:
        raise OptionError("--out", str(target), f"a folder with a model alone (this one also holds {some(foreign)})")


def save_model(model: Model, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write the model folder, whole or not at all.

    Raises:
        OptionError: The folder exists and `overwrite` is off, or it holds anything that is not a model's.
    """
    check_target(Path(folder), overwrite=overwrite)
    target = Path(folder).resolve()  # a link to a folder stays one
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp") as temporary:
        whole = Path(temporary, "model")
        whole.mkdir()
        _write(model, whole)
        check_target(target, overwrite=overwrite)  # another program may have been faster
        _exchange(whole, target, Path(temporary, "old"))
    return Path(folder)


def _exchange(whole: Path, target: Path, aside: Path) -> None:
    """Put the new folder in the old one's place, and the old one back if that fails."""
    if not target.exists():
        os.replace(whole, target)
        return
    os.replace(target, aside)
    try:
        os.replace(whole, target)
    except BaseException:
        os.replace(aside, target)
        raise


def _write(model: Model, folder: Path) -> None:
    tensors: State = {DETECTOR + key: value.contiguous() for key, value in model.detector.state().items()}
    for name, baseline in model.baselines.items():
        tensors |= {f"{BASELINE}{name}/{key}": value.contiguous() for key, value in baseline.state().items()}
    if model.head is not None:
        tensors |= {HEAD + key: value for key, value in model.head.state().items()}
    if model.median is not None:
        tensors[MEDIAN] = model.median.contiguous()
    with (folder / "weights.safetensors").open("wb") as file:  # safetensors' own writing is readable to nobody else
        file.write(save(tensors))
        file.flush()
        os.fsync(file.fileno())
    write_atomically(folder / "parts.json", json.dumps({part: model.parts[part] for part in PARTS}, indent=0))
    digests = {name: _sha256(folder / name) for name in ("weights.safetensors", "parts.json")}
    content = {
        "format": FORMAT,
        "normoscope": __version__,
        "method": model.method,
        "recipe": methods.to_json(model.recipe),
        "preset": model.preset,
        "preprocessor": model.preprocessor.to_json(),
        "provenance": model.provenance,
        "sha256": digests,
    }
    write_atomically(folder / "model.json", _sealed(content))
    write_atomically(folder / "calibration.json", _calibration_text(model, digests["weights.safetensors"]))
    write_atomically(folder / "README.md", model_card(model))


def _calibration_text(model: Model, weights: str) -> str:
    """Calibration and the scoring it belongs to travel together: a rule means nothing on another scale."""
    return _sealed(
        {
            "format": FORMAT,
            "normoscope": __version__,
            "scoring": None if model.scoring is None else model.scoring.to_json(),
            "calibration": model.calibration.to_json(),
            "normal_maps": None if model.normal_maps is None else model.normal_maps.to_json(),
            "normals": model.parts.get(RECALIBRATE),
            "weights": weights,
        }
    )


def _sealed(content: dict[str, Any]) -> str:
    """Return the content as JSON, with the sha256 of itself."""
    return json.dumps({**content, "seal": _seal(content)}, indent=2)


def _seal(content: dict[str, Any]) -> str:
    """Hash the content whatever its layout and order."""
    plain = json.loads(json.dumps({key: value for key, value in content.items() if key != "seal"}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model(folder: str | Path, run: Run | None = None) -> Model:
    """Read a model folder, checking every file.

    Raises:
        ModelNotFoundError: No model there.
        DamagedModelError: A file is missing, truncated or changed.
        NewerFormatError: Written by a later version.
    """
    path, run = Path(folder), run or Run()
    if not (path / "model.json").is_file():
        raise ModelNotFoundError(str(path))
    content = _read_sealed(path / "model.json", MODEL)
    weights = _checked(path / "weights.safetensors", content["sha256"]["weights.safetensors"])
    _checked(path / "parts.json", content["sha256"]["parts.json"])
    calibration = _read_sealed(path / "calibration.json", CALIBRATION)
    if calibration["weights"] != content["sha256"]["weights.safetensors"]:
        raise DamagedModelError(str(path / "calibration.json"), "it belongs to other weights")
    parts = _of_form(path / "parts.json", _read_object(path / "parts.json"), NAMES)
    try:
        return _assemble(content, calibration, _tensors(weights), parts, run)
    except (ModelError, MissingExtraError):
        raise
    except _UNFIT as error:
        what = f"{error}"[:_LONGEST]
        cause = f"its contents do not fit together ({type(error).__name__}: {what})"
        raise DamagedModelError(str(path), cause) from error


_LONGEST = 400
"""Letters of another library's sentence that are passed on: torch lists every tensor."""

_UNFIT = (
    ArithmeticError, AttributeError, LookupError, NormoscopeError, RuntimeError, SafetensorError, TypeError, ValueError,
)  # fmt: skip


def _assemble(content: dict[str, Any], calibration: dict[str, Any], tensors: State, parts: Any, run: Run) -> Model:
    recipe = methods.from_json(content["method"], content["recipe"])
    detector = recipe.restore(_under(DETECTOR, tensors))
    move = getattr(detector, "to", None)
    if move is not None:
        move(run)
    baselines = {s.value: Trivial(statistic=s).restore(_under(f"{BASELINE}{s.value}/", tensors)) for s in Statistic}
    model = Model(
        method=content["method"],
        recipe=recipe,
        preset=content["preset"],
        preprocessor=Preprocessor.from_json(content["preprocessor"]),
        detector=detector,
        calibration=Calibration.from_json(calibration["calibration"]),
        scoring=Scoring.from_json(calibration["scoring"]) if calibration["scoring"] else None,
        baselines=baselines,
        parts=parts | ({RECALIBRATE: calibration["normals"]} if calibration["normals"] else {}),
        provenance=content["provenance"],
        run=run,
        head=_head(content["preprocessor"]["channels"], _under(HEAD, tensors), run),
        # models of earlier versions have none
        normal_maps=NormalMaps.from_json(kept) if (kept := calibration.get("normal_maps")) else None,
        median=tensors.get(MEDIAN),
    )
    if model.calibration.calibrated and not len(model.calibration.scores):
        raise ValueError("a rule without calibration scores")
    fitted = tuple(tensors[f"{BASELINE}{Statistic.BYTES.value}/image_shape"].tolist())
    if fitted != model.image_shape:
        raise ValueError(f"weights for images of shape {fitted}, preprocessing to {model.image_shape}")
    if not model.preprocessor.low < model.preprocessor.high:
        raise ValueError("grey values without a range")
    maps = model.normal_maps
    if maps is not None and (maps.mean.shape != model.image_shape[1:] or not (maps.deviation > 0).all()):
        raise ValueError("maps of normals of another size, or without a deviation")
    return model


def _tensors(weights: bytes) -> State:
    """Read tensors from the bytes that were checked: of a file that is mapped, what is changed later would count."""
    tensors = load(weights)
    if bad := [name for name, one in tensors.items() if one.is_floating_point() and not one.isfinite().all()]:
        raise ValueError(f"{bad[0]} holds values that are not finite")
    return tensors


def _head(channels: int, tensors: State, run: Run) -> VarianceHead | None:
    return VarianceHead.restored(channels, tensors, run) if tensors else None


def _under(prefix: str, tensors: State) -> State:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _read_sealed(path: Path, form: Form) -> dict[str, Any]:
    """Read model.json or calibration.json: of a format that is known, unchanged, and with all its fields."""
    content = _read_object(path)
    found = content.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise DamagedModelError(str(path), "the format number is missing or none from 1 on")
    if found > FORMAT:
        raise NewerFormatError(str(path), found, FORMAT, str(content.get("normoscope", "?")))
    if content.get("seal") != _seal(content):
        raise DamagedModelError(str(path), CHANGED)
    return _of_form(path, content, form)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise DamagedModelError(str(path), "the file is missing") from None
    except (ValueError, OSError) as error:
        raise DamagedModelError(str(path), f"not readable as JSON ({error})") from None
    if not isinstance(content, dict):
        raise DamagedModelError(str(path), "not a JSON object")
    return content


def _of_form(path: Path, content: dict[str, Any], form: Form) -> dict[str, Any]:
    if field := misfit(content, form):
        raise DamagedModelError(str(path), f"its field {field} is missing, or holds what no fit writes")
    return content


def _checked(path: Path, digest: str) -> bytes:
    """Return the file's content, which is what was written."""
    if not path.is_file():
        raise DamagedModelError(str(path), "the file is missing")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedModelError(str(path), CHANGED)
    return content


def replace_calibration(model: Model, folder: str | Path) -> Path:
    """Write a new calibration in place of the folder's, keep the old one, and return where it is kept.

    Raises:
        OptionError: By now another model stands in the folder, whose scores the rule does not belong to.
    """
    path = Path(folder)
    if _told(_read_object(path / "model.json").get("provenance")) != _told(model.provenance):
        raise OptionError("MODEL", str(folder), "the model that was read (by now another one stands there)")
    numbers = [p.stem.partition("-")[2] for p in path.glob("calibration-*.json")]
    kept = path / f"calibration-{1 + max((int(n) for n in numbers if n.isdecimal()), default=0)}.json"
    write_atomically(kept, (path / "calibration.json").read_text(encoding="utf-8"))
    write_atomically(path / "calibration.json", _calibration_text(model, _sha256(path / "weights.safetensors")))
    write_atomically(path / "README.md", model_card(model))
    return kept


def _told(provenance: Any) -> str:
    """Return a text that is equal for equal records, whether they were read or have yet to be written."""
    return json.dumps(provenance, sort_keys=True)
