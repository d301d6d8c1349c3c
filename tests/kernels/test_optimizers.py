import pytest
import torch
from torch import nn

from sslbench.kernels.optimizers import LARS, OPTIMIZERS, make_optimizer


def small_model():
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))


def gradients(model, number):
    generator = torch.Generator().manual_seed(number)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def naive_lars(weights, steps, *, lr, momentum, decay, trust):
    """Algorithm 1 of https://arxiv.org/abs/1708.03888 in Python numbers, one layer, decay and adaptation as given."""
    velocity = [0.0] * len(weights)
    for gradient in steps:
        weight_norm = sum(w * w for w in weights) ** 0.5
        gradient_norm = sum(g * g for g in gradient) ** 0.5
        rate = 1.0 if trust is None else trust * weight_norm / (gradient_norm + decay * weight_norm)
        velocity = [
            momentum * v + lr * rate * (g + decay * w) for v, g, w in zip(velocity, gradient, weights, strict=True)
        ]
        weights = [w - v for w, v in zip(weights, velocity, strict=True)]
    return weights


def test_lars_matches_the_algorithm_of_its_paper():
    model = small_model().double()
    before = [parameter.detach().flatten().tolist() for parameter in model.parameters()]
    optimizer = make_optimizer("lars", model, learning_rate=0.4, weight_decay=0.05, momentum=0.8)
    steps = []
    for number in range(5):
        gradients(model, number)
        steps.append([parameter.grad.flatten().tolist() for parameter in model.parameters()])
        optimizer.step()
    for index, parameter in enumerate(model.parameters()):
        matrix = parameter.ndim > 1  # SimCLR leaves biases and batch normalisation out of decay and adaptation
        expected = naive_lars(
            before[index],
            [step[index] for step in steps],
            lr=0.4,
            momentum=0.8,
            decay=0.05 if matrix else 0.0,
            trust=0.001 if matrix else None,
        )
        assert parameter.flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_lars_leaves_the_gradients_alone():
    model = small_model()
    optimizer = make_optimizer("lars", model, learning_rate=0.1, weight_decay=0.1)
    gradients(model, 0)
    before = [parameter.grad.clone() for parameter in model.parameters()]
    optimizer.step()
    assert all(torch.equal(parameter.grad, old) for parameter, old in zip(model.parameters(), before, strict=True))


def test_lars_moves_a_layer_at_zero_at_the_plain_rate():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=0.5)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.full((2, 2), -0.5))


def test_lars_takes_a_closure_and_skips_what_has_no_gradient():
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer = LARS([used, unused], lr=0.1)

    def closure():
        loss = used.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    assert torch.equal(unused.detach(), torch.ones(2))
    assert optimizer.state[used]["momentum_buffer"].shape == (2, 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_matrices_are_decayed(name):
    model = small_model()
    optimizer = make_optimizer(name, model, learning_rate=0.1, weight_decay=0.3)
    decays = {id(parameter): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.3 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("plain_name", ["adamw", "adam", "sgd"])
def test_a_fused_optimizer_steps_like_the_plain_one(plain_name):
    plain, fused = small_model(), small_model()
    fused.load_state_dict(plain.state_dict())
    for name, model in ((plain_name, plain), (f"{plain_name}-fused", fused)):
        optimizer = make_optimizer(name, model, learning_rate=0.01, weight_decay=0.1)
        for number in range(3):
            gradients(model, number)
            optimizer.step()
    for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_an_unknown_optimizer_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"no optimizer 'adamww': expected one of .*; did you mean adamw\?"):
        make_optimizer("adamww", small_model(), learning_rate=0.1)


@pytest.mark.parametrize("key", ["learning_rate", "weight_decay", "momentum"])
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_rates_out_of_range_are_named(key, value):
    with pytest.raises(ValueError, match=rf"{key}: expected a number from 0, got {value}"):
        make_optimizer("sgd", small_model(), **{"learning_rate": 0.1, key: value})


def test_the_rates_of_adams_averages_are_those_asked_for():
    for name in ("adam", "adam-fused", "adamw", "adamw-fused"):
        optimizer = make_optimizer(name, small_model(), learning_rate=0.1, betas=(0.9, 0.95))
        assert all(group["betas"] == (0.9, 0.95) for group in optimizer.param_groups)
