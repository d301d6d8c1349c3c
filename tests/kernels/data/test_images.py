import sys

import pytest
import torch
from torch.testing import assert_close

from sslbench.kernels.data.augmentation import BEIT, DINO, MAE, SIMCLR
from sslbench.kernels.data.images import ImageViews, Slot, image_slots
from sslbench.kernels.data.loader import make_batches
from sslbench.kernels.data.source import DataError, Source
from sslbench.kernels.setup import Setup

ONE = (Slot(0, 1, 3, 16),)


def test_slots_are_the_inputs_that_hold_images():
    inputs = (torch.zeros(8, 3, 16, 16), torch.zeros(4, 36, dtype=torch.long), torch.zeros(32, 1, 8, 8))
    assert image_slots(inputs, 4) == (Slot(0, 2, 3, 16), Slot(2, 8, 1, 8))


def test_files_of_every_mode_are_read_from_all_folders(image_folder):
    dataset = ImageViews(image_folder, ONE, ())
    assert len(dataset) == 7
    for index in range(7):
        (views,) = dataset[index]
        assert views.shape == (1, 3, 16, 16)
        assert views.dtype == torch.float32


def test_values_are_normalised_by_imagenets_mean_and_deviation(image_folder):
    for path in image_folder.rglob("*"):
        if path.is_file() and path.name != "1.png":
            path.unlink()
    grey = ImageViews(image_folder, ONE, ())[0][0]  # 1.png: grey of (30, 100, 200)
    level = round(0.299 * 30 + 0.587 * 100 + 0.114 * 200) / 255
    expected = (level - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert_close(grey[0, :, 5, 5], expected, atol=0.02, rtol=0)


def test_views_are_drawn_anew_and_each_in_its_size(image_folder):
    slots = (Slot(0, 2, 3, 24), Slot(1, 4, 3, 8))
    first, second = (ImageViews(image_folder, slots, DINO)[3] for _ in range(2))
    assert [views.shape for views in first] == [(2, 3, 24, 24), (4, 3, 8, 8)]
    assert not torch.equal(first[0][0], first[0][1])
    assert not torch.equal(first[0], second[0])


def test_the_same_seed_draws_the_same_views(image_folder):
    dataset = ImageViews(image_folder, (Slot(0, 2, 3, 16),), SIMCLR)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(dataset[2][0])
    assert torch.equal(*drawn)


def test_one_augmentation_shows_the_same_crop_in_every_size(tmp_path, gradient):
    gradient.save(tmp_path / "gradient.png")
    large, small = ImageViews(tmp_path, (Slot(0, 1, 3, 64), Slot(2, 1, 3, 32)), BEIT)[0]
    assert_close(torch.nn.functional.avg_pool2d(large, 2)[..., 2:-2, 2:-2], small[..., 2:-2, 2:-2], atol=0.1, rtol=0)


def test_a_model_of_grey_images_gets_grey(image_folder):
    assert ImageViews(image_folder, (Slot(0, 1, 1, 16),), MAE)[0][0].shape == (1, 1, 16, 16)
    with pytest.raises(DataError, match="the model takes 4 channels"):
        ImageViews(image_folder, (Slot(0, 1, 4, 16),), MAE)


@pytest.mark.parametrize("content", [b"", b"GIF87a", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_image_is_named(image_folder, content):
    (image_folder / "zzz.png").write_bytes(content)  # the last in order
    dataset = ImageViews(image_folder, ONE, MAE)
    item = dataset[len(dataset) - 1]
    assert isinstance(item, DataError)
    assert str(item).startswith(f"{image_folder / 'zzz.png'}: is no image that Pillow can read")
    assert "\n" not in str(item)
    (image_folder / "0.png").write_bytes(content)
    with pytest.raises(DataError, match=r"0\.png: is no image"):
        ImageViews(image_folder, ONE, MAE)


def test_a_truncated_image_is_named(image_folder, gradient):
    gradient.save(image_folder / "0.png")
    whole = (image_folder / "0.png").read_bytes()
    (image_folder / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"0\.png: is no image"):
        ImageViews(image_folder, ONE, MAE)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"holds no image: expected \.bmp, "):
        ImageViews(tmp_path, ONE, MAE)


def test_without_pillow_the_extra_is_named(image_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "sslbench.kernels.data.images")
    monkeypatch.delitem(sys.modules, "sslbench.kernels.data.alter", raising=False)
    setup = Setup(device=torch.device("cpu"), model="resnet18", batch_size=2)
    source = Source(kind="images", path=str(image_folder), workers=0)
    with pytest.raises(DataError, match=r"^--images needs Pillow \(.*\): pip install 'sslbench\[images\]'$"):
        make_batches((torch.zeros(2, 3, 8, 8),), setup, source, ())
