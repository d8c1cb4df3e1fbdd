"""scikit-learn's and PyOD's words for the same detectors; the only module where scores change sign.

    rows (n, features) --one affine map fitted on training rows--> images --Method.fit--> Detector
                       --held-out rows--> Calibration --> threshold

Signs, in one line each:

    scikit-learn                 lower = more abnormal     -1 abnormal, +1 normal   (OneClassDetector)
    PyOD, anomalib, normoscope   higher = more abnormal     1 abnormal,  0 normal   (PyODDetector)

Rows are all taken for normal. A row without `image_shape` is a plain vector, seen by methods as an image one pixel
high. Patients are unknown here: where several rows come from one patient, `normoscope.partition` keeps them together,
these adapters cannot.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .calibration import Above, Calibration
from .errors import ImageShapeError, OptionError
from .images import BATCH, PixelStore, as_images, batches
from .methods import build
from .types import Detector, Method, Run

__all__ = ["OneClassDetector", "PyODDetector"]

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

FAR = 1e6
"""Values farther out than this many value ranges count as this far, so that no score overflows float32."""

VECTOR_PARAMS: Mapping[str, Mapping[str, str]] = {"knn": {"features": "pixels"}}
"""What a recipe's defaults become where rows are plain vectors: HOG needs two dimensions."""


