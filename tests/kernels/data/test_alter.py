import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sslbench.kernels.data import augmentation
from sslbench.kernels.data.alter import augmented, centred, crop_box
from sslbench.kernels.data.augmentation import Augmentation


def draw(seed):
    return random.Random(seed)  # noqa: S311 - nothing secret


sides = st.integers(1, 3000)
CATALOG = {
    name: value
    for name, value in vars(augmentation).items()
    if isinstance(value, tuple) and value and isinstance(value[0], Augmentation)
}


@given(sides, sides, st.integers(0, 2**32), st.sampled_from([(0.05, 0.14), (0.08, 1.0), (0.9, 1.0)]))
def test_a_crop_lies_in_the_image_and_is_no_longer_than_its_aspect_allows(width, height, seed, scale):
    left, top, right, bottom = crop_box(width, height, scale, draw(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(right - left, bottom - top) > 20:  # smaller ones are rounded too much
        assert 3 / 4 / 1.06 < (right - left) / (bottom - top) < 4 / 3 * 1.06


@given(st.integers(0, 2**32))
def test_a_crop_has_its_share_of_the_area(seed):
    left, top, right, bottom = crop_box(640, 480, (0.2, 0.4), draw(seed))
    assert 0.19 < (right - left) * (bottom - top) / (640 * 480) < 0.41


@pytest.mark.parametrize("name", CATALOG)
def test_every_augmentation_of_the_catalog_gives_an_rgb_image_of_the_size(gradient, name):
    for how in CATALOG[name]:
        for seed in range(5):
            view = augmented(gradient, how, 32, draw(seed))
            assert (view.mode, view.size) == ("RGB", (32, 32))


def certain(**changes):
    return Augmentation(**{"scale": (1.0, 1.0), "flip": 0.0, "jitter_probability": 1.0, **changes})


def view_of(image, **changes):
    return np.asarray(augmented(image, certain(**changes), 32, draw(1)), dtype=int)


def test_each_alteration_is_the_one_that_it_says(gradient):
    square = gradient.crop((0, 0, 60, 60))
    plain = view_of(square)
    assert np.array_equal(view_of(square, flip=1.0), plain[:, ::-1])
    grey = view_of(square, grey=1.0)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 1] == grey[..., 2]).all()
    solarized = view_of(square, solarize=1.0)
    assert np.array_equal(solarized, np.where(plain >= 128, 255 - plain, plain))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
    assert view_of(noise, blur=1.0).std() < view_of(noise).std()


def test_jitter_of_hue_alone_leaves_brightness_and_turns_colours():
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    colours = {tuple(view_of(red, jitter=(0, 0, 0, hue))[0, 0]) for hue in (0.1, 0.3, 0.5)}
    assert len(colours) == 3
    assert all(max(colour) == 255 and min(colour) == 0 for colour in colours)
    assert tuple(view_of(red, jitter=(0, 0, 0, 0.0))[0, 0]) == (255, 0, 0)


def test_jitter_of_the_whole_image_is_that_of_a_crop_that_is_the_whole():
    flat = Image.new("RGB", (32, 32), (200, 100, 50))
    jitter = (0.4, 0.4, 0.4, 0.0)
    first = {tuple(view_of(flat, jitter=jitter, jitter_first=True)[0, 0]) for _ in range(2)}
    assert len(first) == 1  # from one seed
    assert first != {(200, 100, 50)}


def test_jitter_stays_within_its_factors():
    grey = Image.new("RGB", (40, 40), (100, 100, 100))
    values = {
        int(np.asarray(augmented(grey, certain(jitter=(0.4, 0, 0, 0)), 8, draw(seed)))[0, 0, 0]) for seed in range(60)
    }
    assert 60 <= min(values) < 80
    assert 120 < max(values) <= 140


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (64, 64), (9, 200)])
def test_evaluation_takes_the_middle(size):
    image = Image.new("RGB", size, (255, 255, 255))
    image.paste((0, 0, 0), (size[0] // 2, 0, size[0], size[1]))
    view = np.asarray(centred(image, 32), dtype=float).mean(axis=(0, 2))
    assert view[:12].mean() > 200
    assert view[-12:].mean() < 55
