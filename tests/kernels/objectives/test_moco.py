from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import moco
from sslbench.kernels.setup import Setup

SMALL = {"batch_size": 4, "image_size": 32, "hidden_dim": 16, "projection_dim": 8}


@pytest.fixture
def step(tiny_resnet, build):
    return partial(build, moco, model=tiny_resnet, **SMALL)


@pytest.fixture
def training(tiny_resnet, trained):
    return partial(trained, moco, model=tiny_resnet, **SMALL)


def keys_of(built, view):
    """Keys of a view as the network stands, without a change of its running statistics."""
    with torch.no_grad():
        return normalize(built.network.key_encoder(view), dim=1)


def test_the_oldest_keys_leave_the_queue_and_it_wraps_around(training):
    built = training(queue_size=10)
    queue = built.network.queue
    for step, columns in enumerate([range(4), range(4, 8), (8, 9, 0, 1), range(2, 6)]):
        before = queue.clone()
        built.loss(*built.inputs)
        expected = keys_of(built, built.inputs[1])
        torch.testing.assert_close(queue[:, list(columns)].T, expected)
        kept = [column for column in range(10) if column not in columns]
        assert torch.equal(queue[:, kept], before[:, kept])
        assert built.network.oldest == (4 * (step + 1)) % 10


def test_a_queue_of_one_batch_is_replaced_whole(training):
    built = training(queue_size=4)
    for _ in range(2):
        built.loss(*built.inputs)
        torch.testing.assert_close(built.network.queue.T, keys_of(built, built.inputs[1]))


def test_symmetric_has_the_keys_of_both_views(training):
    built = training(queue_size=16, symmetric=True)
    built.loss(*built.inputs)
    view_a, view_b = built.inputs
    torch.testing.assert_close(built.network.queue[:, :4].T, keys_of(built, view_b))
    torch.testing.assert_close(built.network.queue[:, 4:8].T, keys_of(built, view_a))


def test_symmetric_is_the_sum_of_both_directions(training):
    both = training(queue_size=16, symmetric=True)
    one, other = training(queue_size=16), training(queue_size=16)
    view_a, view_b = both.inputs
    total = both.loss(view_a, view_b)
    torch.testing.assert_close(total, one.loss(view_a, view_b) + other.loss(view_b, view_a))


def test_the_loss_falls_against_keys_of_other_images(training):
    built = training(queue_size=64)
    run = assemble(
        built, Setup(device=torch.device("cpu"), model="", batch_size=4, optimizer="adam", learning_rate=3e-3)
    )
    others = built.network.queue.clone()
    losses = []
    for _ in range(20):
        built.network.queue.copy_(others)
        losses.append(run().item())
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0]


def test_a_v3_vit_has_fixed_patches_and_a_head_of_three_layers(trained):
    built = trained(moco, model="vit-ti-16", version="v3", **SMALL)
    linears = [m for m in built.network.query_encoder[1] if isinstance(m, torch.nn.Linear)]
    assert [tuple(m.weight.shape) for m in linears] == [(16, 192), (16, 16), (8, 16)]
    frozen = {name for name, p in built.network.query_encoder.named_parameters() if not p.requires_grad}
    assert len(frozen) == 3
    assert built.learning_rate == pytest.approx(1.5e-4 * 4 / 256)
    assert built.weight_decay == 0.1


def test_a_v3_loss_is_both_directions_times_two_temperatures(training):
    built = training(version="v3", temperature=0.5)
    network, (view_a, view_b) = built.network, built.inputs
    queries = [normalize(network.query(view), dim=1) for view in (view_a, view_b)]
    keys = [normalize(network.key(view), dim=1) for view in (view_b, view_a)]
    expected = sum(
        -(query @ key.T / 0.5).log_softmax(dim=1).diagonal().mean() for query, key in zip(queries, keys, strict=True)
    )
    torch.testing.assert_close(built.loss(view_a, view_b), 2 * 0.5 * expected)


def test_the_defaults_are_the_papers(tiny_resnet, trained):
    shared = {"model": tiny_resnet, "batch_size": 2, "image_size": 32}
    second = trained(moco, **shared).network
    assert second.queue.shape == (128, 65_536)
    torch.testing.assert_close(second.queue.norm(dim=0), torch.ones(65_536))
    third = trained(moco, version="v3", **shared).network
    assert [m.weight.shape[0] for m in third.predictor if isinstance(m, torch.nn.Linear)] == [4096, 256]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"queue_size": 3}, "queue_size: expected at least the 4 keys of a forward pass, got 3"),
        ({"queue_size": 7, "symmetric": True}, "queue_size: expected at least the 8 keys of a forward pass, got 7"),
        ({"version": "v3", "queue_size": 16}, "queue_size: MoCo v3 has no queue, got 16: leave it out"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"momentum": 1.5}, "momentum: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
