from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from sslbench.kernels.losses.sinkhorn import sinkhorn
from sslbench.kernels.objectives import swav

SMALL = {"batch_size": 3, "image_size": 32, "local_size": 16, "hidden_dim": 16, "projection_dim": 8, "prototypes": 10}


@pytest.fixture
def step(tiny_resnet, build):
    return partial(build, swav, model=tiny_resnet, **SMALL)


@pytest.fixture
def training(tiny_resnet, trained):
    return partial(trained, swav, model=tiny_resnet, **SMALL)


def naive(scores, assigned, images, temperature):
    """Equations 1 and 2 of https://arxiv.org/abs/2006.09882 as the loops of the authors' main_swav.py."""
    crops = len(scores) // images
    total = 0.0
    for i, q in enumerate(assigned):
        others = [v for v in range(crops) if v != i]
        part = 0.0
        for v in others:
            p = (scores[images * v : images * (v + 1)] / temperature).softmax(dim=1)
            part = part - (q * p.log()).sum(dim=1).mean()
        total = total + part / len(others)
    return total / len(assigned)


@pytest.mark.parametrize("local_crops", [0, 1, 6])
def test_the_loss_is_the_swapped_prediction(local_crops, training):
    built = training(local_crops=local_crops, temperature=0.3)
    assert [tuple(crop.shape) for crop in built.inputs] == [(6, 3, 32, 32), (3 * local_crops, 3, 16, 16)][
        : len(built.inputs)
    ]
    assert len(built.inputs) == (2 if local_crops else 1)
    loss = built.loss(*built.inputs)
    _, scores = built.network(*built.inputs)
    assigned = [sinkhorn(part, epsilon=0.05, iterations=3) for part in scores[:6].split(3)]
    torch.testing.assert_close(loss, naive(scores, assigned, 3, 0.3), rtol=1e-4, atol=1e-5)


def test_prototypes_and_embeddings_are_of_length_one(training):
    built = training()
    built.loss(*built.inputs)
    torch.testing.assert_close(built.network.prototypes.weight.norm(dim=1), torch.ones(10))
    embedded, _ = built.network(*built.inputs)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(24))


def test_a_queue_takes_the_newest_in_front_and_drops_the_oldest(training):
    built = training(queue_size=7)
    queue = built.network.queue
    torch.testing.assert_close(queue.norm(dim=2), torch.ones(2, 7))
    before = queue.clone()
    built.loss(*built.inputs)
    embedded, _ = built.network(*built.inputs)
    for crop in range(2):
        torch.testing.assert_close(queue[crop, :3], embedded[3 * crop : 3 * crop + 3], rtol=1e-4, atol=1e-5)
        assert torch.equal(queue[crop, 3:], before[crop, :4])
    assert not queue.requires_grad


def test_queued_embeddings_take_part_in_the_assignments(training):
    built = training(queue_size=7)
    network, queue = built.network, built.network.queue.clone()
    loss = built.loss(*built.inputs)
    _, scores = network(*built.inputs)
    prototypes = normalize(network.prototypes.weight, dim=1)
    assigned = [
        sinkhorn(torch.cat((queue[i] @ prototypes.T, scores[3 * i : 3 * i + 3])), epsilon=0.05, iterations=3)[-3:]
        for i in range(2)
    ]
    torch.testing.assert_close(loss, naive(scores, assigned, 3, 0.1), rtol=1e-4, atol=1e-5)


def test_a_queue_of_one_batch(step):
    run = step(queue_size=3)
    assert all(run().isfinite() for _ in range(2))


def test_a_vit_sees_small_crops_with_interpolated_positions(step):
    run = step(model="vit-ti-16", local_crops=1)
    assert run().isfinite()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"queue_size": 2}, "queue_size: expected 0 or at least the 3 images of a forward pass, got 2"),
        ({"queue_size": -1}, "queue_size: expected 0 or at least the 3 images of a forward pass, got -1"),
        ({"local_crops": -1}, "local_crops: expected a number from 0, got -1"),
        ({"local_size": 0}, "local_size: expected a positive integer, got 0"),
        ({"model": "vit-ti-16", "local_size": 24}, r"local_size: expected a multiple of .* \(16\), got 24"),
        ({"epsilon": 0.001}, "epsilon: expected at least 0.015, .* got 0.001"),
        ({"sinkhorn_iterations": 0}, "sinkhorn_iterations: expected a number above 0, got 0"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"prototypes": 0}, "prototypes: expected a number above 0, got 0"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
