"""Planted anomalies change what they say, where their masks say, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope import anomalies
from normoscope.anomalies import Anomaly, plant, suite
from normoscope.errors import ImageShapeError, OptionError, TooFewImagesError
from normoscope.images import PixelStore, as_images

KINDS = list(Anomaly)


def textured(count: int, channels: int = 1, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Draw a different grey in every pixel, around a half, so that nothing is clipped and everywhere is foreground."""
    generator = torch.Generator().manual_seed(seed)
    return 0.35 + 0.3 * torch.rand(count, channels, height, width, generator=generator)


def ramp(height: int = 32, width: int = 32) -> Tensor:
    """An image whose Laplacian is zero."""
    return (0.3 + 0.2 * torch.arange(height)[:, None] / height + 0.1 * torch.arange(width) / width)[None, None]


def laplacian(image: Tensor) -> Tensor:
    """Differences to the four neighbours, summed, of the inner pixels of (h, w)."""
    image = image.double()
    around = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]
    return 4 * image[1:-1, 1:-1] - around


def share_taken(normal: Tensor, planted: Tensor, mask: Tensor) -> float:
    """The share s with Laplacian planted = (1 - s) Laplacian normal in the mask: that of a patch of a ramp."""
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    inner = mask[1:-1, 1:-1]
    before, after = laplacian(normal)[inner], laplacian(planted)[inner]
    kept = float((before @ after) / (before @ before))
    torch.testing.assert_close(after, kept * before, rtol=0, atol=2e-6)
    return 1 - kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (1, 256, 256), (1, 20, 61)])
def test_nothing_changes_outside_the_mask_and_nearly_everything_inside(kind: Anomaly, shape: tuple) -> None:
    images, donors = textured(6, *shape), textured(4, *shape, seed=1)
    given = images.clone()
    planted, masks = plant(kind, images, donors, np.random.default_rng(0))
    assert torch.equal(images, given)
    assert planted.shape == images.shape
    assert planted.dtype == torch.float32
    assert 0 <= float(planted.min()) <= float(planted.max()) <= 1
    changed = (planted != images).any(1)
    assert masks.dtype == torch.bool
    assert not (changed & ~masks).any()
    assert (changed.sum((1, 2)) > 0.9 * masks.sum((1, 2))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_images_stay_in_the_unit_range(kind: Anomaly) -> None:
    images = textured(20).sub(0.35).div(0.3).round()
    planted, masks = plant(kind, images, images[:5], np.random.default_rng(11))
    assert masks.any((1, 2)).all()
    assert 0 <= float(planted.min()) <= float(planted.max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [28, 64])
def test_regions_cover_two_to_thirty_five_per_cent_uniformly_with_axes_of_one_to_two(kind: Anomaly, side: int) -> None:
    images = textured(400, 1, side, side)
    masks = plant(kind, images, images[:5], np.random.default_rng(1))[1].numpy()
    areas = masks.mean((1, 2))
    rounding = (0.5 * side if kind is Anomaly.CUT_PASTE else 0.5) / side**2
    assert 0.02 - rounding <= areas.min() < 0.024
    assert 0.345 < areas.max() <= 0.35 + rounding
    assert abs(np.median(areas) - 0.185) < 0.03
    large = masks[areas > 0.1]
    for mask in large:
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(np.argwhere(mask).T)))
        assert 1 <= spread[1] / spread[0] < 2.2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Anomaly.CUT_PASTE])
def test_a_region_is_a_full_ellipse(kind: Anomaly) -> None:
    images = textured(60, 1, 64, 64)
    masks = plant(kind, images, images[:5], np.random.default_rng(2))[1].numpy()
    for mask in masks[masks.mean((1, 2)) > 0.05]:
        at = np.argwhere(mask)
        # a uniform ellipse reaches as far as twice its standard deviation along every axis
        far = np.einsum("ki,ij,kj->k", at - at.mean(0), np.linalg.inv(np.cov(at.T)), at - at.mean(0))
        assert far.max() < 4.4
        everywhere = np.argwhere(np.ones_like(mask)) - at.mean(0)
        near = np.einsum("ki,ij,kj->k", everywhere, np.linalg.inv(np.cov(at.T)), everywhere) < 3.6
        assert mask.ravel()[near].all()


