import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.draws import NORMAL, UNIFORM, Draw, Draws
from sslbench.bench.onnx.homes import Homes

ONES = torch.ones(2000)
# Of each: an operator, and what its mean is.
RANDOM = {
    "dropout": (lambda: functional.dropout(ONES, 0.25), 1.0),
    "rand": (lambda: torch.rand(2000), 0.5),
    "rand_like": (lambda: torch.rand_like(ONES), 0.5),
    "randn": (lambda: torch.randn(2000), 0.0),
    "randn_like": (lambda: torch.randn_like(ONES), 0.0),
    "randint": (lambda: torch.randint(11, (2000,)).float(), 5.0),
    "randint from": (lambda: torch.randint(-3, 4, (2000,)).float(), 0.0),
    "randint_like": (lambda: torch.randint_like(ONES, 3), 1.0),
    "bernoulli": (lambda: torch.bernoulli(ONES * 0.3), 0.3),
    "bernoulli_": (lambda: torch.empty(2000).bernoulli_(0.3), 0.3),
    "uniform_": (lambda: torch.empty(2000).uniform_(2, 4), 3.0),
    "normal_": (lambda: torch.empty(2000).normal_(1, 0.5), 1.0),
    "exponential_": (lambda: torch.empty(2000).exponential_(2.0), 0.5),
}


def homes():
    return Homes(nn.Identity())


@pytest.mark.parametrize("name", RANDOM)
def test_an_operator_is_random_has_its_mean_and_can_be_repeated(name):
    operator, mean = RANDOM[name]
    torch.manual_seed(0)
    with Draws(homes()) as first:
        one, other = operator(), operator()
    with Draws(homes(), first.used) as again:
        torch.testing.assert_close(operator(), one, rtol=0, atol=0)
        torch.testing.assert_close(operator(), other, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert one.isfinite().all()
    assert one.mean().item() == pytest.approx(mean, abs=0.15)
    assert len(again.used) == len(first.used) == 2


@settings(max_examples=50)
@given(low=st.integers(-10, 10), count=st.integers(1, 2**20), share=st.floats(0, 1, exclude_max=True, width=32))
def test_a_whole_number_is_one_of_those_asked_for(low, count, share):
    with Draws(homes(), [Draw(UNIFORM, torch.tensor([share]))]):
        value = torch.randint(low, low + count, (1,)).item()
    assert low <= value < low + count


@settings(max_examples=30)
@given(count=st.integers(1, 40))
def test_a_permutation_has_every_number_once(count):
    with Draws(homes()):
        order = torch.randperm(count)
    assert sorted(order.tolist()) == list(range(count))


def test_writing_into_a_draw_leaves_it_as_it_was():
    given = [Draw(UNIFORM, torch.full((3,), 0.5))]
    with Draws(homes(), given):
        torch.rand(3).add_(0.9).floor_()
    assert given[0].values.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("given", [[], [Draw(NORMAL, torch.zeros(3))], [Draw(UNIFORM, torch.zeros(4))]])
def test_draws_of_another_step_are_refused(given):
    with pytest.raises(MeasureError, match="draws other random numbers"), Draws(homes(), given):
        torch.rand(3)


def test_a_random_operator_that_is_not_known_is_named_with_its_module():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.empty(3).cauchy_() + x

    network = nn.Sequential(Odd())
    watch = Homes(network)
    with pytest.raises(MeasureError, match=r"cauchy_.* of 0 \(Odd\)"), watch.watching(), Draws(watch):
        network(torch.zeros(3))


def test_a_backward_operator_is_known_by_the_module_of_its_forward():
    network = nn.Sequential(nn.Linear(3, 3), nn.SiLU())
    watch = Homes(network)
    with watch.watching(), Draws(watch):
        network(torch.rand(2, 3)).sum().backward()
    assert watch.of("aten.silu_backward.default") == "1 (SiLU)"
    assert watch.of("aten.addmm.default") == "0 (Linear)"
    assert watch.of("aten.exp.default") == "the loss or the update"
