"""Killed at any moment, resumed, and the same to the last bit."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from normoscope.images import PixelStore
from normoscope.methods.cae import CAE
from normoscope.methods.conocc import ConOCC
from normoscope.methods.f_anogan import FAnoGAN
from normoscope.types import Method, Run

KILLS = 10
RECIPES = {
    "cae": CAE(latent_dim=16, channels=(8, 16), epochs=150, batch_size=16, patience=140),
    "conocc": ConOCC(latent_dim=16, channels=(8, 16), epochs=150, update_interval=7, batch_size=16),
    "f_anogan": FAnoGAN(latent_dim=8, width=4, critic_steps=2, epochs=15, encoder_epochs=60, batch_size=16),
}


def fit_and_score(recipe: Method, folder: Path | None, scores: Path) -> None:
    """What the killed process does."""
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (96, 1, 16, 16), dtype=np.uint8)
    normals, select, test = PixelStore(pixels[:48]), PixelStore(pixels[48:64]), PixelStore(pixels[64:])
    run = Run(device="cpu", precision="float32", checkpoint=folder, resume=folder is not None, checkpoint_seconds=0)
    detector = recipe.fit(normals, run, select)
    np.save(scores, detector.anomaly_score(test.batch(np.arange(32))).numpy())


def started(recipe: Method, folder: Path | None, scores: Path) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["normoscope.methods.conocc", "torch._dynamo"])
    process = context.Process(target=fit_and_score, args=(recipe, folder, scores))
    process.start()
    return process


def changed(folder: Path, before: dict[str, float]) -> bool:
    """Whether a checkpoint was written since."""
    return {file.name: file.stat().st_mtime for file in folder.glob("*.safetensors")} != before


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(RECIPES))
def test_killed_at_ten_moments_and_while_writing_it_ends_with_the_same_scores(tmp_path: Path, method: str) -> None:
    recipe, folder = RECIPES[method], tmp_path / "checkpoints"
    folder.mkdir()
    undisturbed = started(recipe, None, tmp_path / "undisturbed.npy")
    undisturbed.join()
    delays = np.random.default_rng(7).uniform(0, 0.12, KILLS)
    cut_while_writing = 0
    for moment, delay in enumerate(delays):
        before = {file.name: file.stat().st_mtime for file in folder.glob("*.safetensors")}
        process = started(recipe, folder, tmp_path / "resumed.npy")
        while not changed(folder, before):
            assert process.is_alive(), "it ended before it could be killed"
            time.sleep(0.001)
        time.sleep(delay)
        while moment % 2 and process.is_alive() and not any(folder.glob("*.part")):
            pass
        process.kill()
        process.join()
        assert process.exitcode == -9
        cut_while_writing += any(folder.glob("*.part"))
    assert cut_while_writing > 0
    last = started(recipe, folder, tmp_path / "resumed.npy")
    last.join()
    assert last.exitcode == 0
    assert np.array_equal(np.load(tmp_path / "resumed.npy"), np.load(tmp_path / "undisturbed.npy"))
