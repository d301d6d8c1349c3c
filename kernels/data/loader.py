"""Batches for a step: its synthetic one, or real ones from a DataLoader."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sslbench.kernels.data.augmentation import Augmentation
from sslbench.kernels.data.source import DataError, Kind, Source
from sslbench.kernels.models import model_config
from sslbench.kernels.setup import Setup

Inputs = tuple[torch.Tensor, ...]
_Item = list[torch.Tensor] | DataError
_TAKES = {"images": "images (--images)", "text": "text (--text)", "sound": "sound, which cannot be loaded yet"}


class Batches:
    """What a step's passes take, one batch after the other: the synthetic one, but real ones while `loading`.

    Args:
        inputs: the synthetic batch; what of it a file has none of (masks, labels, captions) stays in every batch.
        dataset: items with a tensor (V, ...) for each of `positions`.
        positions: of the inputs that are loaded.
        batch_size: items in a batch.
        workers: processes that load; 0: this one.
    """

    def __init__(
        self, inputs: Inputs, dataset: Dataset[_Item], positions: Sequence[int], *, batch_size: int, workers: int
    ) -> None:
        self.items = len(dataset)  # type: ignore[arg-type]  # torch leaves __len__ out of Dataset
        """Files or stretches of text that there are."""
        self.batch_size = batch_size
        self.workers = workers
        self._inputs = inputs
        self._positions = tuple(positions)
        self._loaded: Iterator[Any] | None = None
        self._loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=_Endless(self.items),
            num_workers=workers,
            collate_fn=_collated,
            pin_memory=inputs[0].device.type == "cuda",
        )

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> Inputs:
        """The next batch, on the device and of the type and layout of the synthetic one.

        Raises:
            DataError: a file cannot be read.
        """
        if self._loaded is None:
            return self._inputs
        batch = list(self._inputs)
        for position, tensor in zip(self._positions, self.load(), strict=True):
            batch[position] = _like(tensor, batch[position])
        return tuple(batch)

    def load(self) -> list[torch.Tensor]:
        """The next batch as it comes from the loader; only while `loading`.

        Raises:
            DataError: a file cannot be read.
        """
        assert self._loaded is not None  # noqa: S101 - a programming error, not a user's
        loaded: list[torch.Tensor] | DataError = next(self._loaded)
        if isinstance(loaded, DataError):
            raise loaded
        return loaded

    @contextmanager
    def loading(self) -> Iterator[None]:
        """While active, batches are real; the processes that load live as long."""
        self._loaded = iter(self._loader)
        try:
            yield
        finally:
            self._loaded = None


def make_batches(inputs: Inputs, setup: Setup, source: Source, augmentations: Sequence[Augmentation]) -> Batches:
    """Batches of a source for a step that takes `inputs`.

    Args:
        inputs: the step's synthetic batch.
        setup: batch and model.
        source: where the files are.
        augmentations: of images; empty: as for evaluation.

    Raises:
        DataError: the step takes something else, or the files do not do.
    """
    kind = _kind(inputs[0])
    if kind != source.kind:
        raise DataError(f"--{source.kind}: the step takes {_TAKES[kind]}")
    dataset, positions = (_images if kind == "images" else _text)(inputs, setup, source, augmentations)
    return Batches(inputs, dataset, positions, batch_size=setup.batch_size, workers=source.workers)


def _kind(first: torch.Tensor) -> Kind | str:
    """What an objective takes shows in the first of its inputs."""
    if first.dim() == 4:
        return "images"
    return "sound" if first.is_floating_point() else "text"


def _images(
    inputs: Inputs, setup: Setup, source: Source, augmentations: Sequence[Augmentation]
) -> tuple[Dataset[_Item], list[int]]:
    from sslbench.kernels.data.images import ImageViews, image_slots  # noqa: PLC0415 - Pillow is an extra

    slots = image_slots(inputs, setup.batch_size)
    return ImageViews(Path(source.path), slots, augmentations), [slot.position for slot in slots]


def _text(
    inputs: Inputs, setup: Setup, source: Source, _augmentations: Sequence[Augmentation]
) -> tuple[Dataset[_Item], list[int]]:
    from sslbench.kernels.data.text import (  # noqa: PLC0415 - loads tokenizers
        TextStretches,
        load_tokenizer,
        read_text,
        trained_tokenizer,
    )

    vocab_size = model_config(setup.model).vocab_size
    text = read_text(Path(source.path))
    if source.tokenizer:
        tokenizer = load_tokenizer(Path(source.tokenizer), vocab_size)
    else:
        tokenizer = trained_tokenizer(text, vocab_size)
    return TextStretches(text, tokenizer, inputs[0].shape[1]), [0]


class _Endless(Sampler[int]):
    """Every item once in random order, again and again: no end of an epoch stops the workers."""

    def __init__(self, items: int) -> None:
        self._items = items

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self._items).tolist()


def _collated(items: list[_Item]) -> _Item:
    """Items of (V, ...) as tensors (V N, ...), view after view; the first error among them instead."""
    batch = []
    for item in items:
        if isinstance(item, DataError):
            return item
        batch.append(item)
    return [torch.stack(views, dim=1).flatten(0, 1) for views in zip(*batch, strict=True)]


def _like(tensor: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
    """Sent as it is, from pinned memory, and changed on the device: the other way round the host would work."""
    last = synthetic.dim() == 4 and synthetic.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last and not synthetic.is_contiguous() else torch.preserve_format
    return tensor.to(synthetic.device, non_blocking=True).to(synthetic.dtype, memory_format=layout)
