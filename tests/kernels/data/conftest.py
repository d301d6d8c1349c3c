"""Small images and text on disk."""

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def image_folder(tmp_path):
    """Seven images of different sizes, formats and modes, of one colour each, some in a subfolder."""
    folder = tmp_path / "images"
    (folder / "class").mkdir(parents=True)
    for number in range(7):
        mode = ("RGB", "L", "RGBA", "P", "CMYK")[number % 5]
        image = Image.new("RGB", (30 + number, 40), (30 * number, 100, 200)).convert(mode)
        suffix = "tiff" if mode == "CMYK" else "png"
        image.save((folder if number % 2 else folder / "class") / f"{number}.{suffix}")
    (folder / "notes.txt").write_text("no image, and not taken for one")
    return folder


@pytest.fixture
def gradient():
    """An image whose red grows to the right and whose green grows downwards."""
    rows, columns = np.mgrid[0:60, 0:80]
    pixels = np.stack([columns * 3, rows * 4, np.full_like(rows, 90)], axis=2).astype(np.uint8)
    return Image.fromarray(pixels)
