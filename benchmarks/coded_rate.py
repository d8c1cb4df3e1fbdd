"""Is the rate of `entropy_ae` what an entropy coder really spends? Real normals coded in one stream, and decoded back.

    NORMOSCOPE_DATA=... python benchmarks/coded_rate.py --out results/coded_rate.json

The default recipe is trained on PneumoniaMNIST's training normals. The rounded latent vectors of its validation normals
then go, dimension after dimension, through one range coder with the probabilities of the learnt discretised prior.
The decoder has to know the prior's parameters and the support, counted as side information.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import constriction
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from machine import facts
from normoscope.images import PixelStore
from normoscope.methods import to_json
from normoscope.methods.entropy_ae import EntropyAE
from normoscope.nn.rate import FactorisedPrior
from normoscope.types import Run
from normoscope.written import write_atomically

Words = npt.NDArray[np.uint32]
Support = tuple[int, int]
"""Lowest and highest integer that has a code word, the same in every dimension."""

SET = "medmnist/pneumoniamnist.npz"


def main() -> None:
    """Train, code, decode, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EntropyAE.epochs)
    parser.add_argument("--rate-weight", type=float, default=EntropyAE.rate_weight)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/coded_rate.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = dataclasses.replace(EntropyAE(), epochs=args.epochs, rate_weight=args.rate_weight)
    with np.load(Path(os.environ["NORMOSCOPE_DATA"], SET)) as file:
        parts = [file[f"{part}_images"][file[f"{part}_labels"].ravel() == 0][:, None] for part in ("train", "val")]
    fitted, held_out = (PixelStore(images) for images in parts)
    detector = recipe.fit(fitted, Run(progress=True))
    images = held_out.batch(np.arange(len(held_out)))
    residual = 2 * (detector.reconstruct(images) - images)
    result = {
        "what": "bits per held-out normal image that the rate of entropy_ae estimates and a range coder spends",
        "command": "python benchmarks/coded_rate.py " + " ".join(sys.argv[1:]),
        "recipe": to_json(recipe),
        "precision": str(detector.dtype).removeprefix("torch."),
        "machine": facts(),
        "constriction": version("constriction"),
        "normals": {"fitted": len(fitted), "held_out": len(held_out)},
        "distortion": float(residual.square().mean()),
        **coded(detector.network.cost.cpu(), detector.embed(images).round()),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("distortion", "bits_per_image", "side_information")}, indent=2))


def coded(prior: FactorisedPrior, latents: Tensor) -> dict[str, object]:
    """Code rounded latent vectors (n, d), decode them, and return what both cost.

    Raises:
        ValueError: The decoder gave other vectors.
    """
    words, support = encode(prior, latents)
    if not torch.equal(decode(prior, words, support, len(latents)), latents):
        raise ValueError("the decoder gave other latent vectors than were coded.")
    with torch.no_grad():
        estimated = float(prior(latents).double().sum())
    spent = 32 * len(words)
    parameters = sum(p.numel() * p.element_size() for p in prior.parameters())
    side = {"prior_parameters_bytes": parameters, "support_bytes": 8}
    return {
        "bits_per_image": {"estimated": estimated / len(latents), "coded": spent / len(latents)},
        "coded_over_estimated": spent / estimated,
        "side_information": {**side, "bits_per_image": 8 * sum(side.values()) / len(latents)},
        "support": support,
    }


def encode(prior: FactorisedPrior, latents: Tensor) -> tuple[Words, Support]:
    """Code integers (n, d) in one stream; return its 32-bit words and the support."""
    symbols = latents.numpy().astype(np.int32)
    support = int(symbols.min()) - 1, int(symbols.max()) + 1  # the margin leaves two symbols where all are alike
    coder = constriction.stream.queue.RangeEncoder()
    for column, table in zip(symbols.T, tables(prior, support), strict=True):
        coder.encode(column - support[0], constriction.stream.model.Categorical(table, perfect=False))
    return coder.get_compressed(), support


def decode(prior: FactorisedPrior, words: Words, support: Support, count: int) -> Tensor:
    """Return the integers (count, d) of a stream, as float32."""
    coder = constriction.stream.queue.RangeDecoder(words)
    columns = [
        coder.decode(constriction.stream.model.Categorical(table, perfect=False), count) + support[0]
        for table in tables(prior, support)
    ]
    return torch.from_numpy(np.stack(columns, 1)).float()


@torch.no_grad()
def tables(prior: FactorisedPrior, support: Support) -> npt.NDArray[np.float64]:
    """Return the discretised prior's probabilities over the support, a row per dimension."""
    integers = torch.arange(support[0], support[1] + 1.0)[:, None].expand(-1, len(prior.logits))
    return np.ascontiguousarray(prior.log2_probability(integers).double().exp2().T.numpy())


if __name__ == "__main__":
    main()
