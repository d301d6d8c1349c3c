from functools import partial

import pytest
import torch

from sslbench.kernels.objectives import finetune, lora
from sslbench.kernels.optimizers import make_optimizer

TINY_GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 90,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 24,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


@pytest.fixture
def adapted(tiny_bert, trained):
    return partial(trained, lora, model=tiny_bert, batch_size=4, seq_len=12, classes=3, rank=2)


@pytest.fixture
def step(tiny_bert, build):
    return partial(build, lora, model=tiny_bert, batch_size=4, seq_len=12, classes=3, rank=2)


def trainable(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_adapters_and_classifier_are_trained_and_nothing_else(adapted):
    training = adapted()
    network = training.network
    optimizer = make_optimizer("adamw", network, learning_rate=0.1)
    frozen = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    for _ in range(2):
        training.loss(*training.inputs).backward()
        optimizer.step()
    names = trainable(network)
    assert all("lora_" in name or name.startswith("network.classifier") for name in names)
    assert len([name for name in names if "lora_" in name]) == 2 * 2 * 2  # A and B, queries and values, two layers
    gradients = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert gradients == names
    assert len(optimizer.state) == len(names)
    now = dict(network.named_parameters())
    assert all(torch.equal(before, now[name]) for name, before in frozen.items())


def test_the_number_of_trained_parameters_is_the_papers(trained):
    # Table 2 of the paper: 0.3 M for RoBERTa base, the classifier left out
    network = trained(lora, model="roberta-base", batch_size=1, seq_len=8, device=torch.device("meta")).network
    count = sum(p.numel() for name, p in network.named_parameters() if "lora_" in name)
    assert count == 12 * 2 * 2 * 8 * 768 == 294_912


def test_before_the_first_update_it_is_the_model_without_adapters(adapted, tiny_bert, trained):
    with_adapters = adapted()
    plain = trained(finetune, model=tiny_bert, batch_size=4, seq_len=12, classes=3)
    tokens = with_adapters.inputs[0]
    torch.testing.assert_close(with_adapters.network.eval()(tokens), plain.network.eval()(tokens))


def test_an_update_is_alpha_over_rank_times_b_a(adapted):
    network = adapted(alpha=6).network
    layer = network.network.bert.encoder.layer[0].attention.self.query
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.nn.init.normal_(b)
    states = torch.randn(2, 5, 32)
    expected = layer.base_layer(states) + 6.0 / 2 * states @ a.T @ b.T
    torch.testing.assert_close(layer(states), expected)


@pytest.mark.parametrize("changes", [{}, {"activation_checkpointing": True}, {"precision": "bf16"}])
def test_loss_falls_on_one_batch(step, changes):
    run = step(learning_rate=0.05, **changes)
    losses = [run().item() for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "changes",
    [{"precision": "fp16"}, {"precision": "bf16", "weights": "bf16"}, {"attention": "eager"}, {"dropout": 0.1}],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_recomputed_activations_reach_the_first_adapter(adapted):
    training = adapted(activation_checkpointing=True)
    training.loss(*training.inputs).backward()
    names = dict(training.network.named_parameters())
    assert all(names[name].grad is not None for name in trainable(training.network))


def test_decoders_and_models_of_timm_have_their_names(trained, model_folder, timm):
    gpt2 = trained(lora, model=model_folder(TINY_GPT2), batch_size=2, seq_len=8, classes=3)
    assert any("c_attn.lora_A" in name for name in trainable(gpt2.network))
    vit = trained(lora, model="timm:vit_tiny_patch16_224", batch_size=2, image_size=32, classes=3)
    assert {"network.head.weight", "network.blocks.0.attn.qkv.lora_A.default.weight"} <= trainable(vit.network)


def test_layers_can_be_named(trained, tiny_resnet):
    training = trained(
        lora, model=tiny_resnet, batch_size=2, image_size=32, classes=3, target_modules="convolution", rank=2
    )
    assert training.loss(*training.inputs).isfinite()
    assert any("convolution.lora_A" in name for name in trainable(training.network))


def test_inference_is_that_of_the_merged_model(infer, tiny_bert):
    module, inputs = infer(lora, model=tiny_bert, batch_size=2, seq_len=8, classes=3, rank=2)
    assert not module.training
    assert module(*inputs).shape == (2, 3)
    assert not any("lora_" in name for name, _ in module.named_parameters())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rank": 0}, "rank: expected a positive integer, got 0"),
        ({"alpha": 0}, "alpha: expected a positive integer, got 0"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 to below 1, got 1.0"),
        (
            {"target_modules": "qkv"},
            "target_modules: the model has no layer 'qkv': name some of its layers: dense, ",
        ),
        (
            {"model": "resnet18", "seq_len": None, "image_size": 32},
            "target_modules: the model has no queries and values: name some of its layers: convolution",
        ),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)


def test_without_peft_it_says_what_to_install(step, monkeypatch):
    monkeypatch.setattr(lora, "_peft", None)
    monkeypatch.setattr(lora, "_missing", "No module named 'peft'")
    with pytest.raises(ValueError, match=r"needs peft \(No module named 'peft'\): pip install 'sslbench\[lora\]'"):
        step()
