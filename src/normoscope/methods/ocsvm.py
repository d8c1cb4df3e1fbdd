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

from ..errors import OptionError, TooFewImagesError
from ..images import batches, check_shape
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
        if not 0 < self.nu <= 1:
            raise OptionError("ocsvm --nu", self.nu, "a share in (0, 1]")
        if not 0 <= self.kernel_width < float("inf"):
            raise OptionError("ocsvm --kernel-width", self.kernel_width, "0 (automatic) or a number above it")

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> _SupportVectors:
        """Solve the dual with libsvm; keep its support vectors, coefficients and offset.

        Raises:
            TooFewImagesError: Fewer than 2 normals.
        """
        from sklearn.svm import OneClassSVM

        if len(normals) < 2:
            raise TooFewImagesError("train", 2, len(normals))
        flat = torch.cat([batch.flatten(1) for batch in batches(normals)]).double()
        variance = float(flat.var(correction=0))
        width = self.kernel_width or 1.0 / (flat.shape[1] * max(variance, 1e-12))
        with run.seeded():  # libsvm's wrapper draws from numpy's global generator
            machine = OneClassSVM(nu=self.nu, gamma=width, kernel="rbf").fit(flat.numpy())
        return _SupportVectors(
            self,
            flat[torch.from_numpy(machine.support_).long()],
            torch.from_numpy(machine.dual_coef_[0]).double(),
            torch.tensor(-float(machine.intercept_[0]), dtype=torch.float64),
            torch.tensor(width, dtype=torch.float64),
            normals.shape[1:],
        )

    def restore(self, state: State) -> _SupportVectors:
        """Rebuild the fitted detector."""
        return _SupportVectors(
            self,
            state["vectors"],
            state["coefficients"],
            state["offset"],
            state["width"],
            state["image_shape"].tolist(),
        )


class _SupportVectors:
    """Fitted: f(x) = sum_i alpha_i k(x, x_i) - rho."""

    def __init__(
        self,
        method: OCSVM,
        vectors: Float[Tensor, "m p"],
        coefficients: Float[Tensor, " m"],
        offset: Float[Tensor, ""],
        width: Float[Tensor, ""],
        image_shape: Sequence[int],
    ) -> None:
        self.method, self.vectors, self.coefficients = method, vectors, coefficients
        self.offset, self.width, self.image_shape = offset, width, image_shape

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return rho - sum_i alpha_i k(x, x_i): positive outside, negative inside."""
        check_shape(images, self.image_shape)
        distances = torch.cdist(images.cpu().flatten(1).double(), self.vectors)
        return (self.offset - torch.exp(-self.width * distances.square()) @ self.coefficients).float()

    def state(self) -> State:
        """Return support vectors, dual coefficients, offset, kernel width and image shape."""
        return {
            "vectors": self.vectors,
            "coefficients": self.coefficients,
            "offset": self.offset,
            "width": self.width,
            "image_shape": torch.tensor(self.image_shape),
        }
