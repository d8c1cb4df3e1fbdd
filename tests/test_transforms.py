from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from normoscope import images as images_module
from normoscope.errors import (
    OptionError,
    TooFewImagesError,
    UnreadableImageError,
    UnreadableImagesError,
)
from normoscope.images import as_images
from normoscope.transforms import Aspect, Intensity, Preprocessing, Preprocessor
from normoscope.types import Sample

RNG = np.random.default_rng(5)


def preprocessor(size: int = 8, channels: int = 1, aspect: Aspect = Aspect.PAD, depth: str = "uint8") -> Preprocessor:
    return Preprocessor(size, channels, aspect, Intensity.MINMAX, depth, 0.0, 1.0)


def sample(name: str, pixels: NDArray[np.generic]) -> Sample:
    return Sample(name, lambda: pixels)


def unreadable(name: str) -> Sample:
    def read() -> NDArray[np.generic]:
        raise UnreadableImageError(name, "the file is empty")

    return Sample(name, read)


# geometry


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_image_of_the_target_shape_passes_untouched(dtype: type) -> None:
    pixels = (RNG.random((8, 8)) * 255).astype(dtype)
    prepared = preprocessor(depth=np.dtype(dtype).name).geometry(pixels)
    assert prepared.dtype == dtype
    np.testing.assert_array_equal(prepared[0], pixels)


def test_padding_centres_the_image_on_black() -> None:
    prepared = preprocessor(8).geometry(np.full((4, 8), 200, np.uint8))[0]
    assert (prepared[2:6] == 200).all()
    assert (prepared[:2] == 0).all()
    assert (prepared[6:] == 0).all()


def test_cropping_keeps_the_centre() -> None:
    pixels = np.zeros((8, 12), np.uint8)
    pixels[:, 2:10] = np.arange(1, 9)
    prepared = preprocessor(8, aspect=Aspect.CROP).geometry(pixels)[0]
    np.testing.assert_array_equal(prepared, np.tile(np.arange(1, 9), (8, 1)))


def test_squashing_keeps_everything() -> None:
    pixels = np.repeat(np.repeat(np.array([[0, 100], [150, 250]], np.uint8), 8, 0), 16, 1)
    prepared = preprocessor(8, aspect=Aspect.SQUASH).geometry(pixels)[0]
    np.testing.assert_array_equal(prepared[[0, 0, -1, -1], [0, -1, 0, -1]], [0, 100, 150, 250])


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    prepared = preprocessor(8).geometry(stripes)[0].astype(float)
    assert np.abs(prepared[:, 1:-1] - 127.5).max() <= 1


def test_shrinking_agrees_with_pillow() -> None:
    smooth = ndimage.gaussian_filter(RNG.random((100, 100)), 4)
    pixels = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((28, 28), Image.Resampling.BILINEAR), int)
    assert np.abs(preprocessor(28).geometry(pixels)[0].astype(int) - expected).max() <= 1


def test_colour_becomes_luma_and_grey_becomes_three_equal_channels() -> None:
    colour = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    expected = np.round(colour @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_array_equal(preprocessor(8, 1).geometry(colour)[0], expected)
    grey = colour[..., 0]
    np.testing.assert_array_equal(preprocessor(8, 3).geometry(grey), np.stack([grey] * 3))
    np.testing.assert_array_equal(preprocessor(8, 3).geometry(colour), np.moveaxis(colour, -1, 0))


def test_grey_stored_as_colour_becomes_the_same_grey() -> None:
    grey = RNG.integers(0, 65536, (8, 8)).astype(np.uint16)
    np.testing.assert_array_equal(preprocessor(8, 1, depth="uint16").geometry(np.stack([grey] * 3, -1))[0], grey)


def test_sixteen_bits_keep_their_depth_through_resizing() -> None:
    pixels = np.full((16, 16), 40001, np.uint16)
    prepared = preprocessor(8, depth="uint16").geometry(pixels)
    assert prepared.dtype == np.uint16
    assert (prepared == 40001).all()


def test_a_mask_follows_its_image() -> None:
    mask = np.zeros((16, 32), bool)
    mask[4:8, 8:24] = True
    square = preprocessor(16).mask(mask)
    expected = np.zeros((16, 16), bool)
    expected[6:8, 4:12] = True
    np.testing.assert_array_equal(square, expected)


# plan


def plan(*images: NDArray[np.generic], recipe: Preprocessing | None = None) -> Preprocessor:
    return (recipe or Preprocessing()).plan([sample(str(i), image) for i, image in enumerate(images)])


def grey(height: int, width: int, dtype: type = np.uint8) -> NDArray[np.generic]:
    return RNG.integers(0, 256, (height, width)).astype(dtype)


def test_a_common_square_size_up_to_256_is_kept_and_everything_else_becomes_64() -> None:
    assert plan(grey(28, 28), grey(28, 28)).size == 28
    assert plan(grey(256, 256)).size == 256
    assert plan(grey(257, 257)).size == 64
    assert plan(grey(28, 28), grey(32, 32)).size == 64
    assert plan(grey(28, 30)).size == 64
    assert plan(grey(28, 28), recipe=Preprocessing(size=100)).size == 100


def test_a_common_square_size_below_the_smallest_allowed_becomes_64() -> None:
    assert plan(grey(5, 5)).size == 64


def test_channels_are_three_only_where_an_image_has_colour() -> None:
    stored_as_colour = np.stack([grey(28, 28)] * 3, -1)
    assert plan(grey(28, 28), stored_as_colour).channels == 1
    assert plan(grey(28, 28), RNG.integers(0, 256, (28, 28, 3)).astype(np.uint8)).channels == 3
    assert plan(grey(28, 28), recipe=Preprocessing(channels=3)).channels == 3


def test_the_plan_passes_over_unreadable_images_and_needs_one_that_can_be_read() -> None:
    planned = Preprocessing().plan([unreadable("broken"), sample("good", grey(28, 28, np.uint16))])
    assert (planned.size, planned.depth) == (28, "uint16")
    with pytest.raises(TooFewImagesError, match="train: 1 image needed, 0 given; no training image can be read"):
        Preprocessing().plan([unreadable("broken")])


def test_sizes_and_channels_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match=r"--image-size: expected 0 \(automatic\) or 8 to 1024 pixels, got 7"):
        Preprocessing(size=7)
    with pytest.raises(OptionError, match=r"--image-channels: expected 0 \(automatic\), 1 or 3, got 2"):
        Preprocessing(channels=2)


