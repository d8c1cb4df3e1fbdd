"""What every detector made of a network that redraws images can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DamagedModelError, ImageShapeError, OptionError
from ..progress import History
from ..scoring import Losses, Term
from ..types import Embeds, Images, Method, Run, State
from .autoencoder import Autoencoder
from .collapse import collapse_warnings
from .inference import computing, in_chunks
from .unet import UNet

__all__ = ["AutoencoderDetector", "Network", "ReconstructingDetector", "image_shape"]

Network = Autoencoder | UNet
"""Maps images of its `image_shape` to reconstructions of the same shape."""

_NETWORK = "network."
_LOOKED_AT = 256


def image_shape(state: State) -> list[int]:
    """Return (c, h, w) of the images a saved detector was fitted on.

    Raises:
        DamagedModelError: The state does not say.
    """
    if "image_shape" not in state or state["image_shape"].shape != (3,):
        raise DamagedModelError("weights", "the image shape is missing")
    return [int(side) for side in state["image_shape"]]


class ReconstructingDetector:
    """A fitted network that redraws images: scores by its error, localises and reconstructs.

    The precision it was fitted in is part of its state, so that a saved model decides as it did before saving.

    Args:
        method: The recipe that made it.
        network: The trained network.
        device: Where it computes.
        dtype: What its layers compute in.
        history: How training went; empty after `restore`.
    """

    def __init__(
        self,
        method: Method,
        network: Network,
        device: torch.device,
        dtype: torch.dtype,
        history: History | None = None,
    ) -> None:
        self.method = method
        self.network = network.to(device).eval()
        self.device = device
        self.dtype = dtype
        self.history = History() if history is None else history

    @classmethod
    def restored(cls, method: Method, network: Network, state: State) -> Self:
        """Rebuild the detector on the processor from `state` and an untrained network of the same shape.

        Raises:
            DamagedModelError: The state does not fit the network.
        """
        weights = {k.removeprefix(_NETWORK): v for k, v in state.items() if k.startswith(_NETWORK)}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            cause = " ".join(str(error).split())
            raise DamagedModelError("weights", f"they do not fit the recipe ({cause})") from None
        dtype = torch.bfloat16 if bool(state.get("bf16", False)) else torch.float32
        return cls(method, network, torch.device("cpu"), dtype)

    def to(self, run: Run) -> Self:
        """Move to the run's device; keep the fitted precision unless the run names one."""
        self.device = run.torch_device
        self.network.to(self.device)
        if run.precision != "auto":
            self.dtype = run.autocast_dtype
        return self

    def state(self) -> State:
        """Return weights, image shape and precision."""
        weights = {_NETWORK + k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        shape = torch.tensor(self.network.image_shape)
        return {**weights, "image_shape": shape, "bf16": torch.tensor(self.dtype == torch.bfloat16)}

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean of the map."""
        return self._apply(lambda x: self.pixel_scores(x).mean((1, 2)), images)

    def anomaly_map(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return `pixel_scores`, in fixed chunks."""
        return self._apply(self.pixel_scores, images)

    def pixel_scores(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return the squared error per pixel, the mean over channels; a method with another score overrides this."""
        residual: Tensor = self.network(images) - images
        return residual.square().mean(1)

    def losses(self) -> Losses:
        """Return what an image's loss is made of; a method with more terms adds them."""
        return {Term.RECONSTRUCTION: lambda x: (self.network(x) - x).square().mean((1, 2, 3))}

    def loss_gradient(self, images: Float[Tensor, "n c h w"], term: Term) -> Float[Tensor, "n c h w"]:
        """Return the derivative of each image's loss term with respect to the image.

        Raises:
            OptionError: The method's loss has no such term.
        """
        losses = self.losses()
        if term not in losses:
            raise OptionError("--residual", f"{term.value} gradient", "a term of this method's loss")

        def gradient(chunk: Tensor) -> Tensor:
            chunk = chunk.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(losses[term](chunk).sum(), chunk)
            return found

        return self._apply(gradient, images, gradients=True)

    def reconstruct(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions in (0, 1)."""
        return self._apply(self.network, images)

    def collapse_warnings(self, normals: Images) -> list[str]:
        """Say, from up to 256 training normals, whether the network answers the same whatever it is shown."""
        rows = np.linspace(0, len(normals) - 1, min(len(normals), _LOOKED_AT)).astype(np.int64)
        images = normals.batch(rows)
        latents = self.embed(images) if isinstance(self, Embeds) else None
        return collapse_warnings(images, self.reconstruct(images), latents)

    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor, *, gradients: bool = False) -> Tensor:
        if tuple(images.shape[1:]) != self.network.image_shape:
            raise ImageShapeError(self.network.image_shape, tuple(images.shape))
        return in_chunks(function, images, self.device, self.dtype, gradients=gradients)


class AutoencoderDetector(ReconstructingDetector):
    """A fitted autoencoder: its latent vector, through which all of an image passes, is an embedding."""

    network: Autoencoder

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors."""
        return self._apply(self.network.encode, images)

    def decode(self, latents: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the images that latent vectors stand for."""
        with torch.inference_mode(), computing(self.device, self.dtype):
            # decoders of a mean and a log-variance put the mean first
            images = self.network.decode(latents.to(self.device))[:, : self.network.image_shape[0]]
        return images.float().to(latents.device).clone()
