"""How objectives on images cut and alter the views that they see: figures of the papers, or of their authors' code.

Each is for one view; an objective's tuple has one for each of its views in turn, and the last one stands for all that
follow. A single one means that every input shows the same view, each in its own size.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """A random resized crop, and what may happen to it."""

    scale: tuple[float, float]
    """Part of the image's area that is cut out; its sides are from 3 : 4 to 4 : 3."""
    resample: Literal["bilinear", "bicubic"] = "bicubic"
    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: tuple[float, float, float, float] | None = None
    """Largest change of brightness, contrast and saturation (as factors from 1) and of hue (in turns)."""
    jitter_probability: float = 0.8
    jitter_first: bool = False
    """Of the whole image, before it is cut: more pixels to change."""
    grey: float = 0.0
    """Probability of grey."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a standard deviation from 0.1 to 2 pixels."""
    solarize: float = 0.0
    """Probability that values of 128 and more are inverted."""


_MILD = (0.4, 0.4, 0.2, 0.1)

# https://arxiv.org/abs/2002.05709, Appendix A
SIMCLR = (Augmentation(scale=(0.08, 1), jitter=(0.8, 0.8, 0.8, 0.2), grey=0.2, blur=0.5),) * 2

# main_moco.py of https://github.com/facebookresearch/moco (--aug-plus); SimSiam has the same
MOCO_V2 = (Augmentation(scale=(0.2, 1), resample="bilinear", jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2, blur=0.5),) * 2

# https://arxiv.org/abs/2006.07733, Table 6; Barlow Twins, VICReg and MoCo v3 have the same
BYOL = (
    Augmentation(scale=(0.08, 1), jitter=_MILD, grey=0.2, blur=1.0),
    Augmentation(scale=(0.08, 1), jitter=_MILD, grey=0.2, blur=0.1, solarize=0.2),
)

# src/multicropdataset.py and main_swav.py of https://github.com/facebookresearch/swav
SWAV = (
    *(Augmentation(scale=(0.14, 1), resample="bilinear", jitter=(0.8, 0.8, 0.8, 0.2), grey=0.2, blur=0.5),) * 2,
    Augmentation(scale=(0.05, 0.14), resample="bilinear", jitter=(0.8, 0.8, 0.8, 0.2), grey=0.2, blur=0.5),
)


def _self_distillation(border: float) -> tuple[Augmentation, ...]:
    """Two global crops above `border` of the area, local ones below it."""
    return (
        Augmentation(scale=(border, 1), jitter=_MILD, grey=0.2, blur=1.0),
        Augmentation(scale=(border, 1), jitter=_MILD, grey=0.2, blur=0.1, solarize=0.2),
        Augmentation(scale=(0.05, border), jitter=_MILD, grey=0.2, blur=0.5),
    )


# DataAugmentationDINO in main_dino.py of https://github.com/facebookresearch/dino, with the paper's 0.4 for a ViT
DINO = _self_distillation(0.4)
# dinov2/configs/ssl_default_config.yaml of https://github.com/facebookresearch/dinov2
DINOV2 = _self_distillation(0.32)

# https://arxiv.org/abs/2111.06377, Table 8: random resized crops; their scale is that of main_pretrain.py
MAE = (Augmentation(scale=(0.2, 1)),)
# beit/datasets.py of https://github.com/microsoft/unilm: the tokenizer sees the same crop in another size
BEIT = (Augmentation(scale=(0.08, 1), jitter=(0.4, 0.4, 0.4, 0.0), jitter_probability=1.0, jitter_first=True),)
# data/data_simmim.py of https://github.com/microsoft/SimMIM
SIMMIM = (Augmentation(scale=(0.67, 1), resample="bilinear"),)
# The only one of https://arxiv.org/abs/2103.00020, Section 2.4, is a random square crop; scale of open_clip's code
CLIP = (Augmentation(scale=(0.9, 1), flip=0.0),)
# https://arxiv.org/abs/1512.03385, Section 3.4, as torchvision's reference scripts have it
SUPERVISED = (Augmentation(scale=(0.08, 1), resample="bilinear"),)
