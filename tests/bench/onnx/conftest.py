"""Every objective of the catalog on a model that is small enough to be exported in seconds."""

import json

import pytest
import torch

from sslbench.bench.onnx.training_export import export_training
from sslbench.bench.resolve import resolve_recipe

BERT = {
    "model_type": "bert",
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
}
VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 8,
    "layerscale_value": 1.0,
}
BEIT = {
    "model_type": "beit",
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "patch_size": 8,
    "use_shared_relative_position_bias": True,
    "drop_path_rate": 0.1,
}
SWIN = {
    "model_type": "swin",
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 2,
    "patch_size": 4,
    "drop_path_rate": 0.0,
}
RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}
TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CLIP = {
    "model_type": "clip",
    "projection_dim": 12,
    "text_config": {**TOWER, "vocab_size": 40, "max_position_embeddings": 12, "eos_token_id": 39},
    "vision_config": {**TOWER, "patch_size": 8, "image_size": 32},
}
SPEECH = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "num_codevectors_per_group": 8,
    "codevector_dim": 8,
    "proj_codevector_dim": 8,
}
WAV2VEC2, HUBERT = {"model_type": "wav2vec2", **SPEECH}, {"model_type": "hubert", **SPEECH}

IMAGES = {"batch_size": 4, "image_size": 32}
TEXT = {"batch_size": 2, "seq_len": 16}
CROPS = {"local_size": 16, "local_crops": 1}
HEAD = {"prototypes": 32, "hidden_dim": 16, "bottleneck_dim": 8}

# Name: catalog recipe, its model in small, and what is changed of the recipe.
CASES = {
    "mlm": ("bert-mini-mlm", BERT, TEXT),
    "mlm with padding": ("bert-mini-mlm", BERT, {**TEXT, "options": {"padding": True, "nsp": True}}),
    "mlm of whole words": (
        "bert-mini-mlm",
        BERT,
        {**TEXT, "options": {"whole_word": True, "masked_logits_only": True}},
    ),
    "clm": ("clm-stories15m", LLAMA, TEXT),
    "simcse": ("simcse-bert-mini", BERT, TEXT),
    "simclr resnet": ("simclr-resnet18", RESNET, IMAGES),
    "simclr vit": ("simclr-vit-b-16", VIT, IMAGES),
    "moco v2": ("moco-v2-resnet18", RESNET, {**IMAGES, "options": {"queue_size": 16}}),
    "moco v3": ("moco-v3-vit-ti-16", VIT, {**IMAGES, "options": {"hidden_dim": 16, "projection_dim": 8}}),
    "byol": ("byol-resnet18", RESNET, {**IMAGES, "options": {"hidden_dim": 16, "projection_dim": 8}}),
    "simsiam": ("simsiam-resnet18", RESNET, IMAGES),
    "barlow-twins": ("barlow-twins-resnet18", RESNET, IMAGES),
    "vicreg": ("vicreg-resnet18", RESNET, IMAGES),
    "swav": ("swav-resnet18", RESNET, {**IMAGES, "options": {**CROPS, "prototypes": 16, "queue_size": 8}}),
    "dino": ("dino-vit-ti-16", VIT, {**IMAGES, "options": {**CROPS, **HEAD}}),
    "dinov2": ("dinov2-vit-ti-14", DINOV2, {**IMAGES, "options": {**CROPS, **HEAD}}),
    "mae": ("mae-vit-ti-16", VIT, {**IMAGES, "options": {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}}),
    "beit": ("beit-ti-16", BEIT, {"batch_size": 2, "image_size": 40}),
    "simmim": ("simmim-swin-mini", SWIN, {"batch_size": 2, "image_size": 32, "options": {"mask_patch": 16}}),
    "clip": ("clip-vit-ti-16", CLIP, {"batch_size": 3, "image_size": 16, "seq_len": 6}),
    "wav2vec2": ("wav2vec2-tiny", WAV2VEC2, {"batch_size": 2, "options": {"seconds": 0.1}}),
    "hubert": ("hubert-tiny", HUBERT, {"batch_size": 2, "options": {"seconds": 0.1, "clusters": 10}}),
    "finetune": ("finetune-bert-mini", BERT, TEXT),
    "linear-probe": ("linear-probe-resnet18", RESNET, IMAGES),
    "lora": ("lora-bert-mini", BERT, TEXT),
}


QUICK = ("mlm", "simclr resnet", "moco v2")
"""Masked LM and contrastive training, and one that is refused; the others are tried in the slow tests."""


def pytest_generate_tests(metafunc):
    """A test of a `case` is run for each of them."""
    if "case" in metafunc.fixturenames:
        cases = [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in CASES]
        metafunc.parametrize("case", cases)


@pytest.fixture
def cases():
    """Catalog recipe by case."""
    return {case: recipe for case, (recipe, _, _) in CASES.items()}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The recipe of a case: `small(case, **changes)`."""

    def make(case, **changes):
        name, model, sizes = CASES[case]
        folder = tmp_path_factory.mktemp("model")
        (folder / "config.json").write_text(json.dumps(model))
        options = {**sizes.get("options", {}), **changes.pop("options", {})}
        return resolve_recipe(name, {"model": str(folder), **sizes, **changes, "options": options})

    return make


@pytest.fixture
def exported(small, tmp_path):
    """The folder of a case's exported training step: `exported(case, steps=..., **changes)`."""

    def make(case, *, steps=2, **changes):
        export_training(small(case, **changes), tmp_path / "step", steps=steps)
        return tmp_path / "step"

    return make
