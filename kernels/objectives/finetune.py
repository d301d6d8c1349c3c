"""Fine-tuning: a classifier on top of a backbone, and every parameter trained by cross-entropy.

The second stage after any pretext task, and plain supervised training, of which the step is the same. Text: the
classifier of the model's own type, as BERT has it on [CLS] (Section 4.1 of https://arxiv.org/abs/1810.04805). Images:
one linear layer on the pooled features (Appendix B.5 of SimCLR, https://arxiv.org/abs/2002.05709), or timm's own
classifier. Sound: a projection, the average over time and a linear layer (SUPERB, https://arxiv.org/abs/2105.01051);
the convolutions are frozen (Section 4.2 of wav2vec 2.0, https://arxiv.org/abs/2006.11477).

Shapes: N samples, K classes.
"""

import torch
from torch.nn import functional

from sslbench.kernels.backbones import Modality, Sizes, modality_of
from sslbench.kernels.classifiers import check_smoothing, classifier, labelled
from sslbench.kernels.data.augmentation import SUPERVISED
from sslbench.kernels.setup import Inference, Setup, Training


def train(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
    smoothing: float = 0.0,
) -> Training:
    """Fine-tuning on synthetic samples with synthetic labels (N).

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels, for images.
        seq_len: tokens a sequence, for text.
        seconds: length of a sound, at 16 kHz.
        classes: outputs of the classifier (K).
        smoothing: part of a label that is spread over all classes (https://arxiv.org/abs/1512.00567).

    Raises:
        ValueError: nothing can be classified with the model, a size is missing, or a value is out of range.
    """
    check_smoothing(smoothing)
    sizes = Sizes(image_size=image_size, seq_len=seq_len, seconds=seconds)
    network = classifier(setup, sizes, classes=classes)

    def loss(samples: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        return loss_of(network(samples), labels_N, smoothing)

    learning_rate, weight_decay = hyper_parameters(modality_of(setup, sizes), setup.samples)
    return Training(
        network=network,
        inputs=labelled(setup, sizes, classes=classes),
        loss=loss,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        augmentations=SUPERVISED,
    )


def inference(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
) -> Inference:
    """The classifier and its input; gives logits (N, K).

    Raises:
        ValueError: as `train`.
    """
    sizes = Sizes(image_size=image_size, seq_len=seq_len, seconds=seconds)
    return classifier(setup, sizes, classes=classes).eval(), labelled(setup, sizes, classes=classes)[:1]


def loss_of(logits_NK: torch.Tensor, labels_N: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy with labels of which `smoothing` is spread over all classes."""
    return functional.cross_entropy(logits_NK, labels_N, label_smoothing=smoothing)


def hyper_parameters(modality: Modality, samples: int) -> tuple[float, float]:
    """Learning rate and weight decay.

    Images: 0.05 * batch / 256 and no decay (SimCLR, Appendix B.5). Text: 2e-5 and 0.01 (BERT, Appendix A.3). Sound:
    3e-5 and no decay (base_100h.yaml of wav2vec 2.0 in https://github.com/facebookresearch/fairseq).
    """
    if modality == "image":
        return 0.05 * samples / 256, 0.0
    return (2e-5, 0.01) if modality == "text" else (3e-5, 0.0)
