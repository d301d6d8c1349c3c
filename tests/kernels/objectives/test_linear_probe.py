from functools import partial

import pytest
import torch

from sslbench.kernels.objectives import linear_probe
from sslbench.kernels.optimizers import make_optimizer


@pytest.fixture
def probe(tiny_resnet, trained):
    return partial(trained, linear_probe, model=tiny_resnet, batch_size=4, image_size=32, classes=3)


@pytest.fixture
def step(tiny_resnet, build):
    return partial(build, linear_probe, model=tiny_resnet, batch_size=4, image_size=32, classes=3)


def test_only_the_head_is_trained(probe):
    training = probe()
    network = training.network
    optimizer = make_optimizer("sgd", network, learning_rate=0.1)
    frozen = [parameter.clone() for parameter in network.encoder.parameters()]
    statistics = [buffer.clone() for buffer in network.encoder.buffers()]
    for _ in range(2):
        training.loss(*training.inputs).backward()
        optimizer.step()
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert set(optimizer.state) == set(network.head.parameters())
    assert all(torch.equal(old, new) for old, new in zip(frozen, network.encoder.parameters(), strict=True))
    assert all(torch.equal(old, new) for old, new in zip(statistics, network.encoder.buffers(), strict=True))


def test_the_backbone_stays_in_eval_mode(probe):
    network = probe().network.train()
    assert network.training
    assert network.head.training
    assert not any(module.training for module in network.encoder.modules())


def test_no_activation_of_the_backbone_is_kept(probe):
    network = probe().network
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t):
        network(torch.randn(4, 3, 32, 32))
    assert all(len(shape) <= 2 for shape in kept)


def test_the_loss_and_its_gradient_are_those_of_a_softmax_regression(probe):
    training = probe()
    images, labels = training.inputs
    training.loss(images, labels).backward()
    with torch.no_grad():
        features = training.network.encoder(images).double()
        weight, bias = training.network.head.weight.double(), training.network.head.bias.double()
        shares = (features @ weight.T + bias).softmax(dim=1)
        error = (shares - torch.eye(3, dtype=torch.float64)[labels]) / 4
    torch.testing.assert_close(training.network.head.weight.grad.double(), error.T @ features, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(training.network.head.bias.grad.double(), error.sum(dim=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_loss_falls_on_one_batch(step, batch_norm):
    run = step(optimizer="adam", learning_rate=0.1, batch_norm=batch_norm)
    losses = [run().item() for _ in range(80)]
    assert losses[-1] < 0.3 * losses[0]


def test_the_normalisation_has_no_scale(probe):
    head = probe(batch_norm=True).network.head
    assert [tuple(parameter.shape) for parameter in head.parameters()] == [(3, 16), (3,)]


def test_the_default_learning_rate_is_the_papers_rule(probe):
    assert probe(accumulation=2).learning_rate == 0.1 * 8 / 256
    assert probe().weight_decay == 0


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"precision": "fp16"}, {"precision": "bf16", "weights": "bf16"}]
)
def test_every_precision_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_text_is_probed_at_its_first_token(infer, tiny_bert):
    module, inputs = infer(linear_probe, model=tiny_bert, batch_size=2, seq_len=8, classes=3)
    states = module.encoder.network(input_ids=inputs[0]).last_hidden_state
    torch.testing.assert_close(module(*inputs), module.head(states[:, 0]))
    assert module.encoder.network.pooler is None


def test_inference_gives_logits(infer, tiny_resnet):
    module, inputs = infer(linear_probe, model=tiny_resnet, batch_size=2, image_size=32, classes=3, batch_norm=True)
    assert not module.training
    assert module(*inputs).shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classes": 0}, "classes: expected at least 2, got 0: without a choice there is nothing to train"),
        ({"batch_norm": True, "batch_size": 1}, "batch_size: batch_norm needs at least 2 samples, got 1"),
        ({"seq_len": 8}, "seq_len: .* is a model for images, and takes image_size"),
        ({"model": "gpt2-small", "image_size": None, "seq_len": 8}, "type 'gpt2' is no text encoder"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
