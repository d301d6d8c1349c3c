import dataclasses
import json

import pytest
import torch

from sslbench.kernels.objective import build_inference, build_training, inference_of
from sslbench.kernels.setup import Setup

SETUP = {field.name for field in dataclasses.fields(Setup)}

TINY_BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
    "torch_dtype": "float32",
}
TINY_RESNET = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def model_folder(tmp_path):
    """Makes a folder with the config.json of a small model, with some keys changed; None takes a key away."""

    def make(base, **changes):
        table = {key: value for key, value in {**base, **changes}.items() if value is not None}
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(table))
        return str(folder)

    return make


@pytest.fixture
def tiny_bert(model_folder):
    return model_folder(TINY_BERT)


@pytest.fixture
def tiny_resnet(model_folder):
    return model_folder(TINY_RESNET)


def setup_and_keywords(keywords):
    shared = {key: value for key, value in keywords.items() if key in SETUP}
    setup = Setup(**{"device": torch.device("cpu"), **shared})
    return setup, {key: value for key, value in keywords.items() if key not in SETUP}


@pytest.fixture
def build():
    """The step of an objective on this CPU, always from the same seed: `build(objective, stage=..., **keywords)`."""

    def make(objective, stage="train", **keywords):
        torch.manual_seed(0)
        setup, own = setup_and_keywords(keywords)
        return (build_training if stage == "train" else build_inference)(objective, setup, **own)

    return make


@pytest.fixture
def infer():
    """The inference module of an objective on this CPU and its inputs: `infer(objective, **keywords)`."""

    def make(objective, **keywords):
        setup, own = setup_and_keywords(keywords)
        return inference_of(objective, setup, **own)

    return make


@pytest.fixture
def trained():
    """The `Training` of an objective on this CPU: `trained(objective, **keywords)`."""

    def make(objective, **keywords):
        torch.manual_seed(0)
        setup, own = setup_and_keywords(keywords)
        return objective.train(setup, **own)

    return make
