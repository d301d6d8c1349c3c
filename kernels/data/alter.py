"""Augmentations on Pillow images, operation by operation as torchvision has them on such images.

That is what the authors' loaders ran, so the cost is theirs; torchvision itself has no build for every torch. Order and
distributions: torchvision/transforms/transforms.py of https://github.com/pytorch/vision.
"""

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from sslbench.kernels.data.augmentation import Augmentation

Picture = Image.Image
_ASPECT = (3 / 4, 4 / 3)
_SIGMA = (0.1, 2.0)
_SOLARIZE_FROM = 128
_ATTEMPTS = 10
_EVALUATED = 0.875  # 224 pixels of 256
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def augmented(image: Picture, how: Augmentation, size: int, draw: random.Random) -> Picture:
    """One random view of an RGB image, `size` pixels a side."""
    if how.jitter_first:
        image = _jittered(image, how, draw)
    box = crop_box(image.width, image.height, how.scale, draw)
    view = image.resize((size, size), _RESAMPLE[how.resample], box=box)
    if draw.random() < how.flip:
        view = ImageOps.mirror(view)
    if not how.jitter_first:
        view = _jittered(view, how, draw)
    if draw.random() < how.grey:
        view = view.convert("L").convert("RGB")
    if draw.random() < how.blur:
        view = view.filter(ImageFilter.GaussianBlur(draw.uniform(*_SIGMA)))
    if draw.random() < how.solarize:
        view = ImageOps.solarize(view, _SOLARIZE_FROM)
    return view


def centred(image: Picture, size: int) -> Picture:
    """The middle of an image as models are evaluated on it: the middle 224 pixels of 256."""
    bleed = (1 - _EVALUATED) / 2
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC, bleed=bleed)


def crop_box(
    width: int, height: int, scale: tuple[float, float], draw: random.Random
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a random crop; the whole middle where ten draws do not fit."""
    for _ in range(_ATTEMPTS):
        area = width * height * draw.uniform(*scale)
        aspect = math.exp(draw.uniform(*map(math.log, _ASPECT)))
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left, top = draw.randint(0, width - wide), draw.randint(0, height - high)
            return left, top, left + wide, top + high
    aspect = min(max(width / height, _ASPECT[0]), _ASPECT[1])
    wide, high = min(width, max(1, round(height * aspect))), min(height, max(1, round(width / aspect)))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _jittered(view: Picture, how: Augmentation, draw: random.Random) -> Picture:
    """Brightness, contrast, saturation and hue, in random order; or the view as it was."""
    if how.jitter is None or draw.random() >= how.jitter_probability:
        return view
    brightness, contrast, saturation, hue = how.jitter

    def enhance(kind: Callable[[Picture], ImageEnhance._Enhance], most: float) -> Callable[[Picture], Picture]:
        factor = draw.uniform(max(0.0, 1 - most), 1 + most)
        return lambda picture: kind(picture).enhance(factor)

    turns = draw.uniform(-hue, hue)
    changes = [
        enhance(ImageEnhance.Brightness, brightness),
        enhance(ImageEnhance.Contrast, contrast),
        enhance(ImageEnhance.Color, saturation),
    ]
    if hue:
        changes.append(lambda picture: _turned(picture, turns))
    draw.shuffle(changes)
    for change in changes:
        view = change(view)
    return view


def _turned(view: Picture, turns: float) -> Picture:
    """The hue, turned by a part of the circle."""
    hue, saturation, value = view.convert("HSV").split()
    shifted = (np.asarray(hue, dtype=np.int16) + int(turns * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(shifted.astype(np.uint8)), saturation, value)).convert("RGB")
