import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sslbench.kernels.objectives import clip
from sslbench.kernels.objectives.clip import sigmoid_loss, softmax_loss

unhurried = settings(max_examples=40)
TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {**TOWER, "vocab_size": 40, "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 39}
TINY_CLIP = {
    "model_type": "clip",
    "projection_dim": 12,
    "text_config": TEXT,
    "vision_config": {**TOWER, "patch_size": 8, "image_size": 32},
}
TINY_SIGLIP = {**TINY_CLIP, "model_type": "siglip"}


@pytest.fixture
def tiny_clip(model_folder):
    return model_folder(TINY_CLIP)


@pytest.fixture
def tiny_siglip(model_folder):
    return model_folder(TINY_SIGLIP)


@pytest.fixture
def step(tiny_clip, build):
    return partial(build, clip, model=tiny_clip, batch_size=4, image_size=16, seq_len=6)


@pytest.fixture
def training(tiny_clip, trained):
    return partial(trained, clip, model=tiny_clip, batch_size=4, image_size=16, seq_len=6)


def vectors(pairs, width, seed):
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, pairs, width, generator=generator, dtype=torch.float64)
    return functional.normalize(both, dim=-1)


def naive_softmax(image, text, scale):
    """Figure 3 of https://arxiv.org/abs/2103.00020 as loops."""
    pairs, total = len(image), 0.0
    for i in range(pairs):
        of_image = [torch.exp(scale.exp() * image[i].dot(text[j])) for j in range(pairs)]
        of_text = [torch.exp(scale.exp() * image[j].dot(text[i])) for j in range(pairs)]
        total = total - torch.log(of_image[i] / sum(of_image)) - torch.log(of_text[i] / sum(of_text))
    return total / (2 * pairs)


def naive_sigmoid(image, text, scale, bias):
    """Equation of Section 3.2 of https://arxiv.org/abs/2303.15343 as loops."""
    pairs, total = len(image), 0.0
    for i in range(pairs):
        for j in range(pairs):
            sign = 1.0 if i == j else -1.0
            total = total + torch.log(1 + torch.exp(sign * (-scale.exp() * image[i].dot(text[j]) - bias)))
    return total / pairs


@unhurried
@given(
    pairs=st.integers(1, 5),
    width=st.integers(1, 6),
    temperature=st.floats(0.05, 5),
    bias=st.floats(-10, 10),
    seed=st.integers(0, 2**31),
)
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_value_and_gradients_match_the_naive_loops(loss, pairs, width, temperature, bias, seed):  # noqa: PLR0917 - drawn by name
    scalars = [-math.log(temperature)] if loss == "softmax" else [-math.log(temperature), bias]
    inputs = [*vectors(pairs, width, seed), *(torch.tensor(value, dtype=torch.float64) for value in scalars)]
    first = [tensor.clone().requires_grad_() for tensor in inputs]
    second = [tensor.clone().requires_grad_() for tensor in inputs]
    value = {"softmax": softmax_loss, "sigmoid": sigmoid_loss}[loss](*first)
    expected = {"softmax": naive_softmax, "sigmoid": naive_sigmoid}[loss](*second)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    value.backward()
    expected.backward()
    for mine, other in zip(first, second, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("name", "loss"), [("tiny_clip", "softmax"), ("tiny_siglip", "sigmoid")])
def test_the_loss_is_that_of_transformers_in_value_and_gradient(name, loss, request, training):
    built = training(model=request.getfixturevalue(name), loss=loss)
    network, (images, tokens) = built.network.double(), built.inputs
    images = images.double()
    theirs = network(pixel_values=images, input_ids=tokens, return_loss=True).loss
    ours = built.loss(images, tokens)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)  # its sum over signs is in fp32
    parameters = list(network.parameters())
    for mine, other in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-8)