@pytest.mark.parametrize("turn", [0.0, 0.5 * np.pi])
def test_the_largest_ellipse_stays_off_the_smallest_images_outermost_pixels(turn: float) -> None:
    mask = anomalies._Ellipse(0.35, 2.0, turn).radius(np.array([8, 8]), 16, 16) < 1
    assert mask.sum() == round(0.35 * 256)
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()


@pytest.mark.parametrize("kind", KINDS)
def test_regions_lie_where_the_image_shows_something(kind: Anomaly) -> None:
    images = torch.zeros(80, 1, 64, 64)
    images[:, :, 30:56, 8:34] = textured(80, 1, 26, 26)
    masks = plant(kind, images, textured(3, 1, 64, 64), np.random.default_rng(3))[1].numpy()
    middles = np.array([np.argwhere(mask).mean(0) for mask in masks])
    # foreground is told from a window of five pixels
    assert (middles >= (26, 4)).all()
    assert (middles <= (60, 38)).all()
    assert (middles.std(0) > 3).all()


def test_poisson_blending_solves_the_discrete_equation_as_a_dense_solver_does() -> None:
    rng = np.random.default_rng(4)
    target, source = rng.random((2, 3, 12, 11))
    mask = np.zeros((12, 11), bool)
    mask[3:9, 2:8] = rng.random((6, 6)) < 0.8  # ragged, with holes and loose pixels
    for share in (1.0, 0.45):
        blended = anomalies.blend(target, source, mask, share)
        assert (blended[:, ~mask] == target[:, ~mask]).all()
        at = [tuple(pixel) for pixel in np.argwhere(mask)]
        for channel in range(3):
            matrix, load = np.zeros((len(at), len(at))), np.zeros(len(at))
            for k, (row, column) in enumerate(at):
                for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                    matrix[k, k] += 1
                    for image, weight in ((target[channel], 1 - share), (source[channel], share)):
                        load[k] += weight * (image[row, column] - image[near])
                    if mask[near]:
                        matrix[k, at.index(near)] -= 1
                    else:
                        load[k] += target[channel][near]
            np.testing.assert_allclose(blended[channel][mask], np.linalg.solve(matrix, load), rtol=0, atol=1e-12)


def test_a_foreign_patch_replaces_the_drawn_share_of_the_gradients_and_leaves_no_edge() -> None:
    images = textured(40, 1, 64, 64)
    planted, masks = plant(Anomaly.FOREIGN_PATCH, images, ramp(64, 64), np.random.default_rng(5))
    shares = np.array([share_taken(*triple) for triple in zip(images[:, 0], planted[:, 0], masks, strict=True)])
    assert 0.4 <= shares.min() < 0.5
    assert 0.9 < shares.max() <= 1
    # also where the region barely fits, nothing comes around from the donor's other side
    for side in (16, 32):
        images = textured(300, 1, side, side)
        planted, masks = plant(Anomaly.FOREIGN_PATCH, images, ramp(side, side), np.random.default_rng(5))
        for before, after, mask in zip(images[:, 0], planted[:, 0], masks, strict=True):
            if mask.sum() > 10:
                assert 0.39 < share_taken(before, after, mask) < 1.01
    smooth = ramp(64, 64).expand(40, -1, -1, -1)
    bump = torch.exp(-((torch.arange(64.0) - 32) ** 2) / 200)
    foreign = (0.3 + 0.4 * bump[:, None] * bump)[None, None]
    planted, masks = plant(Anomaly.FOREIGN_PATCH, smooth, foreign, np.random.default_rng(5))
    assert float((planted - smooth).abs().max()) > 0.1
    edge = ((planted - smooth)[:, 0].diff(dim=1).abs())[masks[:, 1:] ^ masks[:, :-1]]
    assert float(edge.max()) < 0.05  # a hard paste would step by up to 0.4


