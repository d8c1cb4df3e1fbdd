"""A fitted model: preprocessing, detector, scoring and calibration; what is saved, shared and scored with.

Collection --split--> parts --Preprocessor--> Images --Method.fit--> Detector --Calibration--> Model
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from .calibration import Calibration, conformal_rule, maximum_by, needed_for
from .decoding import read_array
from .errors import ImageShapeError, LayoutError, OptionError
from .images import BATCH, PixelStore, allocate, batches
from .methods.trivial import Statistic, Trivial
from .mismatch import mismatches
from .nn.inference import in_chunks
from .partitions import USED, Partition
from .progress import History
from .provenance import record
from .regions import NormalMaps
from .rescoring import VarianceHead, check_recipe, check_scoring, check_select, fit_head, residual_map
from .scoring import Pooling, Residual, Scoring
from .sources import Loaded, same_data
from .splits import check_leakage
from .transforms import Prepared, Preprocessor
from .types import Collection, Detector, Images, Localizes, Method, Pixels, Reconstructs, Run, Sample

__all__ = ["RECALIBRATE", "Model", "fit", "rescore"]

_LOOKED_AT = 201

_PEAKS = 0.05
"""Share of normal images that may have a pixel above the heatmaps' full scale."""

_LOCALISING = "a method that localises (cae, conocc, pca ...)"

RECALIBRATE = "recalibrate"
"""Normals of other data that set a model's rule anew; they are used up as well."""


