import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import simcse
from sslbench.kernels.objectives.simcse import info_nce

unhurried = settings(max_examples=40)


@pytest.fixture
def step(tiny_bert, build):
    return partial(build, simcse, model=tiny_bert, batch_size=4, seq_len=12)


@pytest.fixture
def inference(tiny_bert, infer):
    return partial(infer, simcse, model=tiny_bert)


def naive(first, second, temperature):
    """Equation 4 of https://arxiv.org/abs/2104.08821 as two loops, in float64."""

    def similarity(i, j):
        return torch.dot(first[i], second[j]) / (first[i].norm() * second[j].norm())

    total = 0.0
    for i in range(len(first)):
        every = sum(torch.exp(similarity(i, j) / temperature) for j in range(len(second)))
        total = total - torch.log(torch.exp(similarity(i, i) / temperature) / every)
    return total / len(first)


@unhurried
@given(
    sentences=st.integers(1, 7),
    width=st.integers(1, 9),
    temperature=st.floats(0.03, 5),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_match_the_naive_loops(sentences, width, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(sentences, width, generator=generator, dtype=torch.float64) for _ in range(2)]
    ours, theirs = ([view.clone().requires_grad_() for view in views] for _ in range(2))
    loss, expected = info_nce(*ours, temperature), naive(*theirs, temperature)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9)


@unhurried
@given(sentences=st.integers(2, 20), temperature=st.floats(0.05, 5))
def test_sentences_that_are_all_alike_give_the_logarithm_of_their_number(sentences, temperature):
    views = torch.ones(sentences, 4, dtype=torch.float64)
    assert info_nce(views, views, temperature).item() == pytest.approx(math.log(sentences))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_near(dtype):
    first = torch.randn(32, 16)
    second = first + 0.5 * torch.randn(32, 16)
    loss = info_nce(first.to(dtype), second.to(dtype), 0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(first, second, 0.05).item(), rel=0.05, abs=0.02)


def test_the_views_of_a_sentence_differ_by_dropout_alone(tiny_bert, trained):
    training = trained(simcse, model=tiny_bert, batch_size=3, seq_len=12, padding=True)
    tokens, mask = training.inputs
    twice = tokens.repeat(2, 1), mask.repeat(2, 1)
    first, second = training.network(*twice).chunk(2)
    assert not torch.allclose(first, second)
    first, second = training.network.eval()(*twice).chunk(2)
    torch.testing.assert_close(first, second)


def test_every_parameter_is_trained(tiny_bert, trained):
    training = trained(simcse, model=tiny_bert, batch_size=3, seq_len=12)
    training.loss(*training.inputs).backward()
    assert all(parameter.grad is not None for parameter in training.network.parameters())
    assert training.learning_rate == 3e-5
    assert training.weight_decay == 0


def test_loss_falls_on_one_batch(step):
    # A random BERT maps all sentences to nearly one place, so that the loss begins near log(16).
    run = step(batch_size=16, learning_rate=1e-3)
    losses = [run().item() for _ in range(40)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager", "padding": True},
        {"padding": True},
        {"activation_checkpointing": True},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_inference_gives_the_first_token_without_the_mlp(inference, step):
    module, inputs = inference(batch_size=3, seq_len=12, padding=True)
    assert not module.training
    hidden = module.encoder(input_ids=inputs[0], attention_mask=inputs[1]).last_hidden_state
    assert torch.equal(module(*inputs), hidden[:, 0])
    assert step(stage="infer", batch_size=1)().shape == (1, 32)


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "electra"])
def test_other_encoders_train_all_they_have(model_folder, trained, model_type):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    own = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 48} if model_type == "distilbert" else sizes
    model = model_folder({"model_type": model_type, "vocab_size": 100, "pad_token_id": 1, **own})
    training = trained(simcse, model=model, batch_size=3, seq_len=12)
    training.loss(*training.inputs).backward()
    assert all(parameter.grad is not None for parameter in training.network.parameters())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 1}, "batch_size: a sentence is compared with the others, so it needs at least 2, got 1"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"seq_len": 25}, r"seq_len: .* has 24 positions, got 25"),
        ({"model": "gpt2-small"}, "type 'gpt2' is no text encoder: use a model such as bert-base"),
        ({"model": "resnet18"}, "type 'resnet' is no text encoder"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)


def test_views_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"views: expected two of one shape, got \(2, 3\) and \(3, 3\)"):
        info_nce(torch.randn(2, 3), torch.randn(3, 3), 0.05)


def test_an_encoder_without_dropout_is_refused(model_folder, step):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    model = model_folder({"model_type": "modernbert", "vocab_size": 100, "pad_token_id": 0, **sizes})
    with pytest.raises(ValueError, match=r"model: two passes of .* do not differ, as it has no dropout: use bert-base"):
        step(model=model)
