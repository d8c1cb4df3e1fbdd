"""Two processes train what one trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from normoscope.distributed import Team, launch, team
from normoscope.images import PixelStore
from normoscope.methods.cae import CAE
from normoscope.methods.conocc import ConOCC
from normoscope.nn.centred import Alternation
from normoscope.types import Method, Run

# 49 images in batches of 16: the last batch holds a single image, fewer than there are processes.
RECIPES = [
    CAE(latent_dim=8, channels=(4, 16), epochs=6, batch_size=16, learning_rate=1e-3, patience=5),
    ConOCC(latent_dim=8, channels=(4, 16), epochs=6, update_interval=2, batch_size=16),
    ConOCC(latent_dim=8, channels=(4, 16), epochs=6, update_interval=2, batch_size=16, schedule=Alternation.ALTERNATE),
]


def fit_and_score(recipe: Method, folder: Path) -> None:
    """Fit on 49 images; every process saves its scores and its losses."""
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (69, 1, 12, 12), dtype=np.uint8)
    run = Run(device="cpu", precision="float32", checkpoint=folder / "checkpoints", checkpoint_seconds=0.0)
    detector = recipe.fit(PixelStore(pixels[:49]), run, PixelStore(pixels[49:59]))
    here = team()
    images = PixelStore(pixels[59:]).batch(np.arange(10))
    losses = [epoch.losses[0] for epoch in detector.history.epochs]
    np.savez(folder / f"{here.size}-{here.rank}.npz", scores=detector.anomaly_score(images), losses=losses)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=["cae", "conocc", "conocc-alternate"])
def test_two_processes_equal_one(tmp_path: Path, recipe: Method) -> None:
    fit_and_score(recipe, tmp_path)
    launch(fit_and_score, 2, recipe, tmp_path)
    alone, first, second = (np.load(tmp_path / f"{name}.npz") for name in ("1-0", "2-0", "2-1"))
    assert np.array_equal(first["scores"], second["scores"])
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    np.testing.assert_allclose(first["scores"], alone["scores"], rtol=1e-4)


def test_shares_of_a_batch_are_disjoint_complete_and_weighted() -> None:
    batch = np.arange(10, 17)
    shares = [Team(rank, 3).share(batch) for rank in range(3)]
    assert sorted(np.concatenate([part for part, _ in shares]).tolist()) == batch.tolist()
    assert sum(weight for _, weight in shares) == pytest.approx(1.0)
    assert Team(2, 3).share(batch[:2])[1] == 0.0
    assert len(Team(2, 3).share(batch[:2])[0]) == 1


def test_alone_nothing_is_shared_out() -> None:
    assert team() == Team(0, 1)
    assert team().leads
    assert not Team(1, 2).leads
    assert Team().agree(None) is None
