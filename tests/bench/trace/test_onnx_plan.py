"""ONNX Runtime's allocation plan, on graphs small enough to plan by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.trace.onnx_plan import moments, plan, scratch_bytes
from sslbench.bench.trace.onnx_trace import operator_kind, trace_of
from sslbench.bench.trace.onnx_values import Node, OnnxGraph, Value


def value(*shape):
    size = 4
    for length in shape:
        size *= length
    return Value("float32", shape, size)


def graph(nodes, values, inputs=("x",), outputs=("y",), weights=()):
    return OnnxGraph(tuple(nodes), values, inputs, outputs, weights, 0)


def node(operator, inputs, outputs, **attributes):
    return Node(operator, tuple(inputs.split()), tuple(outputs.split()), attributes)


def chain(operators, shape=(8, 4)):
    names = ["x", *(f"v{index}" for index in range(1, len(operators))), "y"]
    nodes = [node(operator, names[index], names[index + 1]) for index, operator in enumerate(operators)]
    return graph(nodes, dict.fromkeys(names, value(*shape)))


def lives(found):
    return [(buffer.born, buffer.died) for buffer in found]


def test_an_elementwise_operator_writes_into_an_input_that_nobody_else_reads():
    assert lives(plan(chain(["Transpose", "Relu", "Sigmoid", "Transpose"]))) == [(0, 3), (3, 4)]


def test_an_input_of_the_graph_is_never_written_to():
    assert lives(plan(chain(["Relu", "Transpose"]))) == [(0, 1), (1, 2)]


def test_an_input_that_is_read_again_is_not_written_to():
    nodes = [node("Transpose", "x", "a"), node("Relu", "a", "b"), node("Add", "a b", "c"), node("Transpose", "c", "y")]
    assert lives(plan(graph(nodes, dict.fromkeys("xabcy", value(2, 2))))) == [(0, 3), (1, 2), (3, 4)]


def test_gelu_has_no_in_place_kernel():
    assert len(plan(chain(["Transpose", "Gelu", "Transpose"]))) == 3


def test_a_buffer_of_the_same_shape_is_used_again():
    assert lives(plan(chain(["Transpose"] * 5))) == [(0, 3), (1, 4), (4, 5)]


def test_a_buffer_of_another_shape_is_not_used_again_though_it_has_the_same_bytes():
    values = {"x": value(2, 3), "a": value(2, 3), "b": value(3, 2), "c": value(3, 2, 1), "y": value(6)}
    nodes = [node("Transpose", f"{one}", f"{two}") for one, two in zip("xabc", "abcy", strict=True)]
    assert len(plan(graph(nodes, values))) == 4


def test_a_reshape_costs_nothing_except_into_an_output():
    nodes = [node("Transpose", "x", "a"), node("Reshape", "a", "b"), node("Transpose", "b", "c")]
    values = dict.fromkeys("xac", value(4, 4)) | dict.fromkeys("by", value(16))
    found = plan(graph([*nodes, node("Reshape", "c", "y")], values))
    assert [(buffer.operator, buffer.is_output) for buffer in found] == [
        ("Transpose", False),
        ("Transpose", False),
        ("Reshape", True),
    ]
    assert lives(found)[0] == (0, 2)  # the reshaped value keeps the buffer


def test_a_blocked_convolution_adds_into_its_fourth_input():
    nodes = [
        node("Transpose", "x", "sum"),
        Node("com.microsoft.nchwc.Conv", ("x", "w", "", "sum"), ("a",), {}),
        node("Transpose", "a", "y"),
    ]
    values = dict.fromkeys(("x", "sum", "a", "y"), value(1, 8, 4, 4)) | {"w": value(8, 8, 1, 1)}
    assert lives(plan(graph(nodes, values, weights=("w",)))) == [(0, 2), (2, 3)]


def test_where_selects_both_sides_into_memory_of_its_own():
    values = {"c": Value("bool", (4, 1), 4), "a": value(4, 8), "b": value()}
    assert scratch_bytes(node("Where", "c a b", "y"), values) == 4 * (4 * 8 + 4 * 1)


@given(st.lists(st.sampled_from(["Relu", "Transpose", "Gelu", "Reshape"]), min_size=1, max_size=12))
def test_every_node_has_its_memory_while_it_runs_and_all_but_outputs_is_freed(operators):
    found = plan(chain(operators))
    alive, ends = set(), 0
    for is_birth, index, buffer in moments(found):
        assert 0 <= buffer.born <= buffer.died <= len(operators)
        if is_birth:
            alive.add(index)
        else:
            alive.remove(index)
            ends = buffer.died
    assert not alive
    assert ends == len(operators)
    assert sum(buffer.is_output for buffer in found) == 1
    assert len(found) <= len(operators)


def test_a_trace_has_the_weights_once_and_two_steps_alike():
    nodes = [node("MatMul", "x w", "a"), node("Reshape", "a", "y")]
    values = {"x": value(8, 16), "w": value(16, 32), "a": value(8, 32), "y": value(2, 4, 32)}
    found = graph(nodes, values, weights=("w",))
    trace = trace_of(found, plan(found), 8)
    assert [storage.category for storage in trace.storages] == ["parameter", "input", *["activation"] * 3]
    first, second = (trace.events[trace.marks[step] : trace.marks[step + 1]] for step in (0, 1))
    assert trace.events[: trace.marks[0]] == (0, 1, 2)  # the output is bound before the first step
    assert [event + 1 if event >= 0 else event - 1 for event in first] == list(second)
    assert [kind.flops for kind in trace.kinds] == [2 * 8 * 16 * 32, 0]
    assert not trace.kinds[1].is_view  # into an output it copies


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "flops"),
    [
        ("Gemm", ((16, 8), (16, 32), (8, 32)), {"transA": 1}, 2 * 8 * 16 * 32),
        ("com.microsoft.FusedMatMul", ((2, 3, 8, 16), (2, 3, 16, 4), (2, 3, 8, 4)), {}, 2 * 2 * 3 * 8 * 16 * 4),
        ("com.microsoft.nchwc.Conv", ((1, 8, 6, 6), (16, 8, 3, 3), (1, 16, 4, 4)), {}, 2 * 16 * 16 * 8 * 9),
        ("Add", ((4, 4), (4, 4), (4, 4)), {}, 0),
    ],
)
def test_arithmetic_of_products_and_convolutions(operator, shapes, attributes, flops):
    values = dict(zip("xwy", (value(*shape) for shape in shapes), strict=True))
    kind = operator_kind(node(operator, "x w", "y", **attributes), graph([], values))
    assert kind.flops == flops
    assert kind.bytes_read == values["x"].size + values["w"].size


def test_a_lookup_reads_what_it_writes():
    values = {"w": value(30000, 64), "x": value(8), "y": value(8, 64)}
    assert operator_kind(node("Gather", "w x", "y"), graph([], values)).bytes_read == values["y"].size
