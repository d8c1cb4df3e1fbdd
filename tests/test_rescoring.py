"""Other scores of a trained detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normoscope import methods
from normoscope.apps.cli import RESIDUALS
from normoscope.attribution import Attribution, differentiable
from normoscope.comparison import Recipe, compare
from normoscope.errors import OptionError, TooFewImagesError
from normoscope.methods.cae import CAE
from normoscope.methods.pca import PCA
from normoscope.methods.vae import VAE
from normoscope.model import Model, fit, rescore
from normoscope.partitions import Partition, partition
from normoscope.persistence import load_model, save_model
from normoscope.rescoring import check_recipe, fit_head
from normoscope.scoring import Pooling, Residual, Scoring, Term
from normoscope.sources import load
from normoscope.types import Detector, Run

RUN = Run(device="cpu", precision="float32")
SMALL = CAE(latent_dim=4, channels=(4,), epochs=2, batch_size=16, learning_rate=1e-3)


def test_the_command_line_offers_every_residual() -> None:
    assert set(RESIDUALS) == {residual.value for residual in Residual}


def test_a_model_rescored_is_the_one_fitted_so_from_the_start(small_phantom: Partition) -> None:
    scoring = Scoring(residual=Residual.SSIM, sigma=2)
    images = small_phantom.images["test"]
    rescored = rescore(fit("cae", SMALL, small_phantom, run=RUN), scoring, small_phantom)
    anew = fit("cae", SMALL, small_phantom, run=RUN, scoring=scoring)
    assert np.array_equal(rescored.scores(images), anew.scores(images))
    assert np.array_equal(rescored.calibration.scores, anew.calibration.scores)
    assert rescored.calibration.rule == anew.calibration.rule


@pytest.mark.parametrize("residual", ["squared", "ssim", "gradient", "normalised"])
@pytest.mark.parametrize("pooling", ["mean", "top", "maximum"])
def test_a_score_does_not_depend_on_what_is_scored_with_it(
    small_phantom: Partition, residual: str, pooling: str
) -> None:
    scoring = Scoring(residual=Residual(residual), pooling=Pooling(pooling))
    model = fit("pca", PCA(latent_dim=4), small_phantom, run=RUN, scoring=scoring)
    images = small_phantom.images["test"]
    together, maps = model.scores(images), list(model.maps(images))
    for row in range(0, len(images), 3):
        alone = images.subset([row])
        assert model.scores(alone)[0] == together[row]
        assert np.array_equal(next(model.maps(alone)), maps[row])


def test_the_reconstruction_gradient_is_the_absolute_derivative_of_the_squared_error(small_phantom: Partition) -> None:
    model = fit("cae", SMALL, small_phantom, run=RUN, scoring=Scoring(residual=Residual.REC_GRADIENT))
    image = small_phantom.images["test"].batch(np.arange(1)).requires_grad_()
    network = model.detector.network  # type: ignore[attr-defined]
    (expected,) = torch.autograd.grad((network(image) - image).square().mean(), image)
    torch.testing.assert_close(model.batch_map(image.detach()), expected.abs()[:, 0], rtol=1e-3, atol=1e-7)


def test_kl_weighted_is_the_squared_residual_times_the_divergence_gradient(small_phantom: Partition) -> None:
    recipe = VAE(latent_dim=3, width=2, hidden=8, epochs=1, batch_size=16)
    model = fit("vae", recipe, small_phantom, run=RUN, scoring=Scoring(residual=Residual.KL_WEIGHTED))
    images = small_phantom.images["test"].batch(np.arange(4))
    slope = model.detector.loss_gradient(images, Term.DIVERGENCE).abs()  # type: ignore[attr-defined]
    squared = (images - model.detector.reconstruct(images)).square()  # type: ignore[attr-defined]
    torch.testing.assert_close(model.batch_map(images), (slope * squared).mean(1))


@pytest.fixture(scope="module")
def vae(small_phantom: Partition) -> Model:
    recipe = VAE(latent_dim=3, width=2, hidden=8, epochs=2, batch_size=16)
    model = fit("vae", recipe, small_phantom, run=RUN)
    few = small_phantom.images["train"].subset(range(12))
    return replace(model, head=fit_head(model.detector, recipe, few, RUN))  # type: ignore[arg-type]


@pytest.mark.parametrize("residual", [residual for residual in Residual if residual.term is None])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_rescored_models_gradient_is_the_difference_quotient(
    vae: Model, residual: Residual, pooling: Pooling, small_phantom: Partition
) -> None:
    model = replace(vae, scoring=Scoring(residual=residual, pooling=pooling))
    image = small_phantom.images["test"].batch(np.arange(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(model.batch_score(image).sum(), image)
    step = 1e-3 * gradient / gradient.abs().max()
    with torch.no_grad():
        quotient = float(model.batch_score(image + step) - model.batch_score(image - step))
    assert quotient == pytest.approx(float(2 * (gradient * step).sum()), rel=0.1)


@pytest.mark.parametrize("residual", [residual for residual in Residual if residual.term is not None])
def test_a_score_made_of_a_loss_terms_derivative_has_no_gradient_and_says_so(
    vae: Model, residual: Residual, small_phantom: Partition
) -> None:
    model = replace(vae, scoring=Scoring(residual=residual))
    image = small_phantom.images["test"].batch(np.arange(1))[0]
    assert not differentiable(model.batch_score, image)
    with pytest.raises(OptionError, match="this method's score has no gradient"):
        Attribution.GRADIENT(model.batch_score, image, image)


@pytest.mark.parametrize(
    ("method", "residual", "sentence"),
    [
        ("knn", "squared", "a method that reconstructs"),
        ("pca", "rec-gradient", "--residual of pca: expected one of squared, absolute"),
        ("cae", "kl-gradient", "--residual of cae: expected one of .*rec-gradient"),
    ],
)
def test_a_scoring_the_method_has_nothing_for_is_refused(
    method: str, residual: str, sentence: str, small_phantom: Partition
) -> None:
    recipe = SMALL if method == "cae" else methods.build(method)
    with pytest.raises(OptionError, match=sentence):
        fit(method, recipe, small_phantom, run=RUN, scoring=Scoring(residual=Residual(residual)))


def test_a_method_that_reconstructs_nothing_is_refused_before_any_is_trained(
    small_phantom: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("something was fitted")

    monkeypatch.setattr("normoscope.comparison.fit", trained)
    recipes = [Recipe("pca", "pca", PCA()), Recipe("knn", "knn", methods.build("knn"), Scoring())]
    with pytest.raises(OptionError, match="a method that reconstructs"):
        compare(recipes, small_phantom, Run())
    assert [reconstructs(name) for name in ("cae", "pca", "deep_svdd", "knn")] == [True, True, False, False]
    for hint in (Any, Detector, "Unheard", "Detector | None"):  # of which nothing is known before the training
        unknown = type("Mine", (), {"fit": lambda *_: None})()
        type(unknown).fit.__annotations__["return"] = hint
        check_recipe("mine", unknown, Scoring())


def reconstructs(method: str) -> bool:
    try:
        check_recipe(method, methods.build(method), Scoring())
    except OptionError:
        return False
    return True


def test_the_head_learns_where_normals_are_hard_and_is_saved(tmp_path: Path) -> None:
    data = partition(load("phantom", options={"size": "28", "train": "200", "validation": "40", "test": "10"}))
    model = fit("pca", PCA(4), data, run=RUN, scoring=Scoring(residual=Residual.VARIANCE))
    images = data.images["calibrate"].batch(np.arange(40))
    squared = (images - model.detector.reconstruct(images)).square()  # type: ignore[attr-defined]
    ratio = (squared / model.batch_map(images)[:, None]).flatten()  # the predicted variance
    assert np.corrcoef(ratio.log(), squared.flatten().clamp_min(1e-9).log())[0, 1] > 0.3
    assert 0.5 < float(model.batch_map(images).mean()) < 3
    loaded = load_model(save_model(model, tmp_path / "model"))
    assert torch.equal(loaded.batch_score(images), model.batch_score(images))


def test_a_head_needs_select_normals(small_phantom: Partition) -> None:
    detector = PCA(4).fit(small_phantom.images["train"], RUN)
    with pytest.raises(TooFewImagesError, match="select: 10 images needed, 3 given"):
        fit_head(detector, PCA(4), small_phantom.images["train"].subset(np.arange(3)), RUN)


def test_too_few_select_normals_are_refused_before_the_training(
    small_phantom: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PCA, "fit", lambda *_: pytest.fail("trained for nothing"))
    few = replace(
        small_phantom, images={**small_phantom.images, "select": small_phantom.images["select"].subset(np.arange(3))}
    )
    with pytest.raises(TooFewImagesError, match="select: 10 images needed, 3 given"):
        fit("pca", PCA(4), few, scoring=Scoring(residual=Residual.VARIANCE), run=RUN)


def test_calibrating_by_variance_a_model_without_a_head_is_refused(small_phantom: Partition) -> None:
    model = fit("pca", PCA(4), small_phantom, run=RUN)
    with pytest.raises(OptionError, match="a model fitted with it, for it is learnt on select normals"):
        model.calibrated(small_phantom.images["calibrate"], [None] * 40, scoring=Scoring(residual=Residual.VARIANCE))


def test_rows_that_differ_in_the_scoring_alone_share_one_fit(small_phantom: Partition) -> None:
    rows = [Recipe("plain", "cae", SMALL), Recipe("ssim", "cae", SMALL, Scoring(residual=Residual.SSIM))]
    found = compare(rows, small_phantom, RUN, seeds=2).rows
    assert found["plain"].fit_seconds == found["ssim"].fit_seconds
    anew = fit("cae", SMALL, small_phantom, run=RUN.replace(seed=1), scoring=Scoring(residual=Residual.SSIM))
    assert np.array_equal(found["ssim"].scores[1], anew.scores(small_phantom.images["test"]))
    assert found["ssim"].recipe["scoring"]["residual"] == "ssim"
