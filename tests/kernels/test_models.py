import json
import subprocess
import sys

import pytest
import torch

from sslbench.kernels.encoders import image_encoder
from sslbench.kernels.model_tables import MODELS, model_table
from sslbench.kernels.models import (
    constructing,
    import_model,
    masked_lm,
    model_config,
    no_init,
)
from sslbench.kernels.setup import DTYPES, Setup

CPU, META = torch.device("cpu"), torch.device("meta")


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def bert_parameters(layers, width, feed_forward, *, vocabulary=30522, positions=512, types=2):
    """From the architecture of https://arxiv.org/abs/1810.04805, with the decoder tied to the word embeddings."""
    embeddings = (vocabulary + positions + types) * width + 2 * width
    attention = 4 * (width * width + width) + 2 * width
    block = attention + width * feed_forward + feed_forward + feed_forward * width + width + 2 * width
    head = width * width + width + 2 * width + vocabulary
    return embeddings + layers * block + head


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("bert-base", (12, 768, 3072), 109_514_298),
        ("bert-large", (24, 1024, 4096), 335_174_458),
        ("bert-mini", (4, 256, 1024), 11_201_594),
    ],
)
@pytest.mark.parametrize("skip_init", [False, True])
def test_bert_has_the_published_parameters(name, shape, count, skip_init):
    assert bert_parameters(*shape) == count
    with constructing(META):
        if skip_init:
            with no_init():
                model = masked_lm(model_config(name), attention="sdpa")
        else:
            model = masked_lm(model_config(name), attention="sdpa")
    assert parameters(model) == count


@pytest.mark.parametrize(("name", "count", "features"), [("resnet50", 23_508_032, 2048), ("resnet18", 11_176_512, 512)])
def test_resnet_has_the_parameters_of_torchvision_without_its_classifier(name, count, features):
    # torchvision: 25,557,032 and 11,689,512 with a classifier of 1000 classes
    encoder = image_encoder(Setup(device=META, model=name, batch_size=1), image_size=224)
    assert parameters(encoder) == count
    assert encoder.features == features


def test_weights_are_random_unless_skipped(tiny_bert):
    def made():
        with constructing(CPU):
            return masked_lm(model_config(tiny_bert), attention="sdpa")

    before = torch.get_rng_state()
    with no_init():
        skipped = made()
    assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn
    assert skipped.get_input_embeddings().weight is skipped.get_output_embeddings().weight
    assert made().get_input_embeddings().weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(("weights", "dtype"), list(DTYPES.items()))
def test_weights_have_the_type_asked_for_and_the_default_stays(tiny_bert, weights, dtype):
    with constructing(CPU, weights):
        model = masked_lm(model_config(tiny_bert), attention="eager")
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert torch.get_default_dtype() == torch.float32


def test_an_unknown_type_of_weights_is_named():
    with (
        pytest.raises(ValueError, match=r"weights: expected one of fp32, bf16, fp16, got 'int4'"),
        constructing(CPU, "int4"),
    ):
        pass


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_the_one_asked_for(tiny_bert, attention):
    with constructing(META):
        assert masked_lm(model_config(tiny_bert), attention=attention).config._attn_implementation == attention


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "electra", "modernbert"])
def test_other_model_types_have_their_own_masked_lm(model_folder, model_type):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    folder = model_folder({"model_type": model_type, "vocab_size": 100, "pad_token_id": 1, **sizes})
    with constructing(META):
        model = masked_lm(model_config(folder), attention="sdpa")
    assert model.get_output_embeddings().out_features == 100


def test_a_model_without_the_head_is_refused(tiny_resnet):
    with pytest.raises(ValueError, match=r"type 'resnet' has no masked-LM head"):
        masked_lm(model_config(tiny_resnet), attention="sdpa")


def test_a_model_that_takes_no_images_is_refused(tiny_bert):
    with pytest.raises(ValueError, match=r"type 'bert' is no image encoder"):
        image_encoder(Setup(device=META, model=tiny_bert, batch_size=1), image_size=32)


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"no model 'bert-bse': .*did you mean bert-base\?"):
        model_table("bert-bse")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", r"is not JSON: .* at line 1 column 2"),
        ("[1]", r"expected a JSON object, got list"),
        ("{}", r"model_type: expected a name such as 'bert', got None"),
        ('{"model_type": "bret"}', r"model_type: transformers .* has no 'bret'; did you mean 'bert'\?"),
        ('{"model_type": "bert", "hidden_size": "768"}', r"hidden_size: expected a positive integer, got '768'"),
        ('{"model_type": "bert", "vocab_size": 0}', r"vocab_size: expected a positive integer, got 0"),
        ('{"model_type": "bert", "hidden_size": 100}', r"hidden_size: expected a multiple of num_attention_heads"),
        ('{"model_type": "bert", "hidden_dropout_prob": "x"}', r"hidden_dropout_prob"),
        ('{"model_type": "resnet", "layer_type": "x"}', r"layer_type"),
    ],
)
def test_a_malformed_config_names_file_key_and_expectation(tmp_path, text, problem):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=problem) as raised:
        model_config(str(tmp_path))
    assert str(raised.value).startswith(str(tmp_path / "config.json"))
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_config_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json: No such file or directory"):
        model_config(str(tmp_path))


def test_a_config_that_is_not_text_says_so(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"config\.json: is not UTF-8 text"):
        model_config(str(tmp_path))


@pytest.mark.slow
def test_only_the_model_that_is_named_is_imported():
    code = (
        "import sys; from sslbench.kernels.models import import_model; import_model('bert-base');"
        "print(sorted(n for n in sys.modules if n.startswith('transformers.models.') and '.modeling_' in n), end='')"
    )
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    expected = ["transformers.models.auto.modeling_auto", "transformers.models.bert.modeling_bert"]
    assert found.stdout == str(expected)


def test_every_catalog_model_can_be_imported():
    for model in MODELS:
        import_model(model)
        assert json.dumps(model_table(model)[0])


def test_an_activation_function_that_does_not_exist_is_named(model_folder):
    config = model_config(model_folder({"model_type": "bert", "hidden_act": "glue", "num_hidden_layers": 1}))
    with pytest.raises(ValueError, match=r"names 'glue', unknown to transformers"), constructing(META):
        masked_lm(config, attention="sdpa")
