"""What a trace answers where a step looks at values: what is known, else one, and the largest shape that can be."""

import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from sslbench.bench.trace.tracer import trace_step

BOTH = pytest.mark.parametrize("target", ["cuda", "cpu"])


def asked(question, target="cuda"):
    """What a step gets to see."""
    seen = []
    trace_step(lambda device: lambda: seen.append(question(device)), target)
    return seen[-1]


@BOTH
@given(data=st.lists(st.integers(-9, 9), min_size=1, max_size=9))
@settings(max_examples=10)
def test_data_that_python_gave_stays_known(target, data):
    assert asked(lambda device: torch.tensor(data, device=device).tolist(), target) == data
    assert asked(lambda device: torch.tensor(data).to(device)[1:].cpu().tolist(), target) == data[1:]
    assert asked(lambda device: torch.tensor(data, device=device)[-1].item(), target) == data[-1]


@BOTH
def test_data_that_was_written_to_is_known_no_more(target):
    def written(device):
        x = torch.tensor([5, 5], device=device) if target == "cuda" else torch.full((), 5.0)
        x.mul_(3) if target == "cuda" else x.add_(torch.rand(()))
        return x.sum().item()

    assert asked(written, target) == 1


@BOTH
@given(a=st.integers(-50, 50), b=st.integers(1, 9), name=st.sampled_from(["add", "sub", "mul", "floordiv"]))
@settings(max_examples=10)
def test_arithmetic_of_pythons_numbers_is_known(target, a, b, name):
    def compute(device):
        number = torch.full((), a, device=device, dtype=torch.int64)
        return getattr(operator, name)(number, b).item()

    assert asked(compute, target) == getattr(operator, name)(a, b)


@BOTH
def test_rates_of_stochastic_depth_are_what_they_are(target):
    def rates(device):
        by_stage = [part.tolist() for part in torch.linspace(0, 0.5, 3).split([1, 2])]
        return by_stage, [rate.item() for rate in torch.linspace(0, 0.5, 3, device=device)]

    assert asked(rates, target) == ([[0.0], [0.25, 0.5]], [0.0, 0.25, 0.5])


@BOTH
@given(bound=st.floats(-4, 4), name=st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne"]))
@settings(max_examples=10)
def test_a_number_is_one_and_is_compared_as_one(target, bound, name):
    compare = getattr(operator, name)
    assert asked(lambda device: bool(compare(torch.rand(9, device=device).sum(), bound)), target) == compare(1, bound)


@BOTH
def test_values_agree_however_they_are_read(target):
    def reads(device):
        x = torch.rand(2, device=device)
        ways = [x.tolist(), x.cpu().numpy().tolist(), x.cpu().tolist(), torch.tensor([x[0], x[1]]).tolist()]
        return [*ways, np.asarray(x.cpu()).tolist(), [x[0].item(), float(x[1])]]

    assert asked(reads, target) == [[1.0, 1.0]] * 6


@BOTH
def test_rows_are_repeated_as_lengths_say(target):
    def shape(device):
        lengths = torch.tensor([3, 1, 2], device=device)
        return torch.ones(3, 4, device=device).repeat_interleave(lengths, 0).shape

    assert asked(shape, target) == (6, 4)


@BOTH
def test_shapes_that_depend_on_data_are_the_largest(target):
    def shapes(device):
        x = torch.randint(0, 5, (4, 6), device=device)
        values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
        return [
            values.shape,
            inverse.shape,
            counts.shape,
            x.nonzero().shape,
            torch.bincount(x.flatten(), minlength=7).shape,
        ]

    assert asked(shapes, target) == [(24,), (4, 6), (24,), (24, 2), (7,)]


@BOTH
def test_views_in_place_change_their_tensor(target):
    def shape(device):
        x = torch.ones(2, 3, 1, device=device, requires_grad=True)
        y = (x * 2).transpose_(0, 1).squeeze_(-1)
        y.sum().backward()
        return tuple(y.shape), y.stride(), tuple(x.grad.shape)

    assert asked(shape, target) == ((3, 2), (1, 3), (2, 3, 1))


def test_data_ptr_tells_storages_apart():
    def pointers(device):
        x, y = torch.ones(4, device=device), torch.ones(4, device=device)
        return len({x.data_ptr(), x.view(2, 2).data_ptr(), y.data_ptr(), x[1:].data_ptr()}), x[2:].data_ptr() % 16

    assert asked(pointers) == (3, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@BOTH
def test_experts_are_multiplied_in_groups(target, dtype):
    def build(device):
        weights = torch.ones(4, 32, 64, device=device, dtype=dtype, requires_grad=True)
        x, offsets = torch.ones(20, 32, device=device, dtype=dtype), torch.tensor([5, 10, 15, 20], dtype=torch.int32)
        offsets = offsets.to(device)
        return lambda: functional.grouped_mm(x, weights, offs=offsets).sum().backward()

    trace = trace_step(build, target)
    (kind, *_) = [kind for kind in trace.kinds if kind.name == "aten._grouped_mm.default"]
    assert kind.flops == 2 * 20 * 32 * 64
    assert kind.bytes_written == 20 * 64 * dtype.itemsize


class Images(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.rand(3, 32, 32), index


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than a small machine has cores
@BOTH
def test_a_loader_works_without_its_workers(target):
    loader = DataLoader(Images(), batch_size=8, num_workers=2, persistent_workers=True, pin_memory=target == "cuda")

    def build(device):
        model = nn.Conv2d(3, 4, 3).to(device)

        def step():
            for images, _ in loader:
                model(images.to(device, non_blocking=True)).sum().backward()
                break

        return step

    trace = trace_step(build, target)
    assert {kind.inputs[0][1] for kind in trace.kinds if kind.name == "aten.convolution.default"} == {(8, 3, 32, 32)}
    assert loader.num_workers == 2
