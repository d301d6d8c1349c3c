"""DINOv2: DINO on class tokens and iBOT on masked patches, with Sinkhorn-Knopp centring and the KoLeo regulariser.

Paper: https://arxiv.org/abs/2304.07193 (Sections 4 and 5, Appendix B); step and defaults are those of the authors'
code (https://github.com/facebookresearch/dinov2, ssl_meta_arch.py and ssl_default_config.yaml, which centres by a
moving average; its configurations for large data by Sinkhorn-Knopp): half of the global crops have 10 to 50 % of their
patches hidden from the student, in blocks; the teacher sees all. Summed are the mean cross entropy over pairs of crops,
iBOT's loss on the masked patches, and 0.1 KoLeo on the class tokens of each global crop. Stochastic depth leaves
samples out of a branch; gradients of the encoder and of each head are clipped apart; AdamW at 0.004 * sqrt(batch /
1024).

Different here: as many patches are masked as the authors' buffers have room for (`upperbound` in collate.py), so that
shapes are fixed; the two sizes of crops go through the encoder one after the other, not packed into one sequence; the
cross entropies are torch's, not xFormers' kernel. Left out are the smaller learning rate of the patch embedding and
the schedules, which change no cost; the teacher's temperature is that after warm-up.

Shapes: N images, G = 2 global crops each, V local crops, C channels, S pixels, P patches, M masked patches of the
batch, F features, K prototypes.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from sslbench.kernels.block_masks import mask_counts
from sslbench.kernels.clipping import check_clip
from sslbench.kernels.data.augmentation import DINOV2
from sslbench.kernels.dino_head import DinoHead
from sslbench.kernels.dinov2_network import DinoV2Network, Outputs
from sslbench.kernels.ema import Ema
from sslbench.kernels.encoders import laid_out
from sslbench.kernels.losses.self_distillation import (
    centered_softmax,
    class_token_loss,
    koleo_loss,
    patch_loss,
    update_center,
)
from sslbench.kernels.losses.sinkhorn import sinkhorn
from sslbench.kernels.models import constructing
from sslbench.kernels.multi_crop import GLOBAL_CROPS, check_crops, synthetic_crops
from sslbench.kernels.patch_encoder import PatchEncoder, patch_encoder
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.stochastic_depth import skip_samples
from sslbench.kernels.views import check_positive, encoder_inference

Centering = Literal["centering", "sinkhorn_knopp"]
SINKHORN_ITERATIONS = 3  # Section 4 of the paper


def train(
    setup: Setup,
    *,
    image_size: int,
    local_size: int = 98,
    local_crops: int = 8,
    prototypes: int = 65_536,
    bottleneck_dim: int = 256,
    hidden_dim: int = 2048,
    separate_head: bool = False,
    patch_prototypes: int = 65_536,
    patch_bottleneck_dim: int = 256,
    centering: Centering = "sinkhorn_knopp",
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.07,
    patch_weight: float = 1.0,
    koleo_weight: float = 0.1,
    mask_probability: float = 0.5,
    mask_ratio_min: float = 0.1,
    mask_ratio_max: float = 0.5,
    momentum: float = 0.992,
    drop_path: float = 0.3,
    clip_gradient: float = 3.0,
    freeze_last_layer: bool = False,
    base_learning_rate: float = 0.004,
) -> Training:
    """DINOv2 on synthetic crops: global (2N, C, S, S) and local (V N, C, s, s), crop after crop.

    Args:
        setup: model, batch (N images, each seen 2 + V times) and how it is run.
        image_size: height and width of a global crop in pixels (S).
        local_size: the same of a local crop (s).
        local_crops: local crops an image (V).
        prototypes: width of the head's output for class tokens (K).
        bottleneck_dim: width before that head's last layer.
        hidden_dim: width of the heads' hidden layers.
        separate_head: patches have a head of their own, as in the large configurations.
        patch_prototypes: width of the separate head's output.
        patch_bottleneck_dim: width before the separate head's last layer.
        centering: of the teacher's outputs: a moving average, or Sinkhorn-Knopp.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's softmax.
        patch_weight: of iBOT's loss.
        koleo_weight: of KoLeo; 0 leaves it out.
        mask_probability: share of the global crops that has masked patches.
        mask_ratio_min: lower end of the masked ratios.
        mask_ratio_max: upper end of the masked ratios.
        momentum: of the teacher.
        drop_path: share of the samples that each branch of the student leaves out.
        clip_gradient: norm that the gradients of the encoder and of each head are clipped at; 0 for no clipping.
        freeze_last_layer: as in the first epoch: the prototypes get a gradient, but no update.
        base_learning_rate: at a batch of 1024; it goes with the square root of the batch.

    Raises:
        ValueError: a model without a mask token, a crop that is no multiple of the patch, one image and KoLeo, a value
            out of range.
    """
    check_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    check_clip(clip_gradient)
    if koleo_weight and setup.batch_size < 2:
        raise ValueError("batch_size: KoLeo spreads images apart, so it needs at least 2 (or koleo_weight 0), got 1")
    encoder = patch_encoder(setup, image_size=image_size)
    check_crops(encoder, local_size=local_size, local_crops=local_crops)
    counts = mask_counts(
        GLOBAL_CROPS * setup.batch_size,
        encoder.side**2,
        share=mask_probability,
        lowest=mask_ratio_min,
        highest=mask_ratio_max,
    )
    with constructing(setup.device, setup.weights):
        head = _head(encoder, prototypes, hidden_dim, bottleneck_dim)
        patch_head = _head(encoder, patch_prototypes, hidden_dim, patch_bottleneck_dim) if separate_head else None
        centers = centering == "centering"
        network = laid_out(DinoV2Network(encoder, head, patch_head, counts, centers=centers), setup)
    skip_samples(encoder, drop_path)
    loss = _Loss(
        network=network,
        student_temperature=student_temperature,
        teacher_temperature=teacher_temperature,
        patch_weight=patch_weight,
        koleo_weight=koleo_weight,
    )

    def before_update() -> None:
        for part in network.student.values():
            if clip_gradient:
                nn.utils.clip_grad_norm_(part.parameters(), clip_gradient)
            if freeze_last_layer and isinstance(part, DinoHead):
                part.hold_prototypes()

    return Training(
        network=network,
        inputs=synthetic_crops(setup, encoder, local_size=local_size, local_crops=local_crops),
        loss=loss,
        learning_rate=base_learning_rate * (setup.samples / 1024) ** 0.5,
        weight_decay=0.04,
        before_update=before_update,
        after_update=Ema(network.student, network.teacher, momentum).update,
        augmentations=DINOV2,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The teacher's encoder (its heads are thrown away) and its input (N, C, S, S); gives class tokens (N, F).

    Raises:
        ValueError: the model takes no images, or its patches do not divide the image.
    """
    return encoder_inference(setup, image_size=image_size)


