"""What the losses on correlations between features share (Barlow Twins, VICReg).

Shapes: D features.
"""

import torch


def off_diagonal(matrix_DD: torch.Tensor) -> torch.Tensor:
    """The elements off the diagonal of a square matrix, copied, (D * (D - 1),).

    Without the last element, rows of length D + 1 begin with the diagonal: the trick of the authors' code
    (https://github.com/facebookresearch/barlowtwins, main.py), which indexes nothing and waits for nothing.
    """
    width = matrix_DD.shape[0]
    return matrix_DD.flatten()[:-1].view(width - 1, width + 1)[:, 1:].flatten()
