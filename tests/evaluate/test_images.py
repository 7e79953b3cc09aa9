from __future__ import annotations

import numpy as np
import pytest

from nto3d.evaluate import images
from nto3d.evaluate.images import PSNR_CEILING, image_metrics, psnr, ssim

RNG = np.random.default_rng(3)


def picture(height: int = 32, width: int = 40) -> np.ndarray:
    return RNG.random((height, width, 3))


@pytest.mark.parametrize(("error", "decibels"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0)])
def test_psnr_of_a_constant_error(error: float, decibels: float) -> None:
    truth = np.zeros((8, 9, 3))
    assert psnr(truth + error, truth) == pytest.approx(decibels)


def test_psnr_of_equal_pictures_is_the_ceiling() -> None:
    truth = picture()
    assert psnr(truth, truth) == PSNR_CEILING


def test_psnr_inside_a_mask_sees_only_its_pixels() -> None:
    truth, mask = np.full((8, 8, 3), 0.5), np.zeros((8, 8), dtype=bool)
    mask[2:4] = True
    rendered = np.where(mask[..., None], truth + 0.1, 0.0)
    assert psnr(rendered, truth, mask) == pytest.approx(20.0)
    assert psnr(rendered, truth) == pytest.approx(-10 * np.log10((0.25 * 0.01) + 0.75 * 0.25))


def test_ssim_of_equal_pictures_is_one_and_falls_with_noise() -> None:
    truth = picture()
    assert ssim(truth, truth) == pytest.approx(1.0, abs=1e-6)
    little, much = (ssim(np.clip(truth + s * RNG.normal(size=truth.shape), 0, 1), truth) for s in (0.02, 0.2))
    assert much < little < 1


@pytest.mark.parametrize("height", [7, 31, 33, 37, 64, 65, 100])
def test_ssim_in_stripes_is_that_of_the_whole_picture(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = picture(height)
    rendered = np.clip(truth + 0.2 * RNG.normal(size=truth.shape), 0, 1)
    whole = images._ssim_map(rendered, truth)
    monkeypatch.setattr(images, "STRIPE", 32)
    np.testing.assert_allclose(images._ssim_map(rendered, truth), whole, rtol=0, atol=1e-5)


def test_ssim_of_constant_pictures_by_hand() -> None:
    """No variance: only the luminance term is left, (2ab + C1) / (a^2 + b^2 + C1) with C1 = 0.01^2."""
    a, b = 0.4, 0.6
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    # float32 leaves a variance of some 1e-7 beside C2 = 9e-4.
    assert ssim(np.full((24, 24, 3), a), np.full((24, 24, 3), b)) == pytest.approx(expected, abs=5e-4)


def test_ssim_inside_a_mask_sees_only_its_pixels() -> None:
    truth = picture(64, 64)
    rendered, left = truth.copy(), np.zeros((64, 64), dtype=bool)
    rendered[:, 40:] = 0.5
    left[:, :30] = True  # further than the window's 5 pixels from what is wrong
    assert ssim(rendered, truth, left) == pytest.approx(1.0, abs=1e-6)
    assert ssim(rendered, truth, ~left) < 0.7


def test_metrics_judge_the_object_on_black() -> None:
    truth, mask = picture(), np.zeros((32, 40), dtype=bool)
    mask[8:24, 8:24] = True
    metrics = image_metrics(truth * mask[..., None], truth, mask)
    assert metrics["psnr"] == metrics["psnr_mask"] == PSNR_CEILING
    assert metrics["ssim"] == pytest.approx(1.0, abs=1e-6)
    haze = image_metrics(truth * mask[..., None] + 0.1 * ~mask[..., None], truth, mask)
    assert haze["psnr_mask"] == PSNR_CEILING
    assert haze["psnr"] == pytest.approx(-10 * np.log10(0.01 * (1 - 256 / 1280)))


def test_which_keys_there_are() -> None:
    truth = picture()
    assert set(image_metrics(truth, truth)) == {"psnr", "ssim"}
    assert set(image_metrics(truth, truth, np.zeros((32, 40), dtype=bool))) == {"psnr", "ssim"}
    assert set(image_metrics(truth, truth, np.ones((32, 40), dtype=bool))) == {"psnr", "ssim", "psnr_mask", "ssim_mask"}


def test_bad_pictures_are_refused() -> None:
    truth = picture()
    with pytest.raises(ValueError, match="of one size"):
        psnr(truth[:-1], truth)
    with pytest.raises(ValueError, match="floating point"):
        psnr((truth * 255).astype(np.uint8), truth)
    with pytest.raises(ValueError, match="not empty"):
        psnr(truth, truth, np.zeros((32, 40), dtype=bool))
    with pytest.raises(ValueError, match="at least 6"):
        ssim(truth[:5], truth[:5])


def test_matched_takes_gain_and_offset_back_where_they_can_be_told() -> None:
    rendered = picture() * 0.6 + 0.2
    truth = rendered * np.array([0.8, 1.0, 1.3]) + np.array([0.05, 0.0, -0.1])
    truth[:4, :4] = 0.9  # something else than what was rendered
    opacity = np.ones(truth.shape[:2])
    opacity[:, :5] = 0.0
    rendered[:, :5] = truth[:, :5] = 0.0
    mask = opacity > 0
    found = images.matched(rendered, truth, opacity, mask)
    np.testing.assert_allclose(found[4:], truth[4:].clip(0, 1), atol=0.003)
    assert not found[:, :5].any()  # black beside the object stays black
    np.testing.assert_allclose(images.matched(truth, truth, opacity, None), truth.clip(0, 1), atol=1e-5)


def test_matched_leaves_a_picture_of_which_nothing_is_seen() -> None:
    rendered = picture()
    found = images.matched(rendered, picture(), np.zeros(rendered.shape[:2]), None)
    np.testing.assert_allclose(found, rendered, atol=1e-6)