def test_a_foreign_patch_is_taken_where_the_donor_shows_something() -> None:
    images, donor = torch.full((30, 1, 64, 64), 0.4), torch.full((1, 1, 64, 64), 0.4)
    images[:, :, 4:28, 4:28] = textured(30, 1, 24, 24)
    donor[:, :, 36:60, 36:60] = textured(1, 3, 24, 24, seed=1)[:, :1]
    planted, masks = plant(Anomaly.FOREIGN_PATCH, images, donor, np.random.default_rng(12))
    for before, after, mask in zip(images[:, 0], planted[:, 0], masks, strict=True):
        inner = mask[1:-1, 1:-1]
        old, new = laplacian(before)[inner], laplacian(after)[inner]
        foreign = new - float((old @ new) / (old @ old)) * old
        assert float(foreign.std()) > 0.05  # the donor's own there, and more than none of a flat patch


def test_the_donor_is_never_the_image_itself() -> None:
    image = textured(1)
    pool = torch.cat([image, ramp(), image])
    for seed in range(20):
        planted, masks = plant(Anomaly.FOREIGN_PATCH, image, pool, np.random.default_rng(seed))
        assert 0.4 <= share_taken(image[0, 0], planted[0, 0], masks[0]) <= 1
    planted = suite(PixelStore(torch.cat([image, ramp()]).numpy()), [Anomaly.FOREIGN_PATCH], per_image=20)
    images, masks = planted[Anomaly.FOREIGN_PATCH]
    of_image = np.flatnonzero(images.index % 2 == 0)
    assert len(of_image) == 20
    for row in of_image:
        assert 0.4 <= share_taken(image[0, 0], images.batch([row])[0, 0], torch.from_numpy(masks[row])) <= 1


def test_every_other_image_serves_as_donor() -> None:
    levels = torch.tensor([0, 0.01, 0.1, 1]).view(-1, 1, 1, 1)
    normals = 0.5 + levels * (textured(4) - 0.5)
    images, masks = suite(PixelStore(normals.numpy()), [Anomaly.FOREIGN_PATCH], per_image=60)[Anomaly.FOREIGN_PATCH]
    of_constant = np.flatnonzero(images.index % 4 == 0)
    changes = [images.batch([row])[0, 0].numpy()[masks[row]].std() for row in of_constant if masks[row].sum() > 50]
    assert {round(np.log10(change)) for change in changes} >= {-3, -2, -1}