def _head(encoder: PatchEncoder, prototypes: int, hidden: int, bottleneck: int) -> DinoHead:
    return DinoHead(
        encoder.features, prototypes=prototypes, hidden=hidden, bottleneck=bottleneck, norm_last_layer=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """The sum of the three losses of a batch (forward_backward of ssl_meta_arch.py)."""

    network: DinoV2Network
    student_temperature: float
    teacher_temperature: float
    patch_weight: float
    koleo_weight: float

    def __call__(self, global_crops: torch.Tensor, local_crops: torch.Tensor | None = None) -> torch.Tensor:
        network = self.network
        masks = network.draw_masks()
        class_GK, patches_MK = network.targets(global_crops, masks.chosen)
        class_GK = self._centered(class_GK, network.center)
        patches_MK = self._centered(patches_MK, network.patch_center)
        outputs = network(global_crops, local_crops, masks)
        value = self._class_loss(outputs, class_GK)
        if self.koleo_weight:
            crops = outputs.class_tokens.chunk(GLOBAL_CROPS)  # apart: crops of one image may be alike
            value = value + self.koleo_weight * sum(koleo_loss(crop_NF) for crop_NF in crops)
        patches = patch_loss(
            outputs.patch_logits,
            patches_MK,
            masks.weight,
            images=len(masks.masked),
            temperature=self.student_temperature,
        )
        return value + self.patch_weight * patches

    @torch.no_grad()
    def _centered(self, logits: torch.Tensor, center_K: torch.Tensor | None) -> torch.Tensor:
        if center_K is None:
            return sinkhorn(logits, epsilon=self.teacher_temperature, iterations=SINKHORN_ITERATIONS)
        probabilities = centered_softmax(logits, center_K, self.teacher_temperature)
        update_center(center_K, logits)
        return probabilities

    def _class_loss(self, outputs: Outputs, target_GK: torch.Tensor) -> torch.Tensor:
        """Mean over pairs of different crops; the targets of the global crops are exchanged already."""
        value = class_token_loss([outputs.global_logits], [target_GK], self.student_temperature) * GLOBAL_CROPS
        if outputs.local_logits is None:
            return value / (GLOBAL_CROPS + 1)  # the authors' count of pairs, which is at least one too many here
        crops = len(outputs.local_logits) * GLOBAL_CROPS // len(target_GK)
        local_NK = outputs.local_logits.chunk(crops)
        value = value + class_token_loss(local_NK, target_GK.chunk(GLOBAL_CROPS), self.student_temperature)
        return value / (GLOBAL_CROPS + GLOBAL_CROPS * crops)