class _RowDetector(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """What both adapters share: parameters, fitting, and scores in normoscope's own sign.

    Values are mapped to [0, 1] by one affine map for all features, so that an image keeps its shading. The map is
    fitted on the training rows and does not clip to their range: what lies outside it stays outside [0, 1].
    """

    def __init__(
        self,
        method: str = "knn",
        preset: str = "quick",
        image_shape: tuple[int, ...] | None = None,
        params: Mapping[str, Any] | None = None,
        value_range: tuple[float, float] | Values | None = None,
        false_alarms: float = 0.05,
        calibrate_share: float = 0.2,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.method = method
        self.preset = preset
        self.image_shape = image_shape
        self.params = params
        self.value_range = value_range
        self.false_alarms = false_alarms
        self.calibrate_share = calibrate_share
        self.seed = seed
        self.device = device

    def _fit(self, X: npt.ArrayLike) -> Values:
        """Fit on most rows, set the threshold on the others; return all rows, checked."""
        self._check_shares()
        rows: Values = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        held_out, kept = self._draw(len(rows))
        recipe, value_range = self._recipe(), self._range(rows[kept])
        images = self._images(rows, value_range)
        detector = recipe.fit(images.subset(kept), Run(seed=self.seed, device=self.device))
        scores = self._calibration_scores(detector, images.subset(held_out))
        # all at once: a fit that fails leaves what an earlier one left
        self.held_out_, self.value_range_, self.recipe_, self.detector_ = held_out, value_range, recipe, detector
        self.calibration_ = Calibration.fit(scores, alpha=self.false_alarms)
        if not self.calibrated_:
            warnings.warn(self._weaker_rule(), UserWarning, stacklevel=3)
        return rows

    def pvalues(self, X: npt.ArrayLike) -> Values:
        """Return conformal p-values, (n,) in (0, 1]: (1 + #{held-out scores >= score}) / (held-out rows + 1).

        A normal row has p <= alpha with probability at most alpha. It is not the probability of being normal.
        """
        scores = self._anomaly_score(X)
        return self.calibration_.pvalues(scores)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn that a fit has come to its end."""
        return hasattr(self, "calibration_")

    @property
    def calibrated_(self) -> bool:
        """Whether enough rows were held out for the wished false-alarm rate."""
        check_is_fitted(self)
        return bool(self.calibration_.calibrated)

    def _anomaly_score(self, X: npt.ArrayLike) -> Values:
        """Return normoscope's score: higher is more anomalous."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return self._score(self.detector_, self._images(rows, self.value_range_))

    @property
    def _threshold(self) -> float:
        """The conformal rule's threshold; where it does not exist, the largest held-out score."""
        rule = self.calibration_.rule
        return rule.threshold if isinstance(rule, Above) else float(self.calibration_.scores[-1])

    def _check_shares(self) -> None:
        for name in ("false_alarms", "calibrate_share"):
            if not 0 < (share := getattr(self, name)) < 1:
                raise OptionError(name, share, "a share between 0 and 1, both excluded")

    def _recipe(self) -> Method:
        defaults = VECTOR_PARAMS.get(self.method, {}) if self.image_shape is None else {}
        return build(self.method, self.preset, {**defaults, **(self.params or {})})

    def _draw(self, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the positions of held-out and of training rows, at least one each."""
        held_out = min(max(1, round(self.calibrate_share * n)), n - 1)
        order = np.random.default_rng(self.seed).permutation(n)
        return np.sort(order[:held_out]), np.sort(order[held_out:])

    def _range(self, rows: Values) -> tuple[float, float]:
        """Return the values that become 0 and 1."""
        given = (rows.min(), rows.max()) if self.value_range is None else self.value_range
        low, high = (float(value) for value in given)
        if self.value_range is None and low == high:
            high = low + max(1.0, abs(low))  # constant rows have no scale of their own
        if not 0 < high - low < np.inf:
            raise OptionError("value_range", (low, high), "(low, high) with low below high, a finite number apart")
        return low, high

    def _images(self, rows: Values, value_range: tuple[float, float]) -> PixelStore:
        """Map the value range to [0, 1], values beyond it beyond, and rows to images."""
        shape = (1, 1, rows.shape[1]) if self.image_shape is None else tuple(self.image_shape)
        if math.prod(shape) != rows.shape[1]:
            raise ImageShapeError(shape, rows.shape, f"pass rows of {math.prod(shape)} values or another image_shape")
        low, high = value_range
        with np.errstate(over="ignore"):
            scaled = np.clip((rows - low) / (high - low), -FAR, FAR)
        return as_images(scaled.reshape(len(rows), *shape)).with_intensity(_unclipped)

    def _score(self, detector: Detector, images: PixelStore) -> Values:
        device = str(Run(device=self.device).torch_device)
        parts = [detector.anomaly_score(batch) for batch in batches(images, BATCH, device)]
        return np.asarray(torch.cat(parts).double().cpu().numpy())

    def _calibration_scores(self, detector: Detector, images: PixelStore) -> Values:
        scores = self._score(detector, images)
        if not np.isfinite(scores).all():
            expected = f"a shape that {self.method} has finite scores for (most methods need images)"
            raise OptionError("image_shape", self.image_shape, expected)
        return scores

    def _weaker_rule(self) -> str:
        given = len(self.calibration_.scores)
        return (
            f"{self.calibration_.status}; predict flags only what scores above every held-out row, on average "
            f"{1 / (given + 1):.0%} of normal rows; fit on more rows, or raise calibrate_share or false_alarms."
        )


def _unclipped(images: torch.Tensor) -> torch.Tensor:
    return images


class OneClassDetector(OutlierMixin, _RowDetector):  # type: ignore[misc] # scikit-learn has no types
    """Any method of normoscope as a scikit-learn outlier detector: lower scores are more abnormal, labels are ±1.

        score_samples = -anomaly_score        decision_function = score_samples - offset_        predict = its sign

    `offset_` is the negated threshold of the conformal rule on rows held out of training, so that a new normal row is
    flagged with probability at most `false_alarms`. With too few held-out rows `calibrated_` is False, `fit` warns
    with a `UserWarning`, and predict flags what scores above all of them: the most careful rule they support.

    Args:
        method: A name that `normoscope list methods` shows.
        preset: quick, or paper for the paper's own hyperparameters.
        image_shape: (h, w), (c, h, w) or (h, w, 3) of the image that a row holds flattened, in that order; None for
            plain vectors (knn then compares values instead of HOG features).
        params: Hyperparameters of the method that differ from the preset, by name.
        value_range: The values that become 0 and 1, (0, 255) for 8-bit images; None takes the smallest and largest
            value of the training rows.
        false_alarms: Wished share of new normal rows that are flagged, in (0, 1).
        calibrate_share: Share of the rows, in (0, 1), drawn at random and held out to set the threshold.
        seed: Seeds the draw and the method.
        device: auto, cpu, cuda, cuda:1 ...

    Attributes:
        detector_: The fitted method, in normoscope's own words.
        recipe_: Its hyperparameters.
        held_out_: Positions of the held-out rows.
        calibration_: Held-out scores, rule and the band of the rate it realises.
        calibrated_: Whether the rule keeps the wished rate.
        offset_: Lowest score_samples that is still normal.
        value_range_: The values that became 0 and 1.
        n_features_in_: Values per row.

    Reference: the rule: Bates et al., Testing for outliers with conformal p-values, Ann. Stat. 2023.

    Example:
        >>> import numpy as np
        >>> normals = np.random.default_rng(0).normal(size=(200, 5))
        >>> detector = OneClassDetector("knn").fit(normals)
        >>> detector.predict([[0, 0, 0, 0, 0], [9, 9, 9, 9, 9]]).tolist()
        [1, -1]
    """

    def fit(self, X: npt.ArrayLike, y: object = None) -> OneClassDetector:
        """Fit on rows that are all taken for normal; `y` is ignored, as scikit-learn's outlier detectors do.

        Raises:
            OptionError: A parameter is out of range.
            ImageShapeError: Rows do not hold `image_shape`.
            TooFewImagesError: Fewer training rows than the method needs.
        """
        self._fit(X)
        self.offset_ = -self._threshold
        return self

    def score_samples(self, X: npt.ArrayLike) -> Values:
        """Return the negated anomaly score, (n,): lower is more abnormal."""
        return -self._anomaly_score(X)

    def decision_function(self, X: npt.ArrayLike) -> Values:
        """Return `score_samples - offset_`, (n,): negative is abnormal."""
        scores = self.score_samples(X)
        return np.asarray(scores - self.offset_)

    def predict(self, X: npt.ArrayLike) -> Labels:
        """Return -1 for abnormal rows, +1 for normal ones."""
        return np.where(self.decision_function(X) >= 0, 1, -1)


class PyODDetector(_RowDetector):
    """Any method of normoscope with PyOD's words: higher scores are more abnormal, labels are 0 and 1.

    Differs from PyOD where PyOD would mislead. There is no `contamination`: PyOD flags that share of the *training*
    rows; here `false_alarms` is the share of *new normal* rows that are flagged, from rows held out of training. There
    is no `predict_proba`: no method here knows the probability that a row is abnormal; `pvalues` is what can be
    promised. `decision_scores_` and `labels_` speak of the rows given to `fit`, most of which the method has seen:
    they look more normal than new rows.

    Args: those of `OneClassDetector`.

    Attributes:
        decision_scores_: Scores of the rows given to `fit`, in their order.
        labels_: 1 where they lie above `threshold_`, else 0.
        threshold_: Largest score that is still normal.
        calibrated_: Whether it keeps the wished rate.

    Example:
        >>> import numpy as np
        >>> normals = np.random.default_rng(0).normal(size=(200, 5))
        >>> detector = PyODDetector("knn").fit(normals)
        >>> detector.predict([[0, 0, 0, 0, 0], [9, 9, 9, 9, 9]]).tolist()
        [0, 1]
    """

    def fit(self, X: npt.ArrayLike, y: object = None) -> PyODDetector:
        """Fit on rows that are all taken for normal; `y` is ignored.

        Raises:
            OptionError: A parameter is out of range.
            ImageShapeError: Rows do not hold `image_shape`.
            TooFewImagesError: Fewer training rows than the method needs.
        """
        rows = self._fit(X)
        self.threshold_ = self._threshold
        self.decision_scores_ = self._score(self.detector_, self._images(rows, self.value_range_))
        self.labels_ = self._flag(self.decision_scores_)
        return self

    def decision_function(self, X: npt.ArrayLike) -> Values:
        """Return the anomaly score, (n,): higher is more abnormal."""
        return self._anomaly_score(X)

    def predict(self, X: npt.ArrayLike) -> Labels:
        """Return 1 for abnormal rows, 0 for normal ones."""
        return self._flag(self.decision_function(X))

    def _flag(self, scores: Values) -> Labels:
        return (scores > self.threshold_).astype(np.int64)
