import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sslbench.bench.onnx import backward, convolutions, in_place
from sslbench.bench.onnx.backward import aten


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60)
@given(
    dims=st.integers(1, 2),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    size=st.integers(7, 10),
)
def test_gradients_of_a_convolution(*, dims, kernel, stride, padding, dilation, groups, size):
    x = numbers(2, 4, *[size] * dims).requires_grad_()
    weight = numbers(6, 4 // groups, *[kernel] * dims, seed=1).requires_grad_()
    bias = numbers(6, seed=2).requires_grad_()
    shared = ([stride] * dims, [padding] * dims, [dilation] * dims)
    y = aten.convolution(x, weight, bias, *shared, False, [0] * dims, groups)
    dy = numbers(*y.shape, seed=3)
    expected = torch.autograd.grad(y, (x, weight, bias), dy)
    with torch.no_grad():
        found = convolutions.convolution_backward(
            dy, x, weight, None, *shared, False, [0] * dims, groups, [True, True, True]
        )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_of_a_transposed_convolution_there_is_no_decomposition():
    one = numbers(1, 1, 4, 4)
    arguments = (one, one, one, None, [1, 1], [0, 0], [1, 1], True, [0, 0], 1, [True, True, False])
    assert convolutions.convolution_backward(*arguments) is NotImplemented


def test_gradients_that_nobody_wants_are_not_computed():
    x, weight = numbers(1, 1, 4, 4), numbers(1, 1, 3, 3)
    found = convolutions.convolution_backward(
        numbers(1, 1, 2, 2), x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
    )
    assert [gradient is None for gradient in found] == [True, False, True]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_gradient_of_max_pooling(kernel, stride, padding):
    x = numbers(2, 3, 8, 8).requires_grad_()
    y, indices = functional.max_pool2d(x, kernel, stride, padding, return_indices=True)
    dy = numbers(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, x, dy)
    found = backward.max_pool_backward(dy, x.detach(), [kernel], [stride], [padding], [1], False, indices)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5), (3, 4, 5, 5)])
def test_batch_normalisation_in_training(shape):
    x, weight, bias = numbers(*shape) * 3 + 2, numbers(4, seed=1), numbers(4, seed=2)
    mean, var = numbers(4, seed=3), numbers(4, seed=4).abs()
    running = [mean.clone(), var.clone()]
    expected = aten.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5)
    found = in_place.batch_norm(x, weight, bias, *running, True, 0.1, 1e-5)
    for ours, theirs in zip((*found, *running), (*expected, mean, var), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_batch_normalisation_in_evaluation_is_left_to_the_exporter():
    one = numbers(1)
    assert in_place.batch_norm(numbers(2, 1), one, one, one, one, False, 0.1, 1e-5) is NotImplemented


@pytest.mark.parametrize("dim", [0, 2])
def test_gradients_of_weight_normalisation(dim):
    v = numbers(4, 3, 5).requires_grad_()
    g = numbers(*(size if at == dim else 1 for at, size in enumerate(v.shape)), seed=1).requires_grad_()
    w, norm = torch._weight_norm_interface(v, g, dim)
    dw = numbers(*w.shape, seed=2)
    expected = torch.autograd.grad(w, (v, g), dw)
    found = backward.weight_norm_backward(dw, v.detach(), g.detach(), norm.detach(), dim)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("before", "after"), [((4, 4), (2, 3)), ((3, 4), (7, 9)), ((4, 4), (4, 4))])
@pytest.mark.parametrize("align_corners", [False, True])
def test_gradient_of_bicubic_interpolation(before, after, align_corners):
    x = numbers(2, 3, *before).requires_grad_()
    y = aten.upsample_bicubic2d(x, list(after), align_corners, None, None)
    dy = numbers(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, x, dy)
    found = backward.bicubic_backward(dy, list(after), list(x.shape), align_corners)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("size", "stride", "offset"), [((3,), (5,), 1), ((2, 2), (4, 1), 0), ((4, 3), (1, 4), None)])
def test_writing_into_strides(size, stride, offset):
    x, values = numbers(4, 4), numbers(*size, seed=1)
    expected = torch.as_strided_scatter(x, values, size, stride, offset)
    torch.testing.assert_close(backward.as_strided_scatter(x, values, size, stride, offset), expected)
    assert backward.as_strided_scatter(x.t(), values, size, stride, offset) is NotImplemented


def test_a_view_of_another_layout():
    x = numbers(2, 3, 4).transpose(1, 2)
    torch.testing.assert_close(backward.view(x, [8, 3]), x.reshape(8, 3))
    assert backward.view(x.contiguous(), [8, 3]) is NotImplemented


def test_diagonals_of_square_matrices():
    x, diagonal = numbers(4, 4), numbers(4, seed=1)
    torch.testing.assert_close(backward.diagonal_scatter(x, diagonal), torch.diagonal_scatter(x, diagonal))
    torch.testing.assert_close(in_place.fill_diagonal_(x.clone(), -1.0), x.clone().fill_diagonal_(-1.0))
    assert backward.diagonal_scatter(numbers(2, 3), numbers(2)) is NotImplemented
    assert in_place.fill_diagonal_(numbers(2, 3), 1.0) is NotImplemented


@settings(max_examples=40)
@given(chosen=st.lists(st.booleans(), min_size=1, max_size=12), size=st.integers(1, 12))
def test_positions_of_what_is_not_zero(chosen, size):
    mask = torch.tensor(chosen)
    size = min(size, len(chosen))
    torch.testing.assert_close(
        backward.nonzero_static(mask, size=size), torch.nonzero_static(mask, size=size, fill_value=-1)
    )


@pytest.mark.parametrize(
    ("operator", "call"),
    [
        (aten._foreach_norm.Scalar, lambda on: on([numbers(3), numbers(2, 2)])),
        (aten._foreach_add.Scalar, lambda on: on([numbers(3), numbers(2, 2)], 2.0)),
        (aten._foreach_add.List, lambda on: on([numbers(3)], [numbers(3, seed=1)], alpha=0.5)),
        (aten._foreach_lerp.Scalar, lambda on: on([numbers(3)], [numbers(3, seed=1)], 0.25)),
        (aten._foreach_mul.List, lambda on: on([numbers(3)], [numbers(3, seed=1)])),
        (aten._foreach_clamp_max.Scalar, lambda on: on([numbers(3)], 0.1)),
        (aten._foreach_reciprocal.default, lambda on: on([numbers(3)])),
    ],
)
def test_operators_on_lists(operator, call):
    torch.testing.assert_close(call(in_place.decompositions_in_place()[operator]), call(operator))


def test_operators_on_lists_in_place():
    tensors = [numbers(3), numbers(2)]
    rule = in_place.decompositions_in_place()[aten._foreach_mul_.Scalar]
    assert rule(tensors, 2.0) is None
    torch.testing.assert_close(tensors, [numbers(3) * 2, numbers(2) * 2])
