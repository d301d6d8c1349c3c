"""The models of the catalog have the parameters that their authors state.

A row is a model, what of it is counted, the exact count of the released weights, and the number that its paper rounds
it to, in millions. The source of both stands above it.
"""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import ViTMAEConfig

from sslbench.kernels.models import base_class, constructing, create, masked_lm, model_config, no_init
from sslbench.kernels.text import causal_lm, sentence_pair_lm, text_encoder

META = torch.device("meta")


def image_classifier(config, *, attention):
    """With the head for ImageNet's 1,000 classes, as published counts have it."""
    config.num_labels = 1000
    return create({"resnet": "ResNet", "vit": "ViT"}[config.model_type] + "ForImageClassification", config, attention)


def dinov2_encoder(config, *, attention):
    """As released: positions for 518 px, and the mask token of the training."""
    config.image_size, config.use_mask_token = 518, True
    return create(base_class(config).__name__, config, attention)


def speech_pretraining(config, *, attention):
    """With quantiser, projections and the mask's embedding."""
    return create("Wav2Vec2ForPreTraining", config, attention)


def speech_encoder(config, *, attention):
    """With the mask's embedding."""
    return create(base_class(config).__name__, config, attention)


def masked_autoencoder(config, *, attention):
    """Encoder and the paper's decoder."""
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
    return create("ViTMAEForPreTraining", ViTMAEConfig(**{key: getattr(config, key) for key in sizes}), attention)


def beit_classifier(config, *, attention):
    """As fine-tuned, with a bias of positions in each layer; pre-training has one for all."""
    config.use_shared_relative_position_bias, config.use_relative_position_bias = False, True
    config.num_labels = 1000
    return create("BeitForImageClassification", config, attention)


def swin_classifier(config, *, attention):
    """As published, with windows of 7, which have larger tables of positions."""
    config.window_size, config.num_labels = 7, 1000
    return create("SwinForImageClassification", config, attention)


def image_and_text(config, *, attention):
    return create(base_class(config).__name__, config, attention)


