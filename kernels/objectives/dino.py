"""DINO: a student matches the centred and sharpened output of its own average over other crops of an image.

Paper: https://arxiv.org/abs/2104.14294 (Section 3, Algorithm 1, Appendix C); step and defaults are those of the
authors' code (https://github.com/facebookresearch/dino, main_dino.py): 2 crops of 224 and 8 of 96 pixels, of which the
teacher sees the 2; crops of one size in one batch, all class tokens through the head at once; head F -> 2048 -> 2048 ->
256 -> 65,536; temperatures 0.1 and 0.04; centre with momentum 0.9; teacher with momentum 0.996; stochastic depth 0.1 in
the student; AdamW at 0.0005 * batch / 256 with weight decay 0.04; each gradient clipped at 3. Values are those at the
start: the schedules of learning rate, weight decay and momentum change no cost.

Shapes: N images, G = 2 global crops, V local crops, C channels, S pixels, F features, K prototypes.
"""

import torch
from torch import nn

from sslbench.kernels.clipping import check_clip, clip_each
from sslbench.kernels.data.augmentation import DINO
from sslbench.kernels.dino_head import DinoHead
from sslbench.kernels.ema import Ema, frozen_copy
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.losses.self_distillation import centered_softmax, dino_loss, update_center
from sslbench.kernels.models import constructing
from sslbench.kernels.multi_crop import GLOBAL_CROPS, check_crops, synthetic_crops
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.stochastic_depth import drop_paths
from sslbench.kernels.views import check_positive, encoder_inference


def train(
    setup: Setup,
    *,
    image_size: int,
    local_size: int = 96,
    local_crops: int = 8,
    prototypes: int = 65_536,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    norm_last_layer: bool = True,
    freeze_last_layer: bool = False,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    momentum: float = 0.996,
    drop_path: float = 0.1,
    clip_gradient: float = 3.0,
) -> Training:
    """DINO on synthetic crops: global (2N, C, S, S) and local (V N, C, s, s), crop after crop.

    Args:
        setup: model, batch (N images, each seen 2 + V times) and how it is run.
        image_size: height and width of a global crop in pixels (S).
        local_size: the same of a local crop (s).
        local_crops: local crops an image (V); 0 is training without multi-crop.
        prototypes: width of the head's output (K).
        hidden_dim: width of the head's hidden layers.
        bottleneck_dim: width before the head's last layer.
        norm_last_layer: hold the prototypes' lengths at 1; without, they are learned.
        freeze_last_layer: as in the first epoch: the prototypes get a gradient, but no update.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's softmax.
        momentum: of the teacher.
        drop_path: stochastic depth of the student's last layer; for vision transformers.
        clip_gradient: norm that each parameter's gradient is clipped at; 0 for no clipping.

    Raises:
        ValueError: a model that takes no images, a crop that is no multiple of the patch, a value out of range.
    """
    check_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    check_clip(clip_gradient)
    encoder = image_encoder(setup, image_size=image_size)
    check_crops(encoder, local_size=local_size, local_crops=local_crops)
    with constructing(setup.device, setup.weights):
        head = DinoHead(
            encoder.features,
            prototypes=prototypes,
            hidden=hidden_dim,
            bottleneck=bottleneck_dim,
            norm_last_layer=norm_last_layer,
        )
        network = laid_out(_DINO(encoder, head, prototypes), setup)
    drop_paths(encoder.network, drop_path)
    teacher = Ema(network.student, network.teacher, momentum)

    def loss(global_crops: torch.Tensor, *local: torch.Tensor) -> torch.Tensor:
        teacher_NK, student_NK = network.targets(global_crops), network(global_crops, *local)
        target_NK = centered_softmax(teacher_NK, network.center, teacher_temperature)
        crops = GLOBAL_CROPS + local_crops
        value = dino_loss(student_NK.chunk(crops), target_NK.chunk(GLOBAL_CROPS), student_temperature)
        update_center(network.center, teacher_NK)
        return value

    def before_update() -> None:
        if clip_gradient:
            clip_each(network.student.parameters(), clip_gradient)
        if freeze_last_layer:
            head.hold_prototypes()

    return Training(
        network=network,
        inputs=synthetic_crops(setup, encoder, local_size=local_size, local_crops=local_crops),
        loss=loss,
        learning_rate=0.0005 * setup.samples / 256,
        weight_decay=0.04,
        before_update=before_update,
        after_update=teacher.update,
        augmentations=DINO,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The teacher's encoder (its head is thrown away) and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


class _DINO(nn.Module):
    """Student and teacher, each an encoder with its head, and the centre of the teacher's outputs."""

    center: torch.Tensor

    def __init__(self, encoder: ImageEncoder, head: DinoHead, prototypes: int) -> None:
        super().__init__()
        self.student = nn.Sequential(encoder, head)
        self.teacher = frozen_copy(self.student)
        self.register_buffer("center", torch.zeros(prototypes, dtype=torch.float32))

    def forward(self, *crops: torch.Tensor) -> torch.Tensor:
        """The student's outputs for all crops (rows, K): the encoder once for every size, the head once."""
        encoder, head = self.student
        outputs: torch.Tensor = head(torch.cat([encoder(images) for images in crops]))
        return outputs

    @torch.no_grad()
    def targets(self, global_crops: torch.Tensor) -> torch.Tensor:
        """The teacher's outputs for the global crops (2N, K)."""
        outputs: torch.Tensor = self.teacher(global_crops)
        return outputs
