from functools import partial

import pytest
import torch
from torch.nn import functional

from sslbench.kernels.objectives import beit

TINY_BEIT = {
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


@pytest.fixture
def tiny_beit(model_folder):
    return model_folder(TINY_BEIT)


@pytest.fixture
def step(tiny_beit, build):
    return partial(build, beit, model=tiny_beit, batch_size=4, image_size=40)


@pytest.fixture
def training(tiny_beit, trained):
    return partial(trained, beit, model=tiny_beit, batch_size=3, image_size=40)


@pytest.fixture
def small_tokenizer(monkeypatch):
    """The tokenizer's code in a size for tests; its real one has a test of its own."""
    monkeypatch.setattr(beit, "DiscreteVaeEncoder", partial(beit.DiscreteVaeEncoder, 4, 50))
    monkeypatch.setattr(beit, "VOCABULARY", 50)


def test_the_loss_is_that_of_transformers_and_of_the_definition_in_value_and_gradient(training):
    built = training()
    network, (images, hidden, tokens) = built.network.double().eval(), built.inputs
    images = images.double()
    mask = torch.zeros(3, 25, dtype=torch.bool).scatter_(1, hidden, True)
    output = network.model(images, bool_masked_pos=mask, labels=tokens[mask])
    loss = built.loss(images, hidden, tokens)
    assert loss.item() == pytest.approx(output.loss.item(), rel=1e-9)
    scores = output.logits.log_softmax(-1)
    places = [(image, place) for image in range(3) for place in hidden[image].tolist()]
    naive = -sum(scores[image, place, tokens[image, place]] for image, place in places) / len(places)
    assert loss.item() == pytest.approx(naive.item(), rel=1e-9)
    parameters = list(network.model.parameters())
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(output.loss, parameters)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-10)


def test_only_hidden_patches_are_classified(training):
    built = training(mask_ratio=0.4)
    images, hidden, _ = built.inputs
    assert hidden.shape == (3, 10)
    assert built.network(images, hidden).shape == (3, 10, 50)


def test_what_hidden_patches_show_makes_no_difference(training):
    built = training()
    network, (images, hidden, _) = built.network.eval(), built.inputs
    logits = network(images, hidden)
    changed = images.clone()
    for image, places in enumerate(hidden.tolist()):
        for place in places:
            top, left = place // 5 * 8, place % 5 * 8
            changed[image, :, top : top + 8, left : left + 8] = torch.randn(3, 8, 8)
    torch.testing.assert_close(network(changed, hidden), logits)
    assert not torch.allclose(network(torch.randn_like(images), hidden), logits)


def test_every_parameter_gets_a_gradient_but_the_tokenizers(training, small_tokenizer):
    built = training(tokenizer=True)
    built.loss(*built.inputs).backward()
    for name, parameter in built.network.named_parameters():
        assert (parameter.grad is None) == name.startswith("tokenizer."), name
        assert parameter.requires_grad != name.startswith("tokenizer."), name


def test_tokens_are_the_tokenizers(training, small_tokenizer):
    built = training(tokenizer=True)
    network = built.network.eval()
    images, hidden, pixels = built.inputs
    assert pixels.shape == (3, 3, 40, 40)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    tokens = network.tokenizer(pixels)
    assert tokens.shape == (3, 25)
    expected = functional.cross_entropy(network(images, hidden).flatten(0, 1), tokens.gather(1, hidden).flatten())
    assert built.loss(images, hidden, pixels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_half_precision_weights_leave_the_tokenizer_in_fp32(training, small_tokenizer):
    built = training(tokenizer=True, precision="bf16", weights="bf16")
    assert {parameter.dtype for parameter in built.network.tokenizer.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in built.network.model.parameters()} == {torch.bfloat16}
    assert built.loss(*built.inputs).isfinite()


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=1e-2, batch_size=2)
    losses = [run().item() for _ in range(30)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"channels_last": True},
        {"activation_checkpointing": True},
        {"accumulation": 2},
        {"clip_gradient": 0.0},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_gradients_are_clipped_by_their_norm_together(training):
    built = training(clip_gradient=1e-3)
    built.loss(*built.inputs).backward()
    built.before_update()
    gradients = [parameter.grad.flatten() for parameter in built.network.parameters()]
    assert torch.cat(gradients).norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert training(clip_gradient=0.0).before_update is None


def test_the_papers_hyper_parameters_are_the_defaults(training):
    built = training()
    assert (built.learning_rate, built.weight_decay) == (1.5e-3, 0.05)


def test_inference_gives_the_mean_of_the_patches(tiny_beit, infer):
    module, inputs = infer(beit, model=tiny_beit, batch_size=3, image_size=40)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(3, 3, 40, 40)]
    features = module(*inputs)
    assert features.shape == (3, 32)
    patches = module.network(*inputs).last_hidden_state[:, 1:]
    torch.testing.assert_close(features, functional.layer_norm(patches.mean(dim=1), (32,), eps=1e-12))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio: expected a number between 0 and 1, got 1.0"),
        ({"mask_ratio": 0.01}, "mask_ratio: 0.01 of 25 squares hides 0"),
        ({"image_size": 33}, r"image_size: expected a multiple of the model's patch size \(8\), got 33"),
        ({"clip_gradient": -1.0}, "clip_gradient: expected a norm from 0"),
        ({"model": "vit-ti-16"}, "beit needs a BEiT encoder, .* type 'vit'"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        step(**changes)
    assert "\n" not in str(raised.value)
