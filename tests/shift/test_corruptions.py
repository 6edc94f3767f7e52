"""Corruptions: contracts, what each must leave alone, and their harm to a real network."""

import jax
import numpy as np
import pytest

from verax.shift.corruptions import NAMES, corrupt
from verax.shift.corruptions._resample import bilinear, motion_blur, zoom
from verax.shift.corruptions._weather import plasma

pytestmark = pytest.mark.double

KEY = jax.random.key(0)


def pictures(num, side, channels):
    """Smooth random pictures, so that blurs and noise both show."""
    rng = np.random.default_rng(side)
    coarse = rng.random((num, 4, 4, channels), np.float32)
    fine = np.kron(coarse, np.ones((1, side // 4, side // 4, 1)))
    return np.clip(fine * 200 + rng.integers(0, 40, fine.shape), 0, 255).astype(np.uint8)


SHAPES = {"32": pictures(6, 32, 3), "28": pictures(6, 28, 1), "8": pictures(6, 8, 1)}
CASES = [(name, shape) for name in NAMES for shape in SHAPES if not (name == "saturate" and shape != "32")]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_contract(name, shape):
    images = SHAPES[shape]
    before = images.copy()
    for severity in range(1, 6):
        result = corrupt(images, name, severity, key=KEY)
        assert result.dtype == np.uint8
        assert result.shape == images.shape
        assert np.any(result != images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(result, corrupt(images, name, 5, key=KEY))
    assert corrupt(images[:0], name, 5, key=KEY).shape == images[:0].shape


@pytest.mark.parametrize("name", NAMES)
def test_only_the_random_ones_depend_on_the_key(name):
    exact = {
        "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur",
        "saturate",
    }  # fmt: skip
    one, two = (corrupt(SHAPES["32"], name, 3, key=jax.random.key(seed)) for seed in (1, 2))
    assert np.array_equal(one, two) == (name in exact)


# Severities of glass blur, elastic transform, frost, spatter and saturate differ in kind, not in size; motion blur's
# third and fourth are nearly the same, and pixelate is undone where its boxes meet the picture's.
RISING = [
    name
    for name in NAMES
    if name not in ("glass_blur", "elastic_transform", "frost", "spatter", "saturate", "pixelate")
]


@pytest.mark.parametrize("name", RISING)
def test_harm_rises_with_severity(name):
    images = pictures(60, 32, 3)
    harm = [np.mean((corrupt(images, name, severity, key=KEY).astype(float) - images) ** 2) for severity in range(1, 6)]
    if name == "motion_blur":
        assert harm[4] > 1.2 * harm[0], harm
    else:
        assert np.all(np.diff(harm) > 0), harm


def test_pixelate_harms_fine_detail_more_with_severity():
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)  # no boxes of its own
    harm = [np.mean((corrupt(images, "pixelate", s, key=KEY).astype(float) - images) ** 2) for s in (1, 3, 5)]
    assert np.all(np.diff(harm) > 0), harm


FLAT = np.full((40, 32, 32, 3), 120, np.uint8)


@pytest.mark.parametrize(
    "name",
    ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur", "elastic_transform", "pixelate",
     "contrast", "jpeg_compression"],
)  # fmt: skip
def test_a_flat_picture_stays(name):
    for severity in (1, 5):
        assert np.abs(corrupt(FLAT, name, severity, key=KEY).astype(int) - 120).max() <= 1


def test_noise_has_its_published_size():
    x = 120 / 255
    for severity in range(1, 6):
        noisy = {name: corrupt(FLAT, name, severity, key=KEY) / 255 for name in NAMES if name.endswith("noise")}
        sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
        assert noisy["gaussian_noise"].std() == pytest.approx(sigma, rel=0.02)
        photons = (500, 250, 100, 75, 50)[severity - 1]
        assert noisy["shot_noise"].std() == pytest.approx((x / photons) ** 0.5, rel=0.02)
        share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
        assert np.mean(noisy["impulse_noise"] == 0) == pytest.approx(share / 2, rel=0.1)
        assert np.mean(noisy["impulse_noise"] == 1) == pytest.approx(share / 2, rel=0.1)
        factor = (0.06, 0.10, 0.12, 0.16, 0.20)[severity - 1]
        assert noisy["speckle_noise"].std() == pytest.approx(x * factor, rel=0.02)


def test_values_of_hue_saturation_value():
    image = np.array([[[100, 50, 0], [0, 0, 0]]], np.uint8)
    image = np.tile(image, (8, 4, 1))[None]
    lighter = corrupt(image, "brightness", 5, key=KEY)
    # V + 0.3, with hue and saturation kept; black turns grey.
    assert np.abs(lighter[0, 0, :2].astype(int) - [[176, 88, 0], [76, 76, 76]]).max() <= 1
    paler = corrupt(image, "saturate", 2, key=KEY)
    assert np.abs(paler[0, 0, :2].astype(int) - [[100, 95, 90], [0, 0, 0]]).max() <= 1


def test_glass_blur_copies_and_does_not_swap():
    # A swap keeps the multiset of pixels; the original's views copy, and rows and columns 0 and 1 stay.
    image = np.arange(8 * 8, dtype=np.uint8).reshape(1, 8, 8, 1) * 3
    result = corrupt(np.tile(image, (50, 1, 1, 1)), "glass_blur", 1, key=KEY)
    assert np.all(result[:, :2] == image[:, :2])
    assert np.any(np.sort(result.reshape(50, -1)) != np.sort(image.reshape(-1)))


def test_resampling():
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    y, x = np.mgrid[:8, :8].astype(float)
    grid = np.broadcast_to(y, (2, 8, 8)), np.broadcast_to(x, (2, 8, 8))
    np.testing.assert_allclose(bilinear(images, *grid, repeat_edge=True), images)
    np.testing.assert_allclose(bilinear(images, grid[0] - 8, grid[1], repeat_edge=True), images[:, ::-1])
    np.testing.assert_allclose(bilinear(images, -grid[0], grid[1], repeat_edge=False), images)
    np.testing.assert_allclose(zoom(images, 1.0), images, rtol=1e-6)
    ramp = np.broadcast_to(x[None, ..., None], (2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(zoom(ramp, 2.0)[0, 0, :, 0], 3.5 + (np.arange(8) - 3.5) / 2, rtol=1e-6)
    blurred = motion_blur(ramp, 1, 100.0, np.zeros(2))  # nearly equal weights on this pixel and the next two
    np.testing.assert_allclose(blurred[0, 0, :6, 0], np.arange(6) + 1, rtol=1e-3)


def test_fractals_fill_the_unit_interval():
    for decay in (1.75, 3.0):
        field = plasma(3, (32, 32), decay, np.random.default_rng(0))
        np.testing.assert_allclose(field.min((1, 2)), 0, atol=1e-6)
        np.testing.assert_allclose(field.max((1, 2)), 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.needs_data
def test_harm_to_a_resnet20(data_dir):
    from verax.data import IMAGENET_MEAN, IMAGENET_STD
    from verax.models import cifar_resnet

    archive = np.load(data_dir / "cifar10_10k.npz")
    images, labels = archive["x_test"][:1000], archive["y_test"][:1000]
    network, params = cifar_resnet(np.load(data_dir / "resnet20_cifar10.npz"))
    predict = jax.jit(lambda x: network(params, x).argmax(1))

    def error(pixels):
        x = (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        return np.mean(np.asarray(predict(x.astype(np.float32))) != labels)

    clean = error(images)
    assert clean < 0.1
    for name in NAMES:
        mild, harsh = (error(corrupt(images, name, severity, key=KEY)) for severity in (1, 5))
        assert clean - 0.01 <= mild < 0.6, name
        assert harsh > clean + 0.02, name
        if name not in ("glass_blur", "elastic_transform", "saturate"):
            assert harsh > mild, name


def test_images_of_224_pixels_are_corrupted_as_in_imagenet_c():
    """Strengths that were read off the benchmark's parameters, on a flat and on a striped image."""
    flat = np.full((1, 224, 224, 3), 128, np.uint8)
    stripes = np.broadcast_to(np.where(np.arange(224) // 8 % 2, 255, 0)[None, None, :, None], flat.shape).astype(
        np.uint8
    )
    key = jax.random.key(0)
    for severity, scale in ((1, 0.08), (2, 0.12)):
        noisy = corrupt(flat, "gaussian_noise", severity, key=key)
        assert noisy.std() / 255 == pytest.approx(scale, rel=0.02)
    contrast = corrupt(stripes, "contrast", 5, key=key)
    assert contrast.std() == pytest.approx(0.05 * stripes.std(), abs=0.5)  # pixels are truncated
    # A disk of radius 10 is wider than a stripe: nothing is left of the stripes but a ripple.
    spread = [corrupt(stripes, "defocus_blur", severity, key=key)[0, 112, 20:-20].std() for severity in (1, 5)]
    assert spread[0] > 0.5 * stripes.std()
    assert spread[1] < 0.2 * stripes.std()
    for name in NAMES:
        assert corrupt(flat[:, :128, :128], name, 3, key=key).shape == (1, 128, 128, 3)


def test_memory_goes_by_bytes():
    """Parts of large images are small, whatever their number; the result does not depend on images in other parts."""
    images = np.random.default_rng(0).integers(0, 256, (3, 600, 600, 3), np.uint8)  # one image to a part
    key = jax.random.key(0)
    together = corrupt(images, "brightness", 2, key=key)
    np.testing.assert_array_equal(together[1:2], corrupt(images[1:2], "brightness", 2, key=key))
