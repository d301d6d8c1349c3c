"""Vision transformers whose input side is fixed: sine-cosine positions and a random patch projection."""

import torch
from torch import nn

TEMPERATURE = 10_000.0  # of the wavelengths, as in https://arxiv.org/abs/1706.03762


def fix_patches(network: nn.Module) -> bool:
    """Fix a ViT's patch projection at random values and its positions at sines and cosines; neither is trained.

    MoCo v3 (https://arxiv.org/abs/2104.02057, Sections 4.1 and 4.2).

    Returns:
        Whether the model is a ViT; any other is left as it is.

    Raises:
        ValueError: the ViT is of a width that sines and cosines in two directions do not fill.
    """
    embeddings = getattr(network, "embeddings", None)
    projection = getattr(getattr(embeddings, "patch_embeddings", None), "projection", None)
    positions = getattr(embeddings, "position_embeddings", None)
    if not isinstance(projection, nn.Conv2d) or not isinstance(positions, nn.Parameter):
        return False
    with torch.no_grad():
        nn.init.xavier_uniform_(projection.weight.view(projection.weight.shape[0], -1))
        table = sine_cosine_positions(positions.shape[1] - 1, positions.shape[2])
        positions.zero_()[0, 1:] = table.to(positions)  # the class token's is zero
    for parameter in (*projection.parameters(), positions):
        parameter.requires_grad_(False)
    return True


def sine_cosine_positions(patches: int, width: int) -> torch.Tensor:
    """Positions (patches, width) of a square grid, row by row: sines and cosines of the row, then of the column.

    As `build_2d_sincos_position_embedding` of https://github.com/facebookresearch/moco-v3, vits.py.

    Raises:
        ValueError: the width is no multiple of 4, or the patches make no square.
    """
    side = round(patches**0.5)
    if width % 4 or side * side != patches:
        raise ValueError(
            f"sine-cosine positions need a width that is a multiple of 4 and a square of patches, "
            f"got a width of {width} and {patches} patches"
        )
    frequency = TEMPERATURE ** -(torch.arange(width // 4) / (width // 4))
    place = torch.arange(side).unsqueeze(1) * frequency
    column = torch.cat((place.sin(), place.cos()), dim=1).repeat(side, 1)
    row = torch.cat((place.sin(), place.cos()), dim=1).repeat_interleave(side, dim=0)
    return torch.cat((row, column), dim=1)
