"""Student and teacher of DINOv2: an encoder with one head for class tokens and patches, or with one for each.

Shapes: N images, G global crops and V local crops in all (2 and more per image), C channels, S pixels, P patches,
M masked patches of the batch, F features, K prototypes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from sslbench.kernels.block_masks import block_masks
from sslbench.kernels.dino_head import DinoHead
from sslbench.kernels.ema import frozen_copy
from sslbench.kernels.patch_encoder import PatchEncoder


class Masks(NamedTuple):
    """Which patches of the global crops are hidden from the student."""

    masked: torch.Tensor
    """By crop and patch (G, P)."""
    chosen: torch.Tensor
    """Places of the masked patches (M) in the flattened mask, in order."""
    weight: torch.Tensor
    """1 / masked patches of the patch's crop (M)."""


class Outputs(NamedTuple):
    """What the student makes of a batch."""

    class_tokens: torch.Tensor
    """Of the global crops (G, F), before the head."""
    global_logits: torch.Tensor
    """Of the global crops' class tokens (G, K)."""
    local_logits: torch.Tensor | None
    """Of the local crops' class tokens (V, K)."""
    patch_logits: torch.Tensor
    """Of the masked patches (M, K)."""


class DinoV2Network(nn.Module):
    """Everything that DINOv2 trains, averages or keeps.

    Args:
        encoder: of the student; the teacher starts as its copy.
        head: for class tokens, and for patches where they have none of their own.
        patch_head: for patches; None to share the head.
        counts: masked patches of each global crop; each step deals them out anew.
        centers: keep moving averages of the teacher's outputs.
    """

    counts: torch.Tensor
    center: torch.Tensor | None
    patch_center: torch.Tensor | None

    def __init__(
        self,
        encoder: PatchEncoder,
        head: DinoHead,
        patch_head: DinoHead | None,
        counts: Sequence[int],
        *,
        centers: bool,
    ) -> None:
        super().__init__()
        parts: dict[str, nn.Module] = {"encoder": encoder, "head": head}
        if patch_head is not None:
            parts["patch_head"] = patch_head
        self.student = nn.ModuleDict(parts)
        self.teacher = frozen_copy(self.student)
        self.masked_patches = sum(counts)
        self.side = encoder.side
        self.register_buffer("counts", torch.tensor(counts))
        for name, of in (("center", head), ("patch_center", patch_head or head)):
            self.register_buffer(name, torch.zeros(of.prototypes, dtype=torch.float32) if centers else None)

    def draw_masks(self) -> Masks:
        """Fresh masks, made on the device; never waits for it."""
        crops = self.counts.shape[0]
        counts_G = self.counts[torch.randperm(crops, device=self.counts.device)]
        masked_GP = block_masks(counts_G, self.side, self.side)
        chosen_M = torch.nonzero_static(masked_GP.flatten(), size=self.masked_patches).squeeze(1)
        weight_G = 1 / counts_G.clamp(min=1)
        return Masks(masked_GP, chosen_M, weight_G.index_select(0, chosen_M // masked_GP.shape[1]))

    @torch.no_grad()
    def targets(self, global_crops: torch.Tensor, chosen_M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The teacher's logits (G, K) for class tokens and (M, K) for the chosen patches, of which it hides none.

        The two global crops of an image are exchanged, so that row by row they face the student's other crop.
        """
        class_GF, patches_GPF = self.teacher["encoder"](global_crops)
        exchanged_GF = torch.cat(class_GF.chunk(2)[::-1])
        (class_GK,), patches_MK = _heads(self.teacher, [exchanged_GF], _choose(patches_GPF, chosen_M))
        return class_GK, patches_MK

    def forward(self, global_crops: torch.Tensor, local_crops: torch.Tensor | None, masks: Masks) -> Outputs:
        """The student's outputs, with masked patches hidden from it."""
        class_GF, patches_GPF = self.student["encoder"](global_crops, masks.masked)
        classes = [class_GF]
        if local_crops is not None:
            classes.append(self.student["encoder"](local_crops)[0])
        logits, patches_MK = _heads(self.student, classes, _choose(patches_GPF, masks.chosen))
        return Outputs(class_GF, logits[0], logits[1] if local_crops is not None else None, patches_MK)


def _choose(patches_GPF: torch.Tensor, chosen_M: torch.Tensor) -> torch.Tensor:
    return patches_GPF.flatten(0, 1).index_select(0, chosen_M)


def _heads(
    parts: nn.ModuleDict, classes: list[torch.Tensor], patches_MF: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Logits of class tokens, in parts as they come, and of patches; a shared head runs once on all."""
    rows = [len(part) for part in classes]
    if "patch_head" in parts:
        return list(parts["head"](torch.cat(classes)).split(rows)), parts["patch_head"](patches_MF)
    *logits, patches_MK = parts["head"](torch.cat([*classes, patches_MF])).split([*rows, len(patches_MF)])
    return logits, patches_MK
