"""Losses of self-distillation: a student matches what a teacher makes of other views (DINO, iBOT, DINOv2).

Formulas of https://arxiv.org/abs/2104.14294 (DINO), https://arxiv.org/abs/2111.07832 (iBOT) and
https://arxiv.org/abs/2304.07193 (DINOv2), computed as the authors' code computes them
(https://github.com/facebookresearch/dino main_dino.py, https://github.com/facebookresearch/dinov2 dinov2/loss).

Shapes: N rows (class tokens of one crop, or of several), M masked patches, K prototypes, D features.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional

CENTER_MOMENTUM = 0.9  # m of Equation 4 of DINO


def centered_softmax(teacher_NK: torch.Tensor, center_K: torch.Tensor, temperature: float) -> torch.Tensor:
    """Centring and sharpening: softmax((t - c) / temperature), at least in fp32 (Section 3.1 of DINO)."""
    return functional.softmax((teacher_NK - center_K) / temperature, dim=-1, dtype=_wide(teacher_NK))


@torch.no_grad()
def update_center(center_K: torch.Tensor, teacher_NK: torch.Tensor, momentum: float = CENTER_MOMENTUM) -> None:
    """The centre follows: c <- m c + (1 - m) mean of the teacher's outputs, in place (Equation 4 of DINO)."""
    center_K.mul_(momentum).add_(teacher_NK.mean(dim=0, dtype=center_K.dtype), alpha=1 - momentum)


def dino_loss(
    student_NK: Sequence[torch.Tensor], teacher_NK: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Cross entropy of every crop of the student with every other global crop of the teacher, averaged.

    The mean over pairs (teacher crop q, student crop v != q) and rows of -sum_k q_k log softmax(v / temperature)_k;
    Equation 3 and Algorithm 1 of DINO. As in the authors' code each pair has a log-softmax of its own, which is what
    the memory of the loss is made of.

    Args:
        student_NK: outputs by crop; the first ones are those that the teacher sees, too.
        teacher_NK: probabilities by global crop.
        temperature: of the student, above 0.

    Raises:
        ValueError: there is no pair of different crops.
    """
    pairs = [(q, v) for q in range(len(teacher_NK)) for v in range(len(student_NK)) if v != q]
    if not pairs:
        raise ValueError("DINO compares different crops of an image: it needs at least two")
    scaled_NK = [crop_NK / temperature for crop_NK in student_NK]
    terms = [_cross_entropy(teacher_NK[q], scaled_NK[v]).mean() for q, v in pairs]
    return torch.stack(terms).sum() / len(pairs)


def class_token_loss(
    student_NK: Sequence[torch.Tensor], teacher_NK: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Sum over all pairs of the mean over rows of -sum_k t_k log softmax(s / temperature)_k.

    What DINOv2 has for `dino_loss`: one log-softmax a crop (dino_clstoken_loss.py); the caller pairs and divides.
    """
    total = []
    for crop_NK in student_NK:
        log_NK = _log_softmax(crop_NK / temperature)
        total += [(target_NK * log_NK).sum(dim=-1).mean() for target_NK in teacher_NK]
    return -torch.stack(total).sum()


def patch_loss(
    student_MK: torch.Tensor, teacher_MK: torch.Tensor, weight_M: torch.Tensor, *, images: int, temperature: float
) -> torch.Tensor:
    """Masked image modelling of iBOT: cross entropy on masked patches (Equation 2 of iBOT, ibot_patch_loss.py).

    Args:
        student_MK: outputs for the masked patches, which the student did not see.
        teacher_MK: probabilities for the same patches, which the teacher saw.
        weight_M: 1 / masked patches of the patch's image, so that every image counts alike.
        images: that the mean is over, with those of which nothing is masked.
        temperature: of the student, above 0.
    """
    loss_M = (teacher_MK * _log_softmax(student_MK / temperature)).sum(dim=-1)
    return -(loss_M * weight_M).sum() / images


def koleo_loss(features_ND: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Kozachenko-Leonenko regulariser: minus the mean logarithm of the distance to the nearest other row.

    Rows are normalised; outside of autocast, at least in fp32 (Section 4 of DINOv2, koleo_loss.py;
    https://arxiv.org/abs/1806.03198).

    Raises:
        ValueError: fewer than two rows, of which none has a neighbour.
    """
    if features_ND.shape[0] < 2:
        raise ValueError(f"KoLeo spreads the images of a batch apart: it needs at least 2, got {features_ND.shape[0]}")
    with torch.autocast(features_ND.device.type, enabled=False):
        unit_ND = functional.normalize(features_ND.to(_wide(features_ND)), dim=-1, eps=eps)
        with torch.no_grad():
            nearest_N = (unit_ND @ unit_ND.T).fill_diagonal_(-1).argmax(dim=1)
        distance_N = functional.pairwise_distance(unit_ND, unit_ND.index_select(0, nearest_N), eps=eps)
        return -torch.log(distance_N + eps).mean()


def _cross_entropy(target_NK: torch.Tensor, logits_NK: torch.Tensor) -> torch.Tensor:
    return (-target_NK * _log_softmax(logits_NK)).sum(dim=-1)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    return functional.log_softmax(logits, dim=-1, dtype=_wide(logits))


def _wide(tensor: torch.Tensor) -> torch.dtype:
    """As autocast does, also without it: a sum over K terms needs more than half precision."""
    return torch.promote_types(tensor.dtype, torch.float32)
