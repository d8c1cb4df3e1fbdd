"""Other scores of a trained detector, without training it again.

    images, detector --Scoring--> map (n, h, w)

Most residuals need the reconstruction alone. Gradients need a detector that differentiates its loss. `variance` needs
a head, a small network learnt on *select* normals, that tells from a reconstruction how well each pixel is usually
redrawn.
"""

from __future__ import annotations

import math
from typing import cast, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import OptionError, TooFewImagesError
from .images import batches
from .nn.inference import in_chunks
from .scoring import Differentiates, Residual, Scoring
from .training import History, Phase, Schedule, train
from .types import Detector, Images, Method, Reconstructs, Run, State

__all__ = ["VarianceHead", "check_recipe", "check_scoring", "fit_head", "residual_map"]

_FEWEST = 10
_WIDTH = 16
_SCHEDULE = Schedule(epochs=200, batch_size=64, learning_rate=1e-3)


_RECONSTRUCTING = "a method that reconstructs (cae, ae, pca ...)"


def check_scoring(method: str, detector: Detector, scoring: Scoring | None) -> None:
    """Refuse a scoring that the detector has nothing for.

    Raises:
        OptionError: The detector does not reconstruct, or its loss has no such term.
    """
    if scoring is None:
        return
    if not isinstance(detector, Reconstructs):
        raise OptionError("--residual / --pooling", method, _RECONSTRUCTING)
    term = scoring.residual.term
    if term is None:
        return
    known = set(detector.losses()) if isinstance(detector, Differentiates) else set()
    if term not in known:
        fitting = ", ".join(r.value for r in Residual if r.term is None or r.term in known)
        raise OptionError(f"--residual of {method}", scoring.residual.value, f"one of {fitting}")


def check_recipe(method: str, recipe: Method, scoring: Scoring | None) -> None:
    """Refuse before the training a scoring for a method whose detectors reconstruct nothing, as their class tells.

    Raises:
        OptionError: They do not.
    """
    if scoring is None:
        return
    try:
        fitted = get_type_hints(type(recipe).fit).get("return")
    except (NameError, TypeError):  # hints that only a type checker can read
        fitted = None
    known = isinstance(fitted, type) and fitted.__module__ != "typing" and not getattr(fitted, "_is_protocol", False)
    if known and not hasattr(fitted, "reconstruct"):
        raise OptionError("--residual / --pooling", method, _RECONSTRUCTING)


def residual_map(
    scoring: Scoring, detector: Detector, head: VarianceHead | None, images: Float[Tensor, "n c h w"]
) -> Float[Tensor, "n h w"]:
    """Return the per-pixel scores of prepared images under a scoring that `check_scoring` let pass.

    Those that read a loss term's derivative have no gradient themselves.
    """
    redrawn = cast("Reconstructs", detector).reconstruct(images).to(images.device)
    residual, term = scoring.residual, scoring.residual.term
    if term is not None:
        slope = cast("Differentiates", detector).loss_gradient(images, term).abs().to(images.device)
        weighted = (images - redrawn).square() * slope if residual is Residual.KL_WEIGHTED else slope
        # a slope has no derivative here: what is left of the product's would be wrong
        return weighted.mean(1).detach()
    if residual is Residual.VARIANCE:
        assert head is not None, "a model scored by variance has a head"
        return head.map(images, redrawn)
    return scoring.map(images, redrawn)


class VarianceHead(nn.Module):
    """Predicts the log-variance of a pixel's residual from the reconstruction around it and where it is.

        reconstruction, row, column -> [conv 3x3, dilation 1, 2, 4, 8, ReLU] 16 channels -> conv 1x1 -> s (n, c, h, w)

    Args:
        channels: Of the images.
    """

    start: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels + 2
        for dilation in (1, 2, 4, 8):
            layers += [nn.Conv2d(inputs, _WIDTH, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
            inputs = _WIDTH
        self.layers = nn.Sequential(*layers, nn.Conv2d(_WIDTH, channels, 1))
        self.register_buffer("start", torch.zeros(()))

    def forward(self, redrawn: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the log-variance s."""
        n, _, h, w = redrawn.shape
        rows = torch.linspace(-1, 1, h, device=redrawn.device).view(1, 1, h, 1).expand(n, 1, h, w)
        columns = torch.linspace(-1, 1, w, device=redrawn.device).view(1, 1, 1, w).expand(n, 1, h, w)
        found: Tensor = self.layers(torch.cat([redrawn, rows, columns], 1)).float()
        return found + self.start

    def map(self, images: Float[Tensor, "n c h w"], redrawn: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return exp(-s) r², the mean over channels."""
        device = self.start.device
        log_variance = in_chunks(self, redrawn, device, torch.float32)
        return ((-log_variance).exp() * (images - redrawn).square()).mean(1)

    def state(self) -> State:
        """Return the weights."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}

    @classmethod
    def restored(cls, channels: int, state: State, run: Run) -> VarianceHead:
        """Rebuild a head from its weights."""
        head = cls(channels)
        head.load_state_dict(state)
        return head.to(run.torch_device).eval()


def check_select(select: Images) -> None:
    """Refuse too few *select* normals to learn a head on.

    Raises:
        TooFewImagesError: Fewer than 10.
    """
    if len(select) < _FEWEST:
        raise TooFewImagesError("select", _FEWEST, len(select), "the variance residual is learnt on them")


def fit_head(detector: Reconstructs, recipe: Method, select: Images, run: Run) -> VarianceHead:
    """Learn the head on *select* normals by exp(-s) r² + s, the detector unchanged.

    Raises:
        TooFewImagesError: Fewer than 10 select normals.
        TrainingError: Training diverged, or a checkpoint cannot be used.
    """
    check_select(select)
    run = run.replace(precision="float32")
    with run.seeded(1):
        head = VarianceHead(select.shape[1])
    mean = sum(float((x - detector.reconstruct(x)).square().mean()) * len(x) for x in batches(select)) / len(select)
    head.start.fill_(math.log(max(mean, 1e-12)))

    def loss(images: Tensor) -> Tensor:
        redrawn = detector.reconstruct(images)
        log_variance = head(redrawn)
        likelihood: Tensor = (-log_variance).exp() * (images - redrawn).square() + log_variance
        return likelihood.mean()

    phases = [Phase(tuple(head.parameters()), loss)]
    for _ in train(head, phases, select, _SCHEDULE, run, History(), recipe=recipe, stage="variance-head"):
        pass
    return head
