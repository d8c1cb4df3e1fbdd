"""The one-class support vector machine: which points hold the boundary, and how far others lie outside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DamagedModelError, OptionError, TooFewImagesError
from ..types import Run, State

__all__ = ["SupportVectors", "check_machine"]

_NAMES = ("vectors", "coefficients", "offset", "width")


def check_machine(method: str, nu: float, kernel_width: float) -> None:
    """Refuse settings no machine can have.

    Raises:
        OptionError: nu is no share, or the kernel width is negative.
    """
    if not 0 < nu <= 1:
        raise OptionError(f"{method} --nu", nu, "a share in (0, 1]")
    if not 0 <= kernel_width < float("inf"):
        raise OptionError(f"{method} --kernel-width", kernel_width, "0 (automatic) or a number above it")


@dataclass(frozen=True)
class SupportVectors:
    """A fitted machine, f(x) = sum_i alpha_i exp(-width |x - x_i|²) - rho.

    Args:
        vectors: The points x_i whose alpha_i is above 0.
        coefficients: alpha, the dual variables.
        offset: rho.
        width: gamma of the kernel.
    """

    vectors: Float[Tensor, "m p"]
    coefficients: Float[Tensor, " m"]
    offset: Float[Tensor, ""]
    width: Float[Tensor, ""]

    @classmethod
    def fitted(cls, points: Float[Tensor, "n p"], nu: float, kernel_width: float, run: Run) -> Self:
        """Solve the dual with libsvm.

        Args:
            points: One row per normal image, float64.
            nu: Upper bound on the share of points outside, lower bound on the share of support vectors.
            kernel_width: gamma of exp(-gamma |x - y|²); 0 takes 1 / (p var(points)).
            run: Seeds the solver.

        Raises:
            TooFewImagesError: Fewer than 2 points.
        """
        from sklearn.svm import OneClassSVM

        if len(points) < 2:
            raise TooFewImagesError("train", 2, len(points))
        variance = float(points.var(correction=0))
        width = kernel_width or 1.0 / (points.shape[1] * max(variance, 1e-12))
        with run.seeded():  # libsvm's wrapper draws from numpy's global generator
            machine = OneClassSVM(nu=nu, gamma=width, kernel="rbf").fit(points.numpy())
        return cls(
            points[torch.from_numpy(machine.support_).long()],
            torch.from_numpy(machine.dual_coef_[0]).double(),
            torch.tensor(-float(machine.intercept_[0]), dtype=torch.float64),
            torch.tensor(width, dtype=torch.float64),
        )

    @classmethod
    def restored(cls, state: State) -> Self:
        """Rebuild the machine from what `state` returned, among other entries.

        Raises:
            DamagedModelError: A part is missing.
        """
        missing = [name for name in _NAMES if name not in state]
        if missing:
            raise DamagedModelError("weights", f"of the support vectors, {', '.join(missing)} is missing")
        return cls(*(state[name] for name in _NAMES))

    def outlyingness(self, points: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
        """Return rho - sum_i alpha_i k(x, x_i): positive outside, negative inside."""
        distances = torch.cdist(points.cpu().double(), self.vectors)
        return (self.offset - torch.exp(-self.width * distances.square()) @ self.coefficients).float()

    def state(self) -> State:
        """Return support vectors, dual coefficients, offset and kernel width."""
        return {name: getattr(self, name) for name in _NAMES}
