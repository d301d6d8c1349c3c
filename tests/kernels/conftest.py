import json

import pytest
import torch

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
