"""One-class support vector machine with an RBF kernel on raw pixels.

    image --flatten--> pixels --sum_i alpha_i k(x, x_i) - rho--> signed distance, negated--> score

Reference: Schoelkopf et al., Support vector method for novelty detection, NIPS 2000; as a baseline in Gao et al.
(ConOCC), section 3.1.

differs from the paper in: nu and the kernel width are not given there; nu = 0.1 and scikit-learn's
gamma = 1 / (d var(x)) are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import TooFewImagesError
from ..images import batches, check_shape
from ..nn.support_vectors import SupportVectors, check_machine
from ..types import Images, Run, State

__all__ = ["OCSVM"]


@dataclass(frozen=True)
class OCSVM:
    """One-class SVM recipe.

    Args:
        nu: Upper bound on the share of training normals outside, lower bound on the share of support vectors.
        kernel_width: gamma of exp(-gamma |x - y|²); 0 takes 1 / (d var(x)).
    """

    nu: float = 0.1
    kernel_width: float = 0.0

    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        check_machine("ocsvm", self.nu, self.kernel_width)

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _PixelBoundary:
        """Solve the dual with libsvm; keep its support vectors, coefficients and offset.

        Raises:
            TooFewImagesError: Fewer than 2 normals.
        """
        if len(normals) < 2:
            raise TooFewImagesError("train", 2, len(normals))
        flat = torch.cat([batch.flatten(1) for batch in batches(normals)]).double()
        machine = SupportVectors.fitted(flat, self.nu, self.kernel_width, run)
        return _PixelBoundary(self, machine, normals.shape[1:])

    def restore(self, state: State) -> _PixelBoundary:
        """Rebuild the fitted detector."""
        return _PixelBoundary(self, SupportVectors.restored(state), state["image_shape"].tolist())


class _PixelBoundary:
    """Fitted: a boundary around normal images in pixel space."""

    def __init__(self, method: OCSVM, machine: SupportVectors, image_shape: Sequence[int]) -> None:
        self.method, self.machine, self.image_shape = method, machine, image_shape

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return rho - sum_i alpha_i k(x, x_i): positive outside, negative inside."""
        check_shape(images, self.image_shape)
        return self.machine.outlyingness(images.flatten(1))

    def state(self) -> State:
        """Return support vectors, dual coefficients, offset, kernel width and image shape."""
        return {**self.machine.state(), "image_shape": torch.tensor(self.image_shape)}