# intensity


def fitted(array: NDArray[np.generic], intensity: Intensity) -> Preprocessor:
    store = as_images(array)
    return replace(preprocessor(), intensity=intensity).fit(store)


ARRAY = RNG.integers(20, 230, (300, 16, 16)).astype(np.uint8)
UNIT = ARRAY / 255


def test_minmax_takes_the_normals_extremes_to_0_and_1() -> None:
    p = fitted(ARRAY, Intensity.MINMAX)
    assert (p.low, p.high) == (pytest.approx(UNIT.min()), pytest.approx(UNIT.max()))


def test_percentile_agrees_with_numpy_within_a_histogram_bin() -> None:
    p = fitted(ARRAY, Intensity.PERCENTILE)
    low, high = np.percentile(UNIT, [0.5, 99.5])
    assert (p.low, p.high) == (pytest.approx(low, abs=1 / 65535), pytest.approx(high, abs=1 / 65535))


def test_zscore_takes_the_mean_and_three_standard_deviations() -> None:
    p = fitted(ARRAY, Intensity.ZSCORE)
    assert p.low == pytest.approx(UNIT.mean() - 3 * UNIT.std(), abs=1e-6)
    assert p.high == pytest.approx(UNIT.mean() + 3 * UNIT.std(), abs=1e-6)


def test_standardise_removes_each_images_own_exposure() -> None:
    image = RNG.random((1, 1, 16, 16)).astype(np.float32) * 0.5
    brighter = 0.2 + 1.4 * image
    p = fitted(np.concatenate([image, brighter])[:, 0], Intensity.STANDARDISE)
    a, b = p(torch.from_numpy(image)), p(torch.from_numpy(brighter))
    assert torch.allclose(a, b, atol=1e-4)
    expected = (image - image.mean()) / image.std(ddof=1)
    np.testing.assert_allclose(a.numpy(), np.clip((expected - p.low) / (p.high - p.low), 0, 1), atol=1e-4)


def test_local_contrast_agrees_with_box_filters() -> None:
    image = ndimage.gaussian_filter(RNG.random((32, 32)), 1).astype(np.float32)
    p = fitted(image[None], Intensity.LOCAL_CONTRAST)
    mean = ndimage.uniform_filter(image.astype(float), 5, mode="nearest")
    power = ndimage.uniform_filter(image.astype(float) ** 2, 5, mode="nearest")
    expected = (image - mean) / (np.sqrt(np.clip(power - mean**2, 0, None)) + 0.02)
    got = p(torch.from_numpy(image)[None, None])[0, 0].numpy() * (p.high - p.low) + p.low
    np.testing.assert_allclose(got, expected.clip(p.low, p.high), atol=2e-3)


@pytest.mark.parametrize("intensity", Intensity)
def test_every_mode_ends_in_0_to_1_also_for_images_beyond_the_normals(intensity: Intensity) -> None:
    p = fitted(ARRAY, intensity)
    wild = torch.rand(4, 1, 16, 16) * torch.tensor([0.0, 1.0, 1.0, 100.0])[:, None, None, None]
    mapped = p(wild)
    assert torch.isfinite(mapped).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 1


