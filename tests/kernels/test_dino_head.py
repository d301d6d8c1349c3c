import pytest
import torch
from torch.nn import functional

from sslbench.kernels.dino_head import DinoHead
from sslbench.kernels.ema import frozen_copy


def head(**changes):
    sizes = {"prototypes": 12, "hidden": 10, "bottleneck": 4, "norm_last_layer": True, **changes}
    return DinoHead(6, **sizes)


def test_logits_are_cosines_of_the_bottleneck_and_the_prototypes():
    module, features = head(), torch.randn(5, 6)
    direction = module.last_layer.parametrizations.weight.original1
    expected = functional.normalize(module.mlp(features), dim=1) @ functional.normalize(direction, dim=1).T
    torch.testing.assert_close(module(features), expected)


def test_lengths_of_prototypes_are_one_and_learned_only_if_asked_for():
    assert torch.equal(head().lengths, torch.ones(12, 1))
    assert not head().lengths.requires_grad
    assert head(norm_last_layer=False).lengths.requires_grad


def test_the_published_size():
    """DINOHead of the authors' code for ViT-S/16: three layers, and prototypes with a length each."""
    with torch.device("meta"):
        module = DinoHead(384, prototypes=65536, hidden=2048, bottleneck=256, norm_last_layer=True)
    mlp = (384 + 1) * 2048 + (2048 + 1) * 2048 + (2048 + 1) * 256
    assert sum(parameter.numel() for parameter in module.parameters()) == mlp + 65536 * 256 + 65536


def test_a_copy_is_a_head_of_its_own():
    module, features = head(), torch.randn(5, 6)
    copy = frozen_copy(module)
    torch.testing.assert_close(copy(features), module(features))
    with torch.no_grad():
        module.last_layer.parametrizations.weight.original1.add_(torch.randn(12, 4))
    assert not torch.allclose(copy(features), module(features))


def test_held_prototypes_have_no_gradient():
    module = head(norm_last_layer=False)
    module(torch.randn(5, 6)).square().sum().backward()
    module.hold_prototypes()
    assert all(parameter.grad is None for parameter in module.last_layer.parameters())
    assert all(parameter.grad is not None for parameter in module.mlp.parameters())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"prototypes": 0}, "prototypes: "), ({"hidden": 0}, "hidden_dim: "), ({"bottleneck": -1}, "bottleneck_dim: ")],
)
def test_sizes_are_positive(changes, problem):
    with pytest.raises(ValueError, match=problem + "expected a positive integer"):
        head(**changes)