def test_cut_paste_pastes_another_part_of_the_image_at_an_opacity_of_two_fifths_to_one() -> None:
    images = textured(25, 3, 32, 32)
    planted, masks = plant(Anomaly.CUT_PASTE, images, images[:0], np.random.default_rng(6))
    for before, after, mask in zip(images.double().numpy(), planted.double().numpy(), masks.numpy(), strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        here = before[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        change = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] - here
        fits = []
        for patch in np.lib.stride_tricks.sliding_window_view(before, here.shape)[0].reshape(-1, *here.shape):
            other = patch - here
            opacity = (change * other).sum() / max((other * other).sum(), 1e-12)
            if np.abs(change - opacity * other).max() < 1e-6:
                fits.append(opacity)
        assert len(fits) == 1
        assert 0.4 <= fits[0] <= 1


def test_intensity_shifts_to_one_side_by_three_tenths_to_one_and_a_half_contrasts_and_fades_out() -> None:
    images = 0.5 + 0.02 * torch.randn(200, 1, 64, 64, generator=torch.Generator().manual_seed(7))
    planted, masks = plant(Anomaly.INTENSITY, images, images[:0], np.random.default_rng(7))
    change = ((planted - images) / images.std((1, 2, 3), keepdim=True))[:, 0]
    brighter, darker = change.flatten(1).amax(1), -change.flatten(1).amin(1)
    assert (torch.minimum(brighter, darker) < 1e-4).all()
    assert 70 < int((brighter > darker).sum()) < 130
    peak = torch.maximum(brighter, darker)
    large = masks.sum((1, 2)) > 200
    assert 0.29 < float(peak[large].min()) < 0.36
    assert 1.3 < float(peak[large].max()) < 1.51
    rim = masks & ~(masks.roll(1, 1) & masks.roll(-1, 1) & masks.roll(1, 2) & masks.roll(-1, 2))
    for shift, edge in zip(change[large].abs(), rim[large], strict=True):
        assert float(shift[edge].mean()) < 0.4 * float(shift.max())  # a hard edge would keep it all


def test_noise_has_a_tenth_to_a_half_of_the_contrast_is_alike_in_all_channels_and_fine_or_coarse() -> None:
    images = (0.5 + 0.05 * torch.randn(200, 1, 64, 64, generator=torch.Generator().manual_seed(8))).expand(
        -1, 3, -1, -1
    )
    planted, masks = plant(Anomaly.NOISE, images, images[:0], np.random.default_rng(8))
    assert torch.equal(planted[:, 0], planted[:, 2])
    change = ((planted - images) / images[:, :1].std((1, 2, 3), keepdim=True))[:, 0]
    large = np.flatnonzero(masks.sum((1, 2)) > 300)
    # the weight's root mean square lies between that of a full ellipse and of one that fades from its centre
    deviations = np.array([float(change[row][masks[row]].square().mean().sqrt()) for row in large])
    assert 0.03 < deviations.min() < 0.1
    assert 0.25 < deviations.max() < 0.6
    alike = [float((change[row, :, 1:] * change[row, :, :-1]).sum() / change[row].square().sum()) for row in large]
    fine = np.array([abs(value) < 0.25 for value in alike])
    coarse = np.array([value > 0.6 for value in alike])
    assert (fine | coarse).all()
    assert 0.3 < fine.mean() < 0.7


def test_blur_takes_fine_structure_away_and_keeps_what_varies_slowly() -> None:
    images = textured(60, 1, 64, 64)
    planted, masks = plant(Anomaly.BLUR, images, images[:0], np.random.default_rng(9))
    for before, after, mask in zip(images[:, 0], planted[:, 0], masks, strict=True):
        if mask.sum() > 200:
            assert float(after[mask].std()) < 0.95 * float(before[mask].std())
            assert abs(float(after[mask].mean() - before[mask].mean())) < 0.01
    straight = ramp(64, 64).expand(20, -1, -1, -1)
    planted, masks = plant(Anomaly.BLUR, straight, straight[:0], np.random.default_rng(9))
    # a ramp's inside is its own blur: only what lies near the image's border could change
    assert float((planted - straight).abs().max()) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_strength_is_measured_in_the_images_own_contrast(kind: Anomaly) -> None:
    images, donors = textured(20), textured(3, seed=1)
    strong, masks = plant(kind, images, donors, np.random.default_rng(10))
    faint, same = plant(kind, 0.5 + (images - 0.5) / 8, 0.5 + (donors - 0.5) / 8, np.random.default_rng(10))
    assert torch.equal(masks, same)
    torch.testing.assert_close(0.5 + (faint - 0.5) * 8, strong, rtol=0, atol=2e-6)


def test_changes_range_from_subtle_to_plain_and_never_below_a_twentieth_of_the_contrast(normals: PixelStore) -> None:
    for kind, (images, masks) in suite(normals, per_image=3).items():
        before = normals.batch(images.index % len(normals)).double()
        change = (images.batch(np.arange(len(images))).double() - before)[:, 0].numpy()
        contrast = before.numpy().std((1, 2, 3))
        seen = [np.sqrt(np.square(c[m]).mean()) / s for c, m, s in zip(change, masks, contrast, strict=True)]
        assert min(seen) >= 0.05, kind
        assert np.quantile(seen, 0.05) < 0.45, kind
        assert np.quantile(seen, 0.95) > 2 * np.quantile(seen, 0.05), kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_image_comes_back_unchanged_with_an_empty_mask(kind: Anomaly) -> None:
    grey = torch.full((2, 1, 32, 32), 0.3)
    planted, masks = plant(kind, grey, torch.full((1, 1, 32, 32), 0.7), np.random.default_rng(0))
    assert torch.equal(planted, grey)
    assert not masks.any()


def test_the_suite_leaves_out_images_that_cannot_show_a_kind_and_says_so_where_none_can() -> None:
    normals = textured(4).numpy()
    normals[2] = 0.3
    for kind, (images, masks) in suite(PixelStore(normals), per_image=2).items():
        kept = [0, 1, 2, 3, 4, 5, 6, 7] if kind.needs_donor else [0, 1, 3, 4, 5, 7]
        assert images.index.tolist() == kept
        assert masks.shape == (len(kept), 32, 32)
        assert masks.any((1, 2)).all()
    for kind in KINDS:
        with pytest.raises(TooFewImagesError, match=f"normals that can show {kind.value}: 1 image needed, 0 given"):
            suite(PixelStore(np.full((3, 1, 32, 32), 0.3, np.float32)), [kind])


def test_the_suite_is_the_seeds_and_neither_the_batch_size_nor_other_kinds_matter(
    normals: PixelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = suite(normals, seed=3, per_image=2)
    assert list(whole) == KINDS
    monkeypatch.setattr(anomalies, "_CHUNK", 7)
    again = suite(normals, reversed(KINDS), seed=3, per_image=2)
    other = suite(normals, seed=4)
    for kind in KINDS:
        alone = suite(normals, [kind], seed=3)[kind]
        assert np.array_equal(again[kind].images.pixels, whole[kind].images.pixels)
        assert np.array_equal(again[kind].masks, whole[kind].masks)
        assert np.array_equal(alone.images.pixels, whole[kind].images.pixels[: len(normals)])
        assert not np.array_equal(other[kind].masks, alone.masks)
        # copies and kinds are drawn anew
        assert not np.array_equal(whole[kind].masks[: len(normals)], whole[kind].masks[len(normals) :])
    alike = (whole[Anomaly.BLUR].masks == whole[Anomaly.NOISE].masks).all((1, 2))
    assert alike.mean() < 0.1


def test_the_suite_reads_images_as_methods_see_them_and_changes_only_the_masked() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 28, 28), np.uint8)
    normals = as_images(pixels).with_intensity(lambda batch: (batch * 0.5 + 0.2).clamp(0, 1)).subset(np.arange(3, 12))
    for images, masks in suite(normals, per_image=2).values():
        assert images.shape == (18, 3, 28, 28)
        before, after = normals.batch(images.index % 9).numpy(), images.batch(np.arange(18)).numpy()
        assert (before == after)[np.broadcast_to(~masks[:, None], before.shape)].all()
        assert (before != after).any((1, 2, 3)).all()


