import pytest
import torch
from torch import nn

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.optimizers import tensor_optimizer
from sslbench.kernels.optimizers import make_optimizer


def trained(wrap, name, updates):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))
    frozen = network[1].bias.requires_grad_(False)
    unused = nn.Linear(2, 2)
    every = nn.ModuleList([network, unused])
    optimizer = wrap(make_optimizer(name, every, learning_rate=0.05, weight_decay=0.1, betas=(0.8, 0.95)))
    x = torch.randn(8, 5)
    for _ in range(updates):
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not frozen.any()
    return [parameter.detach() for parameter in every.parameters()]


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars"])
@pytest.mark.parametrize("updates", [1, 10])
def test_an_update_is_that_of_torch(name, updates):
    expected = trained(lambda optimizer: optimizer, name, updates)
    found = trained(tensor_optimizer, name, updates)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-7)


def test_the_learning_rate_is_a_tensor_that_can_be_changed():
    network = nn.Linear(2, 1)
    before = network.weight.detach().clone()
    optimizer = tensor_optimizer(make_optimizer("sgd", network, learning_rate=0.1))
    optimizer.learning_rate.zero_()
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(network.weight, before)


def test_other_optimizers_are_refused():
    with pytest.raises(MeasureError, match="Adagrad cannot be exported: use --optimizer adamw"):
        tensor_optimizer(torch.optim.Adagrad([nn.Parameter(torch.zeros(1))]))
