"""Masks of image patches in blocks, with exact counts, drawn on the device without waiting for it.

Shapes: N images, P patches (rows times columns), R rectangles an image.
"""

import math

import torch

RECTANGLES = 16
"""Enough to cover half an image but for rare draws, which are filled up with single patches."""
SMALLEST_BLOCK, SMALLEST_ASPECT = 4, 0.3  # Algorithm 1 of BEiT has 16 and 0.3; DINOv2's masking.py 4


def block_masks(count_N: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Masks (N, P), of which row n has exactly `count_N[n]` patches, in random rectangles.

    Rectangles are drawn as in blockwise masking (Algorithm 1 of BEiT, https://arxiv.org/abs/2106.08254; DINOv2's
    masking.py): area uniform from 4 patches up to the count, aspect ratio log-uniform from 0.3 to 1 / 0.3. Where the
    authors stop near the count, the last rectangle here is cut, so that the count is exact and shapes are fixed.
    """
    images, device = count_N.shape[0], count_N.device
    order_NP = torch.full((images, rows * columns), float(RECTANGLES), device=device)
    first_NP = _first_rectangle(count_N, rows, columns)
    # Patches go by the rectangle that first has them; chance orders those of one rectangle.
    score_NP = torch.minimum(order_NP, first_NP) + torch.rand(images, rows * columns, device=device)
    rank_NP = score_NP.argsort(dim=1).argsort(dim=1)
    return rank_NP < count_N.unsqueeze(1)


def _first_rectangle(count_N: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Number of the first rectangle that has a patch; infinity where none has."""
    shape, device = (count_N.shape[0], RECTANGLES), count_N.device
    area_NR = SMALLEST_BLOCK + torch.rand(shape, device=device) * (count_N.unsqueeze(1) - SMALLEST_BLOCK).clamp(min=0)
    aspect_NR = torch.exp((torch.rand(shape, device=device) * 2 - 1) * -math.log(SMALLEST_ASPECT))
    height_NR = (area_NR * aspect_NR).sqrt().round().clamp(1, rows)
    width_NR = (area_NR / aspect_NR).sqrt().round().clamp(1, columns)
    covered_NRYX = _inside(height_NR, rows).unsqueeze(3) & _inside(width_NR, columns).unsqueeze(2)
    number_R = torch.arange(RECTANGLES, device=device, dtype=torch.float32).view(1, -1, 1)
    return torch.where(covered_NRYX.flatten(2), number_R, torch.inf).amin(dim=1)


def _inside(length_NR: torch.Tensor, size: int) -> torch.Tensor:
    """Which of `size` places (N, R, size) an interval of this length has, laid anywhere."""
    start_NR1 = (torch.rand_like(length_NR) * (size - length_NR + 1)).floor().unsqueeze(2)
    place = torch.arange(size, device=length_NR.device)
    return (place >= start_NR1) & (place < start_NR1 + length_NR.unsqueeze(2))


def mask_counts(images: int, patches: int, *, share: float, lowest: float, highest: float) -> list[int]:
    """Masked patches of each image: a share of the images has ratios evenly spread over (lowest, highest], the rest 0.

    The upper bounds that DINOv2's collate.py makes room for: int(patches * ratio), with the ratios the upper ends of
    as many equal bins as images are masked.

    Raises:
        ValueError: a share or ratio is out of range, or nothing would be masked.
    """
    if not 0 < share <= 1:
        raise ValueError(f"mask_probability: expected a number above 0, up to 1, got {share}")
    if not 0 <= lowest <= highest <= 1 or highest == 0:
        raise ValueError(
            f"mask ratios: expected 0 <= mask_ratio_min <= mask_ratio_max <= 1, got {lowest} and {highest}"
        )
    masked = int(images * share)
    ends = [lowest + (highest - lowest) * (number + 1) / masked for number in range(masked)]
    counts = [int(patches * end) for end in ends] + [0] * (images - masked)
    if not sum(counts):
        raise ValueError(f"mask_probability: of {images} global crops with {patches} patches nothing would be masked")
    return counts
