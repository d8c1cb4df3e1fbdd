"""The loop one would write first: what this package's speed and accuracy are compared with.

    python benchmarks/baseline.py IMAGES.npz --epochs 2 --batch-size 128 --threads 2     prints one JSON object

Plain float32, NCHW, `optim.Adam`, the data already one float32 tensor, no DataLoader. The network is that of the
`cae` method, its decoder written as `nn.Upsample` and `nn.Conv2d`. Imports nothing of normoscope.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["autoencoder", "score", "train"]


def autoencoder(image_shape: tuple[int, int, int]) -> nn.Sequential:
    """Build the network for sides divisible by 4, cropping where the third halving rounds up."""
    channels, height, width = image_shape
    grid = (128, -(-height // 8), -(-width // 8))
    cells = grid[0] * grid[1] * grid[2]
    double = nn.Upsample(scale_factor=2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(cells, 256),
        nn.Linear(256, cells), nn.ReLU(), nn.Unflatten(1, grid),
        double, nn.Conv2d(128, 64, 3, padding=1), Crop(-(-height // 4), -(-width // 4)), nn.ReLU(),
        double, nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(),
        double, nn.Conv2d(32, channels, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


class Crop(nn.Module):
    """Keep the first rows and columns."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, images: Tensor) -> Tensor:
        """Return the crop."""
        return images[:, :, : self.height, : self.width]


def train(network: nn.Module, images: Tensor, epochs: int, batch_size: int, learning_rate: float) -> float:
    """Train; return images per second."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    begin = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(batch_size):
            batch = images[rows]
            loss = ((network(batch) - batch) ** 2).sum((1, 2, 3)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return epochs * len(images) / (time.perf_counter() - begin)


def score(network: nn.Module, images: Tensor, batch_size: int) -> tuple[Tensor, float]:
    """Return the mean squared error of every image, and images per second."""
    begin = time.perf_counter()
    with torch.no_grad():
        scores = [((network(batch) - batch) ** 2).mean((1, 2, 3)) for batch in images.split(batch_size)]
    return torch.cat(scores), len(images) / (time.perf_counter() - begin)


def main() -> None:
    """Train on the file's `images`, score its `images`, print the speeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    images = torch.from_numpy(np.load(args.images)["images"])[:, None].float() / 255
    network = autoencoder((1, images.shape[2], images.shape[3]))
    trained = train(network, images, args.epochs, args.batch_size, 1e-3)
    scored = score(network, images, args.batch_size)[1]
    print(json.dumps({"train_images_per_second": trained, "score_images_per_second": scored}))


if __name__ == "__main__":
    main()
