import pytest
import torch
from torch import nn

from sslbench.kernels.setup import Setup, check_precision
from sslbench.kernels.step import autocast, float32_math, inference_step, training_step

CPU = torch.device("cpu")


def run(precision, weights="fp32", steps=1):
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[weights]
    model = nn.Linear(8, 4).to(dtype)
    inputs = torch.randn(16, 8, dtype=dtype)
    seen = []

    def loss():
        output = model(inputs)
        seen.append(output.dtype)
        return output.float().square().mean()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = training_step(loss, optimizer, device=CPU, precision=precision, weights=weights)
    losses = [step().item() for _ in range(steps)]
    return model, seen, losses


@pytest.mark.parametrize(
    ("precision", "weights", "computed", "stored"),
    [
        ("fp32", "fp32", torch.float32, torch.float32),
        ("tf32", "fp32", torch.float32, torch.float32),
        ("bf16", "fp32", torch.bfloat16, torch.float32),
        ("fp16", "fp32", torch.float16, torch.float32),
        ("bf16", "bf16", torch.bfloat16, torch.bfloat16),
        ("fp16", "fp16", torch.float16, torch.float16),
    ],
)
def test_a_step_computes_in_its_precision_and_learns(precision, weights, computed, stored):
    model, seen, losses = run(precision, weights, steps=5)
    assert set(seen) == {computed}
    assert {parameter.dtype for parameter in model.parameters()} == {stored}
    assert losses[-1] < losses[0]


def test_a_step_leaves_no_gradients():
    model, _, _ = run("fp32")
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scaling_the_loss_does_not_change_the_update():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    training_step(lambda: 0.25 * weight.sum(), optimizer, device=CPU, precision="fp16", weights="fp32")()
    assert weight.item() == 1 - 0.5 * 0.25


def test_a_loss_that_overflows_in_half_precision_updates_nothing():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    training_step(lambda: torch.inf * weight.sum(), optimizer, device=CPU, precision="fp16", weights="fp32")()
    assert weight.item() == 1


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_single_precision_says_what_it_is_and_puts_the_setting_back(precision, expected):
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [setting.fp32_precision for setting in settings]
    with float32_math(precision):
        assert [setting.fp32_precision for setting in settings] == [expected, expected]
    assert [setting.fp32_precision for setting in settings] == before
    with pytest.raises(RuntimeError), float32_math(precision):
        raise RuntimeError
    assert [setting.fp32_precision for setting in settings] == before


def test_inference_records_no_gradients():
    model = nn.Linear(3, 2).eval()
    output = inference_step(model, (torch.randn(4, 3),), device=CPU, precision="bf16", weights="fp32")()
    assert output.dtype == torch.bfloat16
    assert output.is_inference()


def test_half_precision_weights_take_no_autocast():
    with autocast(CPU, "bf16", "bf16"):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(CPU, "bf16", "fp32"):
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("precision", "weights", "problem"),
    [
        ("int8", "fp32", "precision: expected one of fp32, tf32, bf16, fp16, got 'int8'"),
        ("fp16", "int8", "weights: expected one of fp32, bf16, fp16, got 'int8'"),
        ("fp32", "bf16", "set the precision to bf16, not fp32"),
    ],
)
def test_precisions_that_cannot_be_are_named(precision, weights, problem):
    with pytest.raises(ValueError, match=problem):
        check_precision(precision, weights)


def test_accumulated_passes_give_the_gradient_of_their_mean_and_one_update():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    factors = iter([1.0, 3.0])
    step = training_step(
        lambda: next(factors) * weight.sum(), optimizer, device=CPU, precision="fp32", weights="fp32", accumulation=2
    )
    assert step().item() == 2.0
    assert weight.item() == 1 - 0.5 * 2.0


def test_what_follows_the_update_sees_the_new_weights_and_records_no_gradient():
    weight = nn.Parameter(torch.tensor([1.0]))
    seen = []
    step = training_step(
        weight.sum,
        torch.optim.SGD([weight], lr=0.5),
        device=CPU,
        precision="fp32",
        weights="fp32",
        after_update=lambda: seen.append((weight.item(), torch.is_grad_enabled())),
    )
    step()
    assert seen == [(0.5, False)]


def test_a_setup_is_checked():
    with pytest.raises(ValueError, match="accumulation: expected a positive integer, got 0"):
        Setup(device=CPU, model="bert-mini", batch_size=4, accumulation=0)
    assert Setup(device=CPU, model="bert-mini", batch_size=4, accumulation=3).samples == 12