@pytest.mark.parametrize("intensity", Intensity)
def test_blank_normals_have_no_scale_and_do_no_harm(intensity: Intensity) -> None:
    p = fitted(np.full((3, 8, 8), 128, np.uint8), intensity)
    assert torch.isfinite(p(torch.rand(2, 1, 8, 8))).all()


@pytest.mark.parametrize("intensity", Intensity)
def test_an_images_intensity_does_not_depend_on_its_neighbours_nor_change_the_given_batch(intensity: Intensity) -> None:
    p = fitted(ARRAY, intensity)
    batch = torch.rand(5, 1, 16, 16) * 2
    given = batch.clone()
    together = p(batch)
    assert torch.equal(batch, given)
    assert torch.equal(p(batch[2:3]), together[2:3])
    assert torch.equal(replace(p, low=0.0, high=1.0)(batch)[2:3], replace(p, low=0.0, high=1.0)(batch[2:3]))
    assert torch.equal(batch, given)


@pytest.mark.parametrize("intensity", Intensity)
def test_the_fit_does_not_depend_on_how_images_are_batched(intensity: Intensity) -> None:
    one, many = fitted(ARRAY[:200], intensity), fitted(np.concatenate([ARRAY[:200]] * 2), intensity)
    assert (one.low, one.high) == (pytest.approx(many.low, abs=1e-6), pytest.approx(many.high, abs=1e-6))


@pytest.mark.parametrize("intensity", Intensity)
def test_a_preprocessor_survives_json(intensity: Intensity) -> None:
    p = replace(fitted(ARRAY, intensity), aspect=Aspect.CROP)
    assert Preprocessor.from_json(p.to_json()) == p


# prepare


def prepare(samples: Sequence[Sample], skip: bool = False) -> list[str]:
    return [s.name for s in preprocessor(28).prepare(samples, skip_unreadable=skip).samples]


def test_all_unreadable_images_are_listed_at_once() -> None:
    samples = [sample("a", grey(28, 28)), unreadable("b.png"), sample("c", grey(30, 40)), unreadable("d.png")]
    with pytest.raises(UnreadableImagesError) as caught:
        prepare(samples)
    assert str(caught.value).splitlines() == [
        "2 of 4 images cannot be read; mend or remove them, or pass --skip-unreadable to go on without them:",
        "  b.png: the file is empty",
        "  d.png: the file is empty",
    ]


def test_skipping_goes_on_and_still_lists_them() -> None:
    samples = [sample("a", grey(28, 28)), unreadable("b.png"), sample("c", grey(28, 28))]
    prepared = preprocessor(28).prepare(samples, skip_unreadable=True)
    assert [s.name for s in prepared.samples] == ["a", "c"]
    assert len(prepared.images) == len(prepared.hashes) == 2
    assert [str(problem) for problem in prepared.problems] == ["b.png: the file is empty"]
    np.testing.assert_array_equal(prepared.images.pixels[1, 0], samples[2].read())


def test_another_depth_is_refused_before_it_is_read_as_another_exposure() -> None:
    samples = [sample("a", grey(28, 28)), sample("b.tif", grey(28, 28, np.uint16)), sample("c", grey(28, 28))]
    with pytest.raises(UnreadableImagesError) as caught:
        preprocessor(28).prepare(samples)
    sentence = "b.tif: expected uint8 pixels as in the training images, got uint16; convert all images to one depth"
    assert sentence in str(caught.value)
    skipped = preprocessor(28).prepare(samples, skip_unreadable=True)
    assert [s.name for s in skipped.samples] == ["a", "c"]
    assert [str(problem) for problem in skipped.problems] == [sentence]


def test_images_beyond_memory_are_kept_in_a_file_with_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample(str(i), grey(28, 28)) for i in range(20)]
    in_memory = preprocessor(28).prepare(samples).images
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 1000)
    on_disk = preprocessor(28).prepare(samples).images
    assert isinstance(on_disk.pixels, np.memmap)
    assert torch.equal(on_disk.batch(np.arange(20)), in_memory.batch(np.arange(20)))


def test_real_x_rays_keep_their_aspect_when_padded(real_data: Callable[[str], Path]) -> None:
    path = next(real_data("chest_xray/jpeg/normal").glob("*.jpeg"))
    pixels = np.asarray(Image.open(path).convert("L"))
    height, width = pixels.shape
    assert height < width
    prepared = preprocessor(64).geometry(pixels)[0]
    rows = np.flatnonzero(prepared.any(1))
    assert len(rows) == pytest.approx(64 * height / width, abs=2)