def test_the_global_random_states_are_not_touched(normals: PixelStore) -> None:
    before_numpy, before_torch = np.random.get_state()[1].copy(), torch.get_rng_state()
    suite(normals)
    assert np.array_equal(np.random.get_state()[1], before_numpy)
    assert torch.equal(torch.get_rng_state(), before_torch)


def test_what_cannot_be_done_is_refused_with_one_sentence() -> None:
    image, rng = textured(1), np.random.default_rng(0)
    with pytest.raises(TooFewImagesError, match=r"normals for foreign-patch: 2 images needed, 1 given; each takes"):
        suite(PixelStore(image.numpy()))
    with pytest.raises(TooFewImagesError, match="donors other than the image itself: 1 image needed, 0 given"):
        plant(Anomaly.FOREIGN_PATCH, image, image, rng)
    for kind in set(KINDS) - {Anomaly.FOREIGN_PATCH}:
        assert len(suite(PixelStore(image.numpy()), [kind])[kind].images) == 1
    with pytest.raises(ImageShapeError, match="16 pixels or more a side"):
        plant(Anomaly.BLUR, textured(2, 1, 15, 40), textured(2, 1, 15, 40), rng)
    with pytest.raises(ImageShapeError, match="16 pixels or more a side"):
        suite(PixelStore(textured(2, 1, 40, 15).numpy()))
    with pytest.raises(ImageShapeError, match=r"got \(1, 3, 32, 32\)"):
        plant(Anomaly.BLUR, image, textured(1, 3), rng)
    with pytest.raises(OptionError, match="per_image"):
        suite(PixelStore(textured(2).numpy()), per_image=0)
    with pytest.raises(OptionError, match="seed"):
        suite(PixelStore(textured(2).numpy()), seed=-1)
