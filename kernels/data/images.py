"""Images of a folder as the views of them that a step takes.

Shapes: V views, C channels, S pixels.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from sslbench.kernels.data.augmentation import Augmentation
from sslbench.kernels.data.source import DataError

try:
    from PIL import Image

    from sslbench.kernels.data.alter import Picture, augmented, centred
except ImportError as error:
    raise DataError(f"--images needs Pillow ({error}): pip install 'sslbench[images]'") from error

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Mean and standard deviation of ImageNet, by which the authors' loaders normalise.
_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
_COLOURS = {1: "L", 3: "RGB"}
_DRAWS = 2**31


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of the step that holds images."""

    position: int
    """Among the step's inputs."""
    views: int
    """Of each image."""
    channels: int
    size: int
    """Height and width in pixels."""


def image_slots(inputs: Sequence[torch.Tensor], batch_size: int) -> tuple[Slot, ...]:
    """The inputs (V N, C, S, S) among a step's, N the batch size: view after view, each of all images."""
    return tuple(
        Slot(position, tensor.shape[0] // batch_size, tensor.shape[1], tensor.shape[-1])
        for position, tensor in enumerate(inputs)
        if tensor.dim() == 4
    )


class ImageViews(Dataset[list[torch.Tensor] | DataError]):
    """An item is one image: for each slot its views (V, C, S, S), drawn anew each time.

    Args:
        folder: images in it and in its subfolders.
        slots: what an item holds.
        augmentations: of the views; empty: the images' middle, as for evaluation.

    Raises:
        DataError: the folder has no image, the first one cannot be read, or the model takes neither grey nor RGB.
    """

    def __init__(self, folder: Path, slots: Sequence[Slot], augmentations: Sequence[Augmentation]) -> None:
        self._files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        self._slots = slots
        self._augmentations = augmentations
        if not self._files:
            raise DataError(
                f"--images {folder}: holds no image: expected {', '.join(SUFFIXES)} in it or in its subfolders"
            )
        if (channels := slots[0].channels) not in _COLOURS:
            raise DataError(f"--images: the model takes {channels} channels, images have 1 or 3: leave --images out")
        first = self[0]
        if isinstance(first, DataError):
            raise first

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> list[torch.Tensor] | DataError:
        """An item, or why there is none: an exception would reach the other side with a page of traceback."""
        image = _read(self._files[index])
        if isinstance(image, DataError):
            return image
        # torch seeds its own generator, one for each worker
        draw = random.Random(int(torch.randint(_DRAWS, ())))  # noqa: S311 - nothing secret
        if len(self._augmentations) <= 1:
            return self._one_view(image, draw)
        numbers = count()
        return [
            torch.stack([self._view(image, next(numbers), slot, draw) for _ in range(slot.views)])
            for slot in self._slots
        ]

    def _one_view(self, image: Picture, draw: random.Random) -> list[torch.Tensor]:
        """The same view in each slot's size."""
        size = self._slots[0].size
        view = augmented(image, self._augmentations[0], size, draw) if self._augmentations else centred(image, size)
        return [
            _tensor(view if slot.size == size else view.resize((slot.size, slot.size)), slot.channels).unsqueeze(0)
            for slot in self._slots
        ]

    def _view(self, image: Picture, number: int, slot: Slot, draw: random.Random) -> torch.Tensor:
        how = self._augmentations[min(number, len(self._augmentations) - 1)]
        return _tensor(augmented(image, how, slot.size, draw), slot.channels)


def _read(path: Path) -> Picture | DataError:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    # A broken file raises whatever its format's reader stumbles over.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return DataError(f"{path}: is no image that Pillow can read ({error}): mend it, or take it out of the folder")


def _tensor(view: Picture, channels: int) -> torch.Tensor:
    """Normalised values (C, S, S)."""
    pixels = np.array(view.convert(_COLOURS[channels]))
    values_SSC = torch.from_numpy(pixels).view(*pixels.shape[:2], channels)
    mean, std = (_MEAN, _STD) if channels == 3 else (_MEAN.mean(), _STD.mean())
    return ((values_SSC.float() / 255 - mean) / std).permute(2, 0, 1).contiguous()