# Text: weights on https://huggingface.co/MODEL, counted without the tied copy of the word embeddings.
ROWS = [
    # google-bert/bert-base-uncased; Section 3 of https://arxiv.org/abs/1810.04805
    ("bert-base", sentence_pair_lm, 110_106_428, 110),
    ("bert-base", masked_lm, 109_514_298, 110),
    ("bert-base", text_encoder, 108_891_648, 110),
    ("bert-large", sentence_pair_lm, 336_226_108, 340),
    # google/bert_uncased_L-4_H-256_A-4; Table 1 of https://arxiv.org/abs/1908.08962
    ("bert-mini", text_encoder, 11_104_768, 11.3),
    # FacebookAI/roberta-base; https://github.com/facebookresearch/fairseq/tree/main/examples/roberta
    ("roberta-base", masked_lm, 124_697_433, 125),
    # answerdotai/ModernBERT-base; Section 2.1 of https://arxiv.org/abs/2412.13663
    ("modernbert-base", masked_lm, 149_655_232, 149),
    # openai-community/gpt2, -medium, -large, -xl; the corrected sizes of https://github.com/openai/gpt-2
    ("gpt2-small", causal_lm, 124_439_808, 124),
    ("gpt2-medium", causal_lm, 354_823_168, 355),
    ("gpt2-large", causal_lm, 774_030_080, 774),
    ("gpt2-xl", causal_lm, 1_557_611_200, 1558),
    # huggyllama/llama-7b; Table 2 of https://arxiv.org/abs/2302.13971
    ("llama-7b", causal_lm, 6_738_415_616, 6700),
    # TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T; https://arxiv.org/abs/2401.02385
    ("tinyllama-1.1b", causal_lm, 1_100_048_384, 1100),
    # https://github.com/karpathy/llama2.c, stories15M
    ("stories15m", causal_lm, 15_191_712, 15),
    # Table 1 of https://arxiv.org/abs/2304.01373 and https://github.com/EleutherAI/pythia
    ("pythia-160m", causal_lm, 162_322_944, 162.3),
    ("pythia-1b", causal_lm, 1_011_781_632, 1011.8),
    # num_params of https://docs.pytorch.org/vision/stable/models.html
    ("resnet18", image_classifier, 11_689_512, 11.7),
    ("resnet50", image_classifier, 25_557_032, 25.6),
    # Table 1 of https://arxiv.org/abs/2012.12877; vit_*_patch16_224 of https://github.com/huggingface/pytorch-image-models
    ("vit-ti-16", image_classifier, 5_717_416, 5.7),
    ("vit-s-16", image_classifier, 22_050_664, 22),
    # More heads of fewer channels have the same parameters: Section 5 of https://arxiv.org/abs/2104.02057
    ("vit-s-16-moco", image_classifier, 22_050_664, 22),
    # Table 1 of https://arxiv.org/abs/2010.11929
    ("vit-b-16", image_classifier, 86_567_656, 86),
    ("vit-l-16", image_classifier, 304_326_632, 307),
    ("vit-h-14", image_classifier, 632_045_800, 632),
    # The authors' models_mae.py at 224 pixels, fixed positions counted: 329,541,888 for the large one is printed in the
    # documentation of https://github.com/oracle/hiq; facebook/vit-mae-base, -large, -huge
    ("vit-b-16", masked_autoencoder, 111_907_840, 112),
    ("vit-l-16", masked_autoencoder, 329_541_888, 330),
    ("vit-h-14", masked_autoencoder, 657_074_508, 657),
    # https://github.com/microsoft/unilm/tree/master/beit; beit_*_patch16_224 of pytorch-image-models
    ("beit-b-16", beit_classifier, 86_530_984, 86.53),
    ("beit-l-16", beit_classifier, 304_430_568, 304.43),
    # num_params of swin_b, https://docs.pytorch.org/vision/stable/models.html
    ("swin-b-window6", swin_classifier, 87_768_224, 87.8),
    # openai/clip-vit-base-patch32, -base-patch16, -large-patch14
    ("clip-vit-b-32", image_and_text, 151_277_313, 151.3),
    ("clip-vit-b-16", image_and_text, 149_620_737, 149.6),
    ("clip-vit-l-14", image_and_text, 427_616_513, 427.6),
    # google/siglip-base-patch16-224
    ("siglip-b-16", image_and_text, 203_155_970, 203.2),
    # facebook/dinov2-small, -base, -large, -giant; vit_*_patch14_dinov2 of timm, which are without the mask token;
    # "21 M, 86 M, 300 M, 1,100 M" in https://github.com/facebookresearch/dinov2
    ("vit-s-14", dinov2_encoder, 22_056_576, 22.06),
    ("vit-b-14", dinov2_encoder, 86_580_480, 86.6),
    ("vit-l-14", dinov2_encoder, 304_368_640, 304.4),
    ("vit-g-14", dinov2_encoder, 1_136_480_768, 1136.5),
    # facebook/wav2vec2-base; Table 1 of https://arxiv.org/abs/2006.11477
    ("wav2vec2-base", speech_pretraining, 95_044_608, 95),
    # facebook/hubert-base-ls960; Table I of https://arxiv.org/abs/2106.07447
    ("hubert-base", speech_encoder, 94_371_712, 95),
    # 4 registers more: https://arxiv.org/abs/2309.16588
    ("vit-s-14-registers", dinov2_encoder, 22_056_576 + 4 * 384, 22.06),
]
Make = Callable[..., nn.Module]


@pytest.mark.parametrize(
    ("model", "make", "count", "millions"), ROWS, ids=[f"{model}-{make.__name__}" for model, make, _, _ in ROWS]
)
def test_a_model_has_the_published_parameters(model: str, make: Make, count: int, millions: float):
    with constructing(META), no_init():
        network = make(model_config(model), attention="sdpa")
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert count / 1e6 == pytest.approx(millions, rel=0.02)
