"""What every method promises; a new file in `methods/` is judged the moment it exists."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor

from normoscope import methods
from normoscope.errors import ImageShapeError, TooFewImagesError
from normoscope.images import PixelStore, as_images
from normoscope.methods import conocc, dual_encoder, entropy_ae
from normoscope.registry import docstring
from normoscope.types import Decomposes, Detector, Localizes, Method, Run
from toys import BRIGHT, draw_blobs

RUN = Run(seed=3)
SMALL_BUDGET = {"epochs": 12, "update_interval": 2, "batch_size": 16, "search_steps": 4}

every_method = pytest.mark.parametrize("name", methods.names())


def small(name: str) -> Method:
    """Build the quick recipe with a budget of seconds."""
    fields = {field.name for field in dataclasses.fields(methods.recipe_class(name))}  # type: ignore[arg-type]
    return methods.build(name, "quick", {k: v for k, v in SMALL_BUDGET.items() if k in fields})


@cache
def fitted(name: str) -> Detector:
    """Fit once for all tests that only look."""
    return small(name).fit(as_images(draw_blobs(60, seed=1)), RUN)


def global_states() -> tuple[Any, ...]:
    """Return the state of every global generator, comparable."""
    words = np.random.get_state()
    return torch.get_rng_state().tolist(), words[1].tolist(), words[2:], random.getstate()


@every_method
def test_a_recipe_is_a_frozen_dataclass_whose_every_field_has_a_default_and_a_help_line(name: str) -> None:
    cls = methods.recipe_class(name)
    recipe = methods.build(name)
    help_lines = methods.field_help(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        assert field.default is not dataclasses.MISSING, f"{name}.{field.name} has no default"
        assert len(help_lines.get(field.name, "")) > 10, f"{name}.{field.name} has no help line"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(recipe, field.name, None)
    assert set(cls.quick) <= {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    assert hash(recipe) == hash(methods.build(name))


@every_method
def test_the_docstring_begins_with_one_plain_sentence_and_cites_its_origin(name: str) -> None:
    text = docstring("methods", name)
    first, _, rest = text.partition("\n")
    assert first.endswith(".")
    assert 20 < len(first) <= 115
    assert rest.startswith("\n")
    assert "Reference:" in rest


@every_method
def test_a_recipe_survives_json(name: str) -> None:
    recipe = small(name)
    assert methods.from_json(name, json.loads(json.dumps(methods.to_json(recipe)))) == recipe


@every_method
def test_planted_anomalies_score_higher_and_every_image_has_one_finite_score(
    name: str, unseen_normals: Tensor, anomalies: Tensor
) -> None:
    images = torch.cat([unseen_normals, anomalies])
    scores = fitted(name).anomaly_score(images)
    assert scores.shape == (60,)
    assert torch.isfinite(scores).all()
    assert roc_auc_score([0] * 30 + [1] * 30, scores.tolist()) > 0.8


@every_method
def test_the_same_seed_gives_the_same_bits(name: str, normals: PixelStore, anomalies: Tensor) -> None:
    again = small(name).fit(normals, RUN)
    assert torch.equal(again.anomaly_score(anomalies), fitted(name).anomaly_score(anomalies))


@every_method
def test_a_score_does_not_depend_on_batch_neighbours(name: str, unseen_normals: Tensor, anomalies: Tensor) -> None:
    detector = fitted(name)
    images = torch.cat([unseen_normals, anomalies])
    together = detector.anomaly_score(images)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(detector.anomaly_score(images[order]), together[order])
    other_neighbours = torch.cat([unseen_normals, torch.rand(anomalies.shape)])
    assert torch.equal(detector.anomaly_score(other_neighbours)[:30], together[:30])
    alone = torch.cat([detector.anomaly_score(image[None]) for image in images])
    torch.testing.assert_close(alone, together, rtol=1e-6, atol=1e-7)


@every_method
def test_images_are_left_as_they_were(name: str, anomalies: Tensor) -> None:
    given = anomalies.clone()
    fitted(name).anomaly_score(given)
    assert torch.equal(given, anomalies)


@every_method
def test_global_random_state_is_untouched_by_fitting_and_scoring(
    name: str, normals: PixelStore, anomalies: Tensor
) -> None:
    before = global_states()
    small(name).fit(normals, RUN).anomaly_score(anomalies)
    assert global_states() == before


@every_method
def test_a_detector_saved_and_restored_gives_equal_scores(name: str, anomalies: Tensor, tmp_path: Path) -> None:
    detector = fitted(name)
    save_file(detector.state(), tmp_path / "state.safetensors")
    recipe = methods.from_json(name, json.loads(json.dumps(methods.to_json(small(name)))))
    restored = recipe.restore(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(restored.anomaly_score(anomalies), detector.anomaly_score(anomalies))
    if isinstance(detector, Localizes):
        assert isinstance(restored, Localizes)
        assert torch.equal(restored.anomaly_map(anomalies), detector.anomaly_map(anomalies))


@every_method
def test_a_map_points_at_the_planted_square(name: str, anomalies: Tensor) -> None:
    detector = fitted(name)
    if not isinstance(detector, Localizes):
        return
    maps = detector.anomaly_map(anomalies)
    assert maps.shape == (30, 28, 28)
    inside = torch.zeros(28, 28, dtype=torch.bool)
    inside[BRIGHT] = True
    assert (maps[:, inside].mean(1) > 2 * maps[:, ~inside].mean(1)).all()
    peaks = maps.flatten(1).argmax(1)
    assert inside.flatten()[peaks].float().mean() > 0.9


@every_method
def test_images_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(ImageShapeError, match=r"images must have shape \(n, 1, 28, 28\), got \(2, 1, 32, 32\)"):
        fitted(name).anomaly_score(torch.zeros(2, 1, 32, 32))


@every_method
def test_no_normals_are_too_few(name: str, normals: PixelStore) -> None:
    with pytest.raises(TooFewImagesError, match=r"train: \d+ images? needed, 0 given"):
        small(name).fit(normals.subset([]), RUN)


@every_method
def test_the_terms_of_a_score_sum_to_it(name: str) -> None:
    detector = fitted(name)
    if not isinstance(detector, Decomposes):
        pytest.skip("the score is one term")
    images = draw_blobs(5, seed=4, bright=True)
    terms = detector.score_terms(images)
    assert len(terms) >= 1
    torch.testing.assert_close(sum(terms.values()), detector.anomaly_score(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "score", "count"),
    [("conocc", conocc.Score.BOTH, 2), ("entropy_ae", entropy_ae.Score.BOTH, 2),
     ("dual_encoder", dual_encoder.Score.FUSED, 4)],
)  # fmt: skip
def test_a_score_of_several_terms_is_their_sum_and_each_matters(name: str, score: Any, count: int) -> None:
    detector = dataclasses.replace(small(name), score=score).fit(as_images(draw_blobs(60, seed=1)), RUN)  # type: ignore[type-var]
    assert isinstance(detector, Decomposes)
    images = draw_blobs(5, seed=4, bright=True)
    terms, whole = detector.score_terms(images), detector.anomaly_score(images)
    assert len(terms) == count
    torch.testing.assert_close(sum(terms.values()), whole, rtol=1e-4, atol=1e-5)
    for term in terms.values():
        assert not torch.allclose(whole - term, whole, rtol=1e-3, atol=1e-4)