@dataclass(frozen=True)
class Model:
    """Everything needed to score a new image, and the record of how it came to be.

    Args:
        method: The method's name, as in `methods/`.
        recipe: Its hyperparameters.
        preset: Where they came from: paper, quick or python, and what was changed.
        preprocessor: Fitted on the training normals.
        detector: The fitted method.
        calibration: From *calibrate* normals.
        scoring: How reconstructions are scored; None for the method's own score.
        baselines: The trivial statistics, fitted on the same training normals.
        parts: Part to (sample name to content hash); *recalibrate* where other data set the rule anew.
        provenance: Versions, commit, data, seed, command, timing, notes.
        run: Device and precision for scoring.
        head: Learnt where the scoring is by variance.
        normal_maps: What the maps of *calibrate* normals look like; None without maps or with too few normals.
        median: Of the *train* normals, pixel by pixel, prepared; models of earlier versions have none.
    """

    method: str
    recipe: Method
    preset: str
    preprocessor: Preprocessor
    detector: Detector
    calibration: Calibration
    scoring: Scoring | None
    baselines: Mapping[str, Detector]
    parts: Mapping[str, Mapping[str, str]]
    provenance: Mapping[str, Any]
    run: Run = field(default_factory=Run)
    head: VarianceHead | None = None
    normal_maps: NormalMaps | None = None
    median: Float[Tensor, "c h w"] | None = None

    def batch_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Score one prepared batch, higher is more anomalous."""
        scoring = self.scoring
        if scoring is None:
            return self.detector.anomaly_score(images)
        return self._in_chunks(lambda chunk: scoring.score(self._residuals(scoring, chunk)), images)

    def batch_map(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return one prepared batch's per-pixel scores.

        Raises:
            OptionError: The method cannot localise.
        """
        scoring = self.scoring
        if scoring is not None:
            return self._in_chunks(lambda chunk: self._residuals(scoring, chunk), images)
        if isinstance(self.detector, Localizes):
            return self.detector.anomaly_map(images)
        raise OptionError("maps", self.method, _LOCALISING)

    def _residuals(self, scoring: Scoring, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        return residual_map(scoring, self.detector, self.head, images)

    def _in_chunks(self, function: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"]) -> Tensor:
        # residuals and pooling blur: that, too, rounds by the number of images at once
        return in_chunks(function, images, self.run.torch_device, torch.float32, gradients=True)

    def counterparts(self, images: Float[Tensor, "n c h w"]) -> dict[str, Float[Tensor, "n c h w"]]:
        """Return what prepared images would be if they were normal: `reconstruction` and `median`, as the model has."""
        found = {}
        if isinstance(self.detector, Reconstructs):
            found["reconstruction"] = self.detector.reconstruct(images).float()
        if self.median is not None:
            found["median"] = self.median.to(images.device).expand_as(images)
        return found

    @property
    def scored_by(self) -> str:
        """What a score is, in words."""
        if self.scoring is None:
            return "the method's own"
        s = self.scoring
        sigma = f" (sigma {s.sigma:g})" if s.residual is Residual.SSIM else ""
        number = {Pooling.TOP: f" (fraction {s.fraction:g})", Pooling.MAXIMUM: f" (smoothing {s.smoothing:g})"}
        pooling = f"{s.pooling.value}{number.get(s.pooling, '')} pooling"
        return f"{s.residual.value} residual{sigma}, {pooling}, in place of the method's own"

    @property
    def localizes(self) -> bool:
        """Whether the model can draw maps."""
        return isinstance(self.detector, Localizes) or self.scoring is not None

    def check_localizes(self, option: str = "maps") -> None:
        """Refuse, before any work is done for them, maps that the model cannot draw.

        Raises:
            OptionError: It cannot.
        """
        if not self.localizes:
            raise OptionError(option, self.method, _LOCALISING)

    def scores(self, images: Images, *, progress: bool = False) -> npt.NDArray[np.float64]:
        """Score prepared images, (n,), higher is more anomalous."""
        # filled in place: small results kept between big temporaries would fragment the heap
        scores, done = np.empty(len(images)), 0
        for batch in self._batches(images, "scoring", progress):
            scores[done : done + len(batch)] = self.batch_score(batch).double().cpu().numpy()
            done += len(batch)
        return scores

    def maps(self, images: Images, *, progress: bool = False) -> Iterator[npt.NDArray[np.float32]]:
        """Yield each image's map (h, w) in turn."""
        for batch in self._batches(images, "mapping", progress):
            yield from self.batch_map(batch).float().cpu().numpy()

    def _batches(self, images: Images, what: str, progress: bool) -> Iterator[Tensor]:
        from tqdm import tqdm

        if len(images) and images.shape[1:] != (expected := self.image_shape):
            raise ImageShapeError(expected, images.shape)
        if isinstance(images, PixelStore) and images.intensity != self.preprocessor:
            raise OptionError("images", "some prepared otherwise", "those of this model's prepare or prepare_arrays")
        with tqdm(total=len(images), desc=what, unit="image", disable=not progress, delay=1, leave=False) as bar:
            for batch in batches(images, BATCH, str(self.run.torch_device)):
                yield batch
                bar.update(len(batch))

    def shape_notes(self, prepared: Prepared) -> list[str]:
        """Warn where the first image has colour, proportions or a size that the model does not expect.

        It is read once more; where that cannot be, nothing is warned of.
        """
        return mismatches(prepared, self.preprocessor, self.provenance["data"].get("image_shape"))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a prepared image."""
        p = self.preprocessor
        return p.channels, p.size, p.size

    def prepare(self, samples: Sequence[Sample], *, skip_unreadable: bool = False, progress: bool = False) -> Prepared:
        """Read samples through the model's own preprocessing.

        Raises:
            UnreadableImagesError: Some cannot be read, and are not to be skipped.
            LayoutError: None can be read.
        """
        prepared = self.preprocessor.prepare(samples, skip_unreadable=skip_unreadable, progress=progress)
        if prepared.problems and not prepared.samples:
            first = f"{len(prepared.problems)} that cannot, first {str(prepared.problems[0]).rstrip('.')}"
            raise LayoutError("images", "at least one that can be read", first, "mend them or give others")
        return prepared

    def prepare_arrays(self, arrays: Sequence[Pixels], names: Sequence[str] | None = None) -> Prepared:
        """Bring arrays through the model's own preprocessing, as if they had been read from files.

        Args:
            arrays: Each (h, w) or (h, w, 3) of the depth that the model was fitted on; sizes may differ.
            names: Of each; default array 0, array 1 ...

        Raises:
            UnreadableImagesError: Some are no such images; all are listed.
            OptionError: Not as many names, or one twice.
        """
        names = [f"array {i}" for i in range(len(arrays))] if names is None else names
        if len(names) != len(arrays) or len({*names}) < len(names):
            raise OptionError("names", f"{len({*names})} different ones", f"{len(arrays)}, one of its own per array")
        return self.prepare(
            [Sample(name, partial(read_array, one, name)) for one, name in zip(arrays, names, strict=True)]
        )

    def owns(self, collection: Collection) -> bool:
        """Tell whether the model was fitted on this data.

        Raises:
            OptionError: It was, with another class for the normal one.
        """
        data = self.provenance["data"]
        loaded = isinstance(collection, Loaded) and same_data(data, collection.source, collection.options)
        if not loaded and collection.spec != data["spec"]:
            return False
        if collection.normal_class is not None and str(collection.normal_class) != str(data["normal_class"]):
            expected = f"{data['normal_class']!r}, which the model was fitted with on this data"
            raise OptionError("--normal-class", collection.normal_class, expected)
        return True

    def test_samples(self, collection: Collection) -> tuple[list[Sample], str]:
        """Choose what may be reported on: this model's test part, the official one, or everything; and say which.

        Raises:
            OptionError: As `owns`.
        """
        names = self.parts["test"]
        if self.owns(collection) and names:
            found = [s for s in collection.samples if s.name in names]
            gone = f", of which {len(names) - len(found)} of {len(names)} images are gone"
            return found, "the model's own test part" + (gone if len(found) < len(names) else "")
        official = [s for s in collection.samples if s.split == "test"]
        if official:
            return official, "the official test part"
        return list(collection.samples), "all images (the data has no official test part)"

    def check_unchanged(self, prepared: Prepared, part: str = "test") -> None:
        """Refuse images of a part that are no longer those set aside for it when the model was fitted.

        Raises:
            LayoutError: At least one image changed since.
        """
        kept = self.parts[part]
        changed = [s.name for s, h in zip(prepared.samples, prepared.hashes, strict=True) if kept.get(s.name, h) != h]
        if changed:
            raise LayoutError(
                self.provenance["data"]["spec"],
                f"the {part} images set aside when the model was fitted",
                f"{len(changed)} that changed since (first {changed[0]})",
                "restore the data or fit again",
            )

    def seen(self, prepared: Prepared) -> int:
        """Count the images that fitting or calibrating used: their scores say nothing of new images."""
        return int(self.seen_rows(prepared).sum())

    def seen_rows(self, prepared: Prepared) -> npt.NDArray[np.bool_]:
        """Return which images fitting or calibrating used, (n,)."""
        used = {content for part in (*USED, RECALIBRATE) for content in self.parts.get(part, {}).values()}
        return np.asarray([content in used for content in prepared.hashes], bool)

    def check_unseen(self, prepared: Prepared, parts: Sequence[str] = (*USED, RECALIBRATE)) -> None:
        """Refuse images that these parts of the fit used.

        Raises:
            LeakageError: At least one exact copy.
        """
        check_leakage(prepared.contents, {part: self.parts[part] for part in parts if part in self.parts})

    def calibrated(
        self,
        images: Images,
        patients: Sequence[str | None] | None,
        *,
        alpha: float = 0.05,
        kind: str = "conformal",
        k: float = 2.0,
        strict: bool = True,
        scoring: Scoring | None = None,
        data: str = "",
    ) -> Model:
        """Return a copy calibrated anew on these normals, rescored too where a scoring is given.

        Raises:
            NotCalibratedError: Too few normals, and `strict`.
            OptionError: A scoring for a method that does not reconstruct.
        """
        model = replace(self, scoring=scoring or self.scoring)
        check_scoring(model.method, model.detector, model.scoring)
        if model.scoring is not None and model.scoring.residual is Residual.VARIANCE and model.head is None:
            raise OptionError("--residual", "variance", "a model fitted with it, for it is learnt on select normals")
        drawn = _drawn(model, images)
        fitted = Calibration.fit(
            model.scores(images),
            patients,
            alpha=alpha,
            kind=kind,
            k=k,
            strict=strict,
            data=data,
        )
        if len(drawn):
            fitted = replace(fitted, map_scale=_full_scale(drawn.max((1, 2)).astype(np.float64), patients))
        return replace(model, calibration=fitted, normal_maps=NormalMaps.fit(drawn, patients))

    @property
    def above_scale(self) -> float:
        """Share of normal images, or patients, that is expected, at most, to have a pixel above the heatmaps' scale."""
        return max(_PEAKS, 1 / (len(self.calibration.scores) + 1))

    @property
    def region_judge(self) -> NormalMaps | None:
        """What judges a map's regions; None where none could stand: without maps, or with too few normals for alpha."""
        maps = self.normal_maps
        return None if maps is None or maps.smallest > self.calibration.alpha else maps

    def marked(self, pixel_scores: Float[np.ndarray, "h w"]) -> npt.NDArray[np.bool_]:
        """Return the pixels of a map's regions that the wished false-alarm rate lets stand; none without normals."""
        if self.normal_maps is None:
            return np.zeros(pixel_scores.shape, bool)
        return self.normal_maps.marked(pixel_scores, self.calibration.alpha)


def _full_scale(peaks: npt.NDArray[np.float64], patients: Sequence[str | None] | None) -> float:
    """Return the heatmaps' absolute full scale, which one normal image in twenty, at most, is expected to exceed.

    That is the conformal bound; with fewer normals than it needs, the highest of them. Where patients are known, one in
    twenty of them has an image that exceeds it, for images of one patient are alike.
    """
    if patients and None not in patients:
        peaks = maximum_by(peaks, [str(patient) for patient in patients])
    return conformal_rule(peaks, _PEAKS).threshold if len(peaks) >= needed_for(_PEAKS) else float(peaks.max())


def _drawn(model: Model, normals: Images) -> npt.NDArray[np.float32]:
    """Draw the maps of normals, (n, h, w); empty for a model without maps."""
    maps = allocate((len(normals) if model.localizes else 0, *normals.shape[2:]), np.float32)
    if model.localizes:
        for row, pixel_scores in enumerate(model.maps(normals)):
            maps[row] = pixel_scores
    return maps


def _median(normals: Images) -> Float[Tensor, "c h w"]:
    """Return the median image of up to 201 normals, evenly spread: so many, whatever their number, fit in memory."""
    rows = np.linspace(0, len(normals) - 1, min(len(normals), _LOOKED_AT)).astype(np.int64)
    return normals.batch(rows).median(0).values


def fit(
    method: str,
    recipe: Method,
    data: Partition,
    *,
    preset: str = "python",
    scoring: Scoring | None = None,
    run: Run | None = None,
    false_alarms: float = 0.05,
    command: str = "",
) -> Model:
    """Fit a method on *train* (and *select*), then calibrate on *calibrate*.

    Args:
        method: Name of the method, for the record.
        recipe: Its hyperparameters.
        data: The four parts.
        preset: Where the hyperparameters came from.
        scoring: Default: the method's own score.
        run: Seed, device, precision, threads, checkpoints.
        false_alarms: Wished false-alarm rate; with too few *calibrate* normals the model says it is not calibrated.
        command: What the user typed, for the record.

    Raises:
        OptionError: A rate that is none, or a scoring that the method has nothing for.
        TooFewImagesError: Too few normals for the method, or *select* normals for a head.
        TrainingError: Training diverged, or a checkpoint cannot be used.
    """
    run = run or Run()
    if run.threads:
        torch.set_num_threads(run.threads)
    uncalibrated = Calibration.fit(np.empty(0), alpha=false_alarms)  # refuses a wrong rate before the work
    check_recipe(method, recipe, scoring)
    train, select = data.images["train"], data.images["select"]
    if scoring is not None and scoring.residual is Residual.VARIANCE:
        check_select(select)  # so are too few normals for its head
    began = time.perf_counter()
    detector = recipe.fit(train, run, select if len(select) else None)
    seconds = time.perf_counter() - began
    model = Model(
        method,
        recipe,
        preset,
        data.preprocessor,
        detector,
        uncalibrated,
        None,
        {s.value: Trivial(statistic=s).fit(train, run) for s in Statistic},
        data.parts,
        _provenance(data, run, detector, seconds, command),
        run,
        median=_median(train),
    )
    return rescore(model, scoring, data, false_alarms=false_alarms)


def rescore(model: Model, scoring: Scoring | None, data: Partition, *, false_alarms: float = 0.05) -> Model:
    """Score a fitted model otherwise, without training it again, and calibrate it anew.

    Args:
        model: Fitted on this data.
        scoring: None for the method's own score; `variance` learns its head on *select*.
        data: The four parts the model was fitted with.
        false_alarms: Wished false-alarm rate.

    Raises:
        OptionError: A scoring that the method has nothing for.
        TooFewImagesError: Too few *select* normals for a head.
    """
    check_scoring(model.method, model.detector, scoring)
    head = None
    if scoring is not None and scoring.residual is Residual.VARIANCE:
        head = fit_head(cast("Reconstructs", model.detector), model.recipe, data.images["select"], model.run)
    model = replace(model, scoring=scoring, head=head)
    normals, samples = data.images["calibrate"], data.samples["calibrate"]
    if not len(normals):
        return model
    return model.calibrated(normals, [s.patient for s in samples], alpha=false_alarms, strict=False)


def _provenance(data: Partition, run: Run, detector: Detector, seconds: float, command: str) -> dict[str, Any]:
    """Record what it takes to make this model again, and how training went."""
    history: History = getattr(detector, "history", None) or History()
    kept = history.record()
    training = {
        "seconds": round(seconds, 3),
        "images_per_second": history.images_per_second,
        "history": kept["epochs"],
    }
    return {**record(data, run, command), "training": training, "notes": [*data.notes, *kept["warnings"]]}
