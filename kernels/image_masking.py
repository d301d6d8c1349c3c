"""Which patches of an image are hidden in masked image modelling: what the authors' loaders draw on the host.

Every image of a batch has exactly as many hidden patches as the others, so that no size depends on data.

Shapes: B images, G patches a side, L = G * G patches in row order, M of them hidden.
"""

import math
import random

import torch

ASPECT = 0.3  # a block's sides are at most 1 : 1 / 0.3
SMALLEST_BLOCK = 16  # patches


def random_mask(
    batch: int, grid: int, *, unit: int, mask_ratio: float, device: torch.device | None = None
) -> torch.Tensor:
    """Squares of `unit` patches a side, drawn at random: ceil(ratio * squares) of every image; True (B, L) is hidden.

    Section 3.2 of https://arxiv.org/abs/2111.09886 and `MaskGenerator` of https://github.com/microsoft/SimMIM.

    Raises:
        ValueError: the squares do not tile the image, or none or all of them would be hidden.
    """
    if unit < 1 or grid % unit:
        raise ValueError(f"squares of {unit} patches a side do not tile {grid} x {grid} patches")
    squares = (grid // unit) ** 2
    count = hidden_count(squares, mask_ratio, up=True)
    chosen = torch.rand(batch, squares, device=device).topk(count, dim=1).indices
    mask = torch.zeros(batch, squares, dtype=torch.bool, device=device).scatter_(1, chosen, True)
    square = mask.view(batch, grid // unit, grid // unit)
    return square.repeat_interleave(unit, 1).repeat_interleave(unit, 2).flatten(1)


def hidden_count(patches: int, mask_ratio: float, *, up: bool = False) -> int:
    """Patches of an image that a ratio hides: rounded, or rounded up.

    Raises:
        ValueError: the ratio is not between 0 and 1, or hides none or all of them.
    """
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio: expected a number between 0 and 1, got {mask_ratio}")
    # An exact product may come out a little above its whole number: 0.28 * 25 is 7.000000000000001.
    count = math.ceil(mask_ratio * patches - 1e-9) if up else round(mask_ratio * patches)
    if not 0 < count < patches:
        raise ValueError(
            f"mask_ratio: {mask_ratio} of {patches} squares hides {count}: at least one must be hidden and one seen"
        )
    return count


def blockwise_positions(batch: int, grid: int, *, count: int, seed: int = 0) -> list[list[int]]:
    """Sorted positions (B, M) of hidden patches, in blocks; `count` is M."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    return [sorted(_blocks(grid, count, draw)) for _ in range(batch)]


def _blocks(grid: int, count: int, draw: random.Random) -> set[int]:
    """Hidden patches of one image: blocks of at least 16 patches until there are `count` of them.

    Algorithm 1 of https://arxiv.org/abs/2106.08254, by `MaskingGenerator` of https://github.com/microsoft/unilm (beit):
    a block that would go over `count` is drawn anew. After ten draws in vain the authors leave the mask some patches
    short; here the smallest block is halved and the search goes on, so that every mask has as many.
    """
    hidden: set[int] = set()
    smallest = SMALLEST_BLOCK
    while len(hidden) < count:
        missing = count - len(hidden)
        for _ in range(10):
            block = _block(grid, draw.uniform(min(smallest, missing), missing), draw)
            if 0 < len(block - hidden) <= missing:
                hidden |= block
                break
        else:
            smallest = max(1, smallest // 2)
    return hidden


def _block(grid: int, area: float, draw: random.Random) -> set[int]:
    aspect = math.exp(draw.uniform(math.log(ASPECT), -math.log(ASPECT)))
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if height >= grid or width >= grid:
        return set()
    top, left = draw.randint(0, grid - height), draw.randint(0, grid - width)
    return {row * grid + column for row in range(top, top + height) for column in range(left, left + width)}