@unhurried
@given(pairs=st.integers(2, 20), temperature=st.floats(0.05, 5))
def test_pairs_that_are_all_alike_give_the_logarithm_of_their_number(pairs, temperature):
    same = functional.normalize(torch.ones(pairs, 4, dtype=torch.float64), dim=-1)
    scale = torch.tensor(-math.log(temperature), dtype=torch.float64)
    assert softmax_loss(same, same, scale).item() == pytest.approx(math.log(pairs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_near(dtype):
    image, text = vectors(64, 16, 0)
    scale, bias = torch.tensor(math.log(20.0)), torch.tensor(-10.0)
    for value, half in (
        (softmax_loss(image, text, scale), softmax_loss(image.to(dtype), text.to(dtype), scale.to(dtype))),
        (
            sigmoid_loss(image, text, scale, bias),
            sigmoid_loss(image.to(dtype), text.to(dtype), scale.to(dtype), bias.to(dtype)),
        ),
    ):
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(value.item(), rel=0.05)


@pytest.mark.parametrize(("loss", "start"), [("softmax", 1 / 0.07), ("sigmoid", 10.0)])
@pytest.mark.parametrize("name", ["tiny_clip", "tiny_siglip"])
def test_scalars_start_as_published_and_are_only_those_of_the_loss(name, loss, start, request, training):
    built = training(model=request.getfixturevalue(name), loss=loss)
    assert built.network.logit_scale.exp().item() == pytest.approx(start)
    assert hasattr(built.network, "logit_bias") == (loss == "sigmoid")
    if loss == "sigmoid":
        assert built.network.logit_bias.item() == -10
    built.loss(*built.inputs).backward()
    assert all(parameter.grad is not None for parameter in built.network.parameters())


def test_the_scale_is_clipped_at_100_after_the_update(training):
    built = training()
    for start, kept in ((9.0, math.log(100)), (1.0, 1.0)):
        built.network.logit_scale.data.fill_(start)
        with torch.no_grad():
            built.after_update()
        assert built.network.logit_scale.item() == pytest.approx(kept)
    assert training(loss="sigmoid").after_update is None


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_loss_falls_on_one_batch(step, loss):
    run = step(loss=loss, learning_rate=3e-3)
    losses = [run().item() for _ in range(40)]
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
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
    ],
)
def test_every_variant_runs_finite_steps(step, loss, changes):
    run = step(loss=loss, **changes)
    assert all(run().isfinite() for _ in range(2))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_towers_have_the_attention_asked_for(training, attention):
    network = training(attention=attention).network
    assert network.text_model.config._attn_implementation == attention
    assert network.vision_model.config._attn_implementation == attention


@pytest.mark.parametrize(("end", "last"), [(39, 39), (7, 7), (2, 39)])
def test_captions_end_in_the_token_that_the_text_tower_looks_for(model_folder, training, end, last):
    folder = model_folder({**TINY_CLIP, "text_config": {**TEXT, "eos_token_id": end}})
    tokens = training(model=folder, batch_size=50, seq_len=12).inputs[1]
    assert tokens.shape == (50, 12)
    assert (tokens[:, -1] == last).all()
    assert not (tokens[:, :-1] == last).any()
    assert tokens.min() >= 0
    assert tokens.max() < 40


@pytest.mark.parametrize(("name", "width"), [("tiny_clip", 12), ("tiny_siglip", 16)])
def test_inference_gives_both_embeddings_side_by_side(name, width, request, infer):
    folder = request.getfixturevalue(name)
    module, (images, tokens) = infer(clip, model=folder, batch_size=3, image_size=16, seq_len=6)
    assert not module.training
    both = module(images, tokens)
    assert both.shape == (3, 2 * width)
    image, text = both.split(width, dim=1)
    torch.testing.assert_close(image.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(text.norm(dim=1), torch.ones(3))
    output = module.network(pixel_values=images, input_ids=tokens)
    torch.testing.assert_close(image, output.image_embeds)
    torch.testing.assert_close(text, output.text_embeds)


def test_captions_have_77_tokens_by_default(trained):
    built = trained(clip, device=torch.device("meta"), model="clip-vit-b-32", batch_size=2, image_size=224)
    assert built.inputs[1].shape == (2, 77)


def test_the_papers_hyper_parameters_are_the_defaults(training):
    softmax, sigmoid = training(), training(loss="sigmoid")
    assert (softmax.learning_rate, softmax.weight_decay) == (5e-4, 0.2)
    assert (sigmoid.learning_rate, sigmoid.weight_decay) == (1e-3, 1e-4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 1}, "batch_size: a caption is compared with those of other images, .* at least 2, got 1"),
        ({"seq_len": 13}, r"seq_len: the text tower of .* has 12 positions, got 13"),
        ({"image_size": 20}, r"image_size: expected a multiple of the model's patch size \(8\), got 20"),
        ({"model": "vit-ti-16"}, "clip needs an image and a text tower; .* type 'vit' has no text tower"),
        ({"model": "bert-mini"}, "clip needs an image and a text tower; .* type 'bert' has no image tower"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        step(**changes)
    assert "\n" not in str(raised.value)


def test_siglip_takes_the_last_place_whatever_the_config_says(model_folder, training):
    folder = model_folder({**TINY_SIGLIP, "text_config": {**TEXT, "eos_token_id": 49407}})
    assert training(model=folder, loss="sigmoid").inputs[1].max() < 40


@pytest.mark.parametrize("end", [40, -1, [38, 39]])
def test_a_caption_needs_an_end_that_the_vocabulary_has(model_folder, training, end):
    folder = model_folder({**TINY_CLIP, "text_config": {**TEXT, "eos_token_id": end}})
    with pytest.raises(ValueError, match="eos_token_id"):
        training(model=folder)
