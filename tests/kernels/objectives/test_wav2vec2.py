from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import finetune, linear_probe, lora, wav2vec2
from sslbench.kernels.objectives.wav2vec2 import contrastive_loss, other_frames, pretraining_loss
from sslbench.kernels.speech_masking import FEATURE_PENALTY, span_mask

CPU = torch.device("cpu")
SMALL = {"model": "wav2vec2-tiny", "batch_size": 2}


@pytest.fixture
def step(build):
    return partial(build, wav2vec2, **SMALL, seconds=0.5, distractors=10)


def naive(predicted, target, others, temperature):
    """Equation 3 of https://arxiv.org/abs/2006.11477 as loops; distractors that are the answer itself do not count."""
    losses = []
    for b, m in [(b, m) for b in range(len(target)) for m in range(target.shape[1])]:
        c, right = predicted[b, m], target[b, m]
        wrong = [target[b, k] for k in others[b, m].tolist() if not torch.equal(target[b, k], right)]
        scores = [torch.exp(torch.dot(c, q) / (c.norm() * q.norm()) / temperature) for q in [right, *wrong]]
        losses.append(-torch.log(scores[0] / sum(scores)))
    return sum(losses) / len(losses)


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    masked=st.integers(2, 5),
    width=st.integers(2, 6),
    distractors=st.integers(1, 6),
    temperature=st.floats(0.1, 2),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_match_the_naive_loops(*, batch, masked, width, distractors, temperature, seed):
    torch.manual_seed(seed)
    predicted = torch.randn(batch, masked, width, requires_grad=True)
    target = torch.randn(batch, masked, width, requires_grad=True)
    others = other_frames(batch, masked, distractors, CPU)
    mine = contrastive_loss(predicted, target, others, temperature)
    copies = [tensor.detach().double().requires_grad_() for tensor in (predicted, target)]
    expected = naive(*copies, others, temperature)
    mine.backward()
    expected.backward()
    torch.testing.assert_close(mine.double(), expected, rtol=1e-4, atol=1e-5)
    for tensor, copy in zip((predicted, target), copies, strict=True):
        torch.testing.assert_close(tensor.grad.double(), copy.grad, rtol=1e-3, atol=1e-4)


def test_a_distractor_that_is_the_answer_does_not_count():
    target = torch.ones(1, 2, 3)
    loss = contrastive_loss(torch.randn(1, 2, 3), target, other_frames(1, 2, 5, CPU), 0.1)
    assert loss.item() == 0


def test_a_frame_is_never_its_own_distractor():
    others = other_frames(2, 6, 500, CPU)
    assert (others != torch.arange(6).view(1, -1, 1)).all()
    assert all(set(others[0, m].tolist()) == set(range(6)) - {m} for m in range(6))


def test_the_loss_is_that_of_transformers(trained):
    training = trained(wav2vec2, **SMALL, seconds=0.5)
    network, (sound,) = training.network.eval(), training.inputs
    frames = 24
    mask = span_mask(2, frames, probability=0.1, length=3, device=CPU)
    others = other_frames(2, mask.shape[1], 7, CPU)
    masked = torch.zeros(2, frames).scatter_(1, mask, 1.0).bool()
    negatives = torch.zeros(2, frames, 7, dtype=torch.long)
    for b in range(2):
        negatives[b, mask[b]] = mask[b][others[b]] + b * frames
    theirs = network(sound, mask_time_indices=masked, sampled_negative_indices=negatives)
    penalty = network.wav2vec2.feature_extractor(sound).square().mean()
    ours = pretraining_loss(network, sound, mask, others, temperature=0.1, diversity=0.1)
    torch.testing.assert_close(ours, theirs.loss / masked.sum() + FEATURE_PENALTY * penalty, rtol=1e-4, atol=1e-4)


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=1e-3)
    losses = [run().item() for _ in range(25)]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_every_parameter_is_trained(trained):
    training = trained(wav2vec2, **SMALL, seconds=0.5)
    training.loss(*training.inputs).backward()
    assert [name for name, parameter in training.network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"activation_checkpointing": True},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_inference_gives_the_states_of_every_frame(infer):
    module, inputs = infer(wav2vec2, **SMALL, seconds=0.5, distractors=10)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(2, 8000)]
    assert module(*inputs).shape == (2, 24, 96)
    assert "network.masked_spec_embed" not in dict(module.named_parameters())


@pytest.mark.parametrize("objective", [finetune, linear_probe, lora])
def test_the_second_stage_classifies_sound(build, infer, objective):
    assert build(objective, **SMALL, seconds=0.5, classes=3)().isfinite()
    module, inputs = infer(objective, **SMALL, seconds=0.5, classes=3)
    assert module(*inputs).shape == (2, 3)


def test_the_convolutions_are_frozen_in_fine_tuning(trained):
    network = trained(finetune, **SMALL, seconds=0.5, classes=3).network.network
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters() if "feature_extractor" in name}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"model": "hubert-tiny"},
            "expected a model of type 'wav2vec2', such as wav2vec2-base, got one of type 'hubert'",
        ),
        ({"seconds": 0.02}, "seconds: expected at least 0.025"),
        ({"seconds": 0.1}, "mask_length: expected from 1 to the sound's 4 frames, got 10"),
        ({"distractors": 0}, "distractors: expected a positive integer, got 0"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"mask_ratio": 1.5}, "mask_ratio: expected a number between 0 and 1, got 1.5"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
