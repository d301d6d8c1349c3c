"""Balanced assignments by the Sinkhorn-Knopp algorithm.

Shapes: N samples, K prototypes.
"""

import torch


@torch.no_grad()
def sinkhorn(scores_NK: torch.Tensor, *, epsilon: float, iterations: int) -> torch.Tensor:
    """Soft assignments (N, K) that sum to 1 over prototypes and use each prototype about equally often.

    Equation 3 and Appendix A of https://arxiv.org/abs/2006.09882 (SwAV), whose code is
    https://github.com/facebookresearch/swav, main_swav.py: rows and columns of exp(scores / epsilon) are normalised in
    turn, `iterations` times. Computed at least in fp32: exponentials of scores / 0.05 overflow fp16 from 0.55 on.

    Args:
        scores_NK: similarities of samples and prototypes.
        epsilon: smoothness; the smaller, the harder the assignments.
        iterations: of both normalisations.
    """
    wide_NK = scores_NK.to(torch.promote_types(scores_NK.dtype, torch.float32))
    q_KN = torch.exp(wide_NK / epsilon).t()
    q_KN /= q_KN.sum()
    prototypes, samples = q_KN.shape
    for _ in range(iterations):
        q_KN *= (1 / prototypes) / q_KN.sum(dim=1, keepdim=True)
        q_KN *= (1 / samples) / q_KN.sum(dim=0, keepdim=True)
    return (q_KN / q_KN.sum(dim=0, keepdim=True)).t()
