from __future__ import annotations

import numpy as np
import pytest
import torch

from normoscope import images as module
from normoscope.errors import ImageShapeError
from normoscope.images import PixelStore, allocate, as_images, batches, content_hash


def test_a_step_of_one_in_sixteen_bits_survives() -> None:
    store = as_images(np.array([[[0, 1], [32768, 65535]]], np.uint16))
    batch = store.batch(np.array([0]))
    assert batch.dtype == torch.float32
    assert torch.unique(batch).numel() == 4
    assert batch[0, 0, 0, 1].item() == pytest.approx(1 / 65535, rel=1e-7)
    assert batch.max() == 1.0


def test_all_sixteen_bit_values_stay_apart() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    assert torch.unique(as_images(every).batch([0])).numel() == 65536


def test_eight_bits_are_divided_by_255_and_floats_are_clipped() -> None:
    assert as_images(np.full((1, 2, 2), 51, np.uint8)).batch([0]).unique().item() == pytest.approx(0.2)
    assert as_images(np.array([[[-1.0, 0.25], [0.5, 7.0]]])).batch([0]).flatten().tolist() == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ((5, 28, 20), (5, 1, 28, 20)),
        ((5, 28, 20, 3), (5, 3, 28, 20)),
        ((5, 28, 20, 1), (5, 1, 28, 20)),
        ((5, 3, 28, 20), (5, 3, 28, 20)),
        ((5, 1, 28, 28), (5, 1, 28, 28)),
    ],
)
def test_usual_array_shapes_are_understood(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert as_images(np.zeros(given, np.uint8)).shape == shape


@pytest.mark.parametrize("shape", [(28, 28), (5, 2, 28, 28, 1), (7,)])
def test_other_shapes_are_refused_with_what_to_pass(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageShapeError, match=r"pass \(n, h, w\), \(n, h, w, 3\) or \(n, c, h, w\)"):
        as_images(np.zeros(shape))


def test_subsets_of_subsets_share_pixels_and_keep_their_order() -> None:
    store = as_images(np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8))
    inner = store.subset([8, 3, 5]).subset([2, 0])
    assert inner.shape == (2, 1, 2, 2)
    assert (inner.batch([0, 1])[:, 0, 0, 0] * 255).round().tolist() == [5, 8]
    assert inner.pixels is store.pixels


def test_an_empty_subset_has_length_0_and_yields_no_batch() -> None:
    empty = as_images(np.zeros((3, 4, 4), np.uint8)).subset([])
    assert len(empty) == 0
    assert list(batches(empty)) == []


def test_batches_cover_everything_once_in_order() -> None:
    values = np.arange(10, dtype=np.uint8).reshape(10, 1, 1)
    parts = list(batches(as_images(values), size=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert (torch.cat(parts).flatten() * 255).round().tolist() == list(range(10))


def test_a_batch_is_a_copy() -> None:
    store = as_images(np.full((1, 2, 2), 0.5, np.float32))
    store.batch([0]).zero_()
    assert store.batch([0]).max() == 0.5


def test_large_stores_live_in_a_file_and_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (50, 1, 8, 8)).astype(np.uint16)
    assert not isinstance(allocate(pixels.shape, pixels.dtype), np.memmap)
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", pixels.nbytes - 1)
    on_disk = allocate(pixels.shape, pixels.dtype)
    assert isinstance(on_disk, np.memmap)
    on_disk[:] = pixels
    rows = rng.permutation(50)
    assert torch.equal(PixelStore(on_disk).batch(rows), PixelStore(pixels).batch(rows))


def test_equal_pictures_hash_equally_and_others_do_not() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    colour = np.stack([grey, grey, grey], -1)
    assert content_hash(grey) == content_hash(colour) == content_hash(np.asfortranarray(grey))
    assert len(content_hash(grey)) == 32
    changed = grey.copy()
    changed[0, 0] ^= 1
    tinted = colour.copy()
    tinted[0, 0, 2] ^= 1
    others = [changed, tinted, grey.T, grey.astype(np.uint16), grey.reshape(7, 9)]
    assert len({content_hash(image) for image in [grey, *others]}) == 6
