"""Training health without labels: does the network still look at its input?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["collapse_warnings"]


def collapse_warnings(
    images: Float[Tensor, "n c h w"],
    reconstructions: Float[Tensor, "n c h w"],
    latents: Float[Tensor, "n d"] | None = None,
) -> list[str]:
    """Tell from normals alone whether a network answers the same whatever it is shown.

    Collapsed means: reconstructions vary over images by less than 1 % of how the images themselves vary
    (variance, mean over pixels), or latent vectors by less than a millionth of their mean squared length.

    Args:
        images: Training normals; fewer than 2, or identical ones, say nothing.
        reconstructions: Of the same images.
        latents: Of the same images, where the network has a latent vector.

    Returns:
        One sentence per finding.
    """
    varies = float(images.var(0).mean()) if len(images) > 1 else 0.0
    if varies == 0:
        return []
    share = float(reconstructions.var(0).mean()) / varies
    found = []
    if share < 0.01:
        found.append(
            f"The network has collapsed: its reconstructions vary by {share:.2%} of what the training images do, "
            "so it shows every image the same picture; train longer, or with a lower learning rate."
        )
    if latents is not None and float(latents.var(0).sum()) <= 1e-6 * float(latents.square().sum(1).mean()):
        found.append(
            "The latent space has collapsed: every training image has the same latent vector; "
            "distances in it mean nothing."
        )
    return found
