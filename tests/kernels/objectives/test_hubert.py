from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import hubert
from sslbench.kernels.objectives.hubert import cluster_loss

SMALL = {"model": "hubert-tiny", "batch_size": 2}


@pytest.fixture
def step(build):
    return partial(build, hubert, **SMALL, seconds=0.5, clusters=20)


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    masked=st.integers(1, 4),
    clusters=st.integers(2, 6),
    width=st.integers(1, 5),
    temperature=st.floats(0.1, 2),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_match_the_naive_loops(*, batch, masked, clusters, width, temperature, seed):
    torch.manual_seed(seed)
    states = torch.randn(batch, masked, width, requires_grad=True)
    embeddings = torch.randn(clusters, width, requires_grad=True)
    right = torch.randint(clusters, (batch, masked))
    loss = cluster_loss(states, embeddings, right, temperature)
    copies = [tensor.detach().double().requires_grad_() for tensor in (states, embeddings)]
    expected = torch.zeros((), dtype=torch.float64)
    for b, m in [(b, m) for b in range(batch) for m in range(masked)]:
        state = copies[0][b, m]
        scores = [torch.exp(torch.dot(state, e) / (state.norm() * e.norm()) / temperature) for e in copies[1]]
        expected = expected - torch.log(scores[right[b, m]] / sum(scores)) / (batch * masked)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-5)
    for tensor, copy in zip((states, embeddings), copies, strict=True):
        torch.testing.assert_close(tensor.grad.double(), copy.grad, rtol=1e-3, atol=1e-4)


def test_it_is_the_authors_cosine_similarity():
    # compute_nce of fairseq's hubert.py: the right cluster first, then all, of which the right one is excluded
    states, embeddings, right = torch.randn(6, 8), torch.randn(5, 8), torch.randint(5, (6,))
    positive, all_of_them = embeddings[right], embeddings.unsqueeze(1).expand(-1, 6, -1)
    logits = torch.cosine_similarity(states, torch.cat([positive.unsqueeze(0), all_of_them]), dim=-1) / 0.1
    logits[1:][(positive == all_of_them).all(-1)] = -torch.inf
    theirs = torch.nn.functional.cross_entropy(logits.T, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(cluster_loss(states.unsqueeze(0), embeddings, right.unsqueeze(0), 0.1), theirs)


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=1e-3)
    losses = [run().item() for _ in range(25)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_every_parameter_is_trained(trained):
    training = trained(hubert, **SMALL, seconds=0.5, clusters=20)
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
    module, inputs = infer(hubert, **SMALL, seconds=0.5, clusters=20)
    assert not module.training
    assert module(*inputs).shape == (2, 24, 96)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "bert-mini"}, "expected a model of type 'hubert', such as hubert-base, got one of type 'bert'"),
        ({"clusters": 1}, "clusters: expected at least 2, got 1"),
        ({"projection_dim": 0}, "projection_dim: expected at least 1, got 0"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"mask_ratio": 0.0}, "mask_ratio: expected a number between 0 and 1, got 0.0"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
