import copy
import resource
from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.events import BACKWARD, FORWARD, OPTIMIZER, Trace
from sslbench.bench.trace.tracer import trace_step


def mlp(device, *, batch_size=8, optimizer=torch.optim.AdamW, precision=None, teacher=False):
    model = nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Dropout(0.1), nn.Linear(1024, 256)).to(device)
    copied = copy.deepcopy(model) if teacher else None
    update = optimizer(model.parameters(), lr=1e-3)
    x = torch.randn(batch_size, 256, device=device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    def step():
        with torch.autocast(device.type, dtype=precision or torch.bfloat16, enabled=precision is not None):
            loss = functional.mse_loss(model(x), x)
        scaler.scale(loss).backward()
        scaler.step(update)
        scaler.update()
        update.zero_grad(set_to_none=True)
        if copied is not None:
            with torch.no_grad():
                for slow, fast in zip(copied.parameters(), model.parameters(), strict=True):
                    slow.lerp_(fast, 0.01)
        return loss

    return step


PARAMETERS = 256 * 1024 + 1024 + 1024 * 256 + 256


def bytes_by_category(trace):
    sizes = Counter()
    for storage in trace.storages:
        sizes[storage.category] += storage.size
    return sizes


def names(trace, phase=None):
    return [trace.kinds[call.kind].name for call in trace.calls if phase in (None, call.phase)]


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_categories_hold_what_their_names_say(target):
    trace = trace_step(mlp, target)
    sizes = bytes_by_category(trace)
    assert trace.parameters == PARAMETERS
    assert sizes["parameter"] == 4 * PARAMETERS
    counters = 4 * 4 if target == "cpu" else 0  # AdamW counts the steps of each parameter on the host
    assert sizes["optimizer state"] == 2 * 4 * PARAMETERS + counters
    assert sizes["gradient"] == 2 * 4 * PARAMETERS  # of two steps
    assert sizes["input"] == 4 * 8 * 256


def test_a_teacher_that_the_step_moves_is_a_buffer():
    sizes = bytes_by_category(trace_step(mlp, teacher=True))
    assert sizes["buffer"] == sizes["parameter"] == 4 * PARAMETERS


def test_cuda_dropout_keeps_one_byte_an_element():
    masks = [storage for storage in trace_step(mlp).storages if storage.operator == "aten.native_dropout.default"]
    assert {storage.size for storage in masks} == {8 * 1024 * 4, 8 * 1024}


def test_phases_are_told_apart():
    trace = trace_step(mlp)
    assert "aten.native_dropout.default" in names(trace, FORWARD)
    assert "aten.gelu_backward.default" in names(trace, BACKWARD)
    assert "aten._foreach_addcdiv_.ScalarList" in names(trace, OPTIMIZER)


def test_modules_are_named_by_their_path():
    trace = trace_step(mlp)
    by_module = {trace.modules[call.module] for call in trace.calls if call.phase == FORWARD}
    assert {"Sequential.0", "Sequential.1", "Sequential.2", "Sequential.3"} <= by_module


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_computes_products_in_half_and_the_loss_in_fp32(precision):
    trace = trace_step(mlp, precision=precision)
    kinds = [trace.kinds[call.kind] for call in trace.calls]
    half = str(precision).removeprefix("torch.")
    assert {kind.inputs[0][0] for kind in kinds if kind.name == "aten.addmm.default"} == {half}
    assert {kind.inputs[0][0] for kind in kinds if kind.name == "aten.mse_loss.default"} == {"float32"}
    assert "aten._foreach_addcdiv_.ScalarList" in names(trace, OPTIMIZER)  # the scaler does not skip the update


def test_flops_are_those_of_torchs_counter():
    step = mlp(torch.device("cpu"))
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    trace = trace_step(mlp)
    assert sum(trace.kinds[call.kind].flops for call in trace.calls) == counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4, 64])
def test_a_convolutions_gradients_take_as_many_flops_as_its_forward_pass(groups):
    def build(device):
        layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False).to(device)
        x = torch.randn(2, 64, 16, 16, device=device, requires_grad=True)
        return lambda: layer(x).sum().backward()

    flops = Counter()
    trace = trace_step(build)
    for call in trace.calls:
        flops[trace.kinds[call.kind].name] += trace.kinds[call.kind].flops
    forward = 2 * 2 * 64 * 16 * 16 * (64 // groups) * 9
    assert flops["aten.convolution.default"] == forward
    assert flops["aten.convolution_backward.default"] == 2 * forward


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_layout_of_images_is_known(layout):
    def build(device):
        layer = nn.Conv2d(8, 8, 3).to(device).to(memory_format=layout)
        x = torch.randn(2, 8, 16, 16, device=device).contiguous(memory_format=layout)
        return lambda: layer(x)

    trace = trace_step(build)
    (convolution,) = [kind for kind in trace.kinds if kind.name == "aten.convolution.default"]
    assert convolution.channels_last == (layout == torch.channels_last)


def attention(device, *, batch_size=2, dtype=torch.float16, masked=False):
    query = torch.randn(batch_size, 4, 128, 64, device=device, dtype=dtype, requires_grad=True)
    mask = torch.ones(128, 128, dtype=torch.bool, device=device) if masked else None
    return lambda: functional.scaled_dot_product_attention(query, query, query, attn_mask=mask).sum().backward()


@pytest.mark.parametrize(
    ("capability", "parameters", "kernel"),
    [
        ((8, 0), {}, "_scaled_dot_product_flash_attention"),
        ((7, 5), {}, "_scaled_dot_product_efficient_attention"),
        ((8, 0), {"masked": True}, "_scaled_dot_product_efficient_attention"),
        ((8, 0), {"dtype": torch.float32}, "_scaled_dot_product_efficient_attention"),
        ((8, 0), {"dtype": torch.float64}, "bmm"),
    ],
)
def test_the_attention_kernel_is_what_the_gpu_would_take(capability, parameters, kernel):
    trace = trace_step(attention, capability=capability, **parameters)
    assert f"aten.{kernel}.default" in names(trace, FORWARD)


@pytest.mark.parametrize(("capability", "size"), [((8, 0), 8_519_680), ((9, 0), 32 << 20)])
def test_cublas_takes_a_workspace_for_each_thread(capability, size):
    trace = trace_step(mlp, capability=capability)
    assert [storage.size for storage in trace.storages if storage.operator == "library workspace"] == [size, size]


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_a_model_larger_than_this_host_takes_no_memory(target):
    def build(device):
        model = nn.Linear(1 << 18, 1 << 18, bias=False).to(device)  # 256 GiB in fp32, made on the host first
        return lambda: model(torch.ones(1, 1 << 18, device=device))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trace = trace_step(build, target)
    assert bytes_by_category(trace)["parameter"] == 1 << 38
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024  # KiB


def test_inference_keeps_no_activations():
    def build(device):
        model = nn.Sequential(*(nn.Linear(512, 512) for _ in range(8))).to(device)
        x = torch.ones(64, 512, device=device)

        @torch.inference_mode()
        def step():
            return model(x)

        return step

    trace = trace_step(build)
    alive, most = 0, 0
    for event in trace.events[trace.marks[0] :]:
        storage = trace.storages[event if event >= 0 else ~event]
        if storage.operator == "aten.addmm.default":
            alive += storage.size if event >= 0 else -storage.size
            most = max(most, alive)
    assert most == 2 * 64 * 512 * 4


def test_torch_is_left_as_it_was():
    watched = (torch.cuda.is_available, torch.set_autocast_enabled, torch._C._InferenceMode)
    trace_step(mlp, precision=torch.float16)
    assert watched == (torch.cuda.is_available, torch.set_autocast_enabled, torch._C._InferenceMode)
    meta = torch.ones(4, device="meta", requires_grad=True)
    assert functional.dropout(meta, 0.5).device.type == "meta"
    torch.manual_seed(0)
    assert nn.Linear(8, 8).weight.std() > 0


def test_the_trace_survives_json():
    trace = trace_step(mlp)
    assert Trace.from_json(trace.to_json()) == trace


def test_the_same_step_gives_the_same_trace():
    assert trace_step(mlp) == trace_step(mlp)


def test_a_failing_step_names_its_line():
    def build(device):
        def step():
            raise ArithmeticError("no such\nnumber")

        return step

    with pytest.raises(TraceError, match=r"test_tracer.py:\d+: .*: ArithmeticError: no such number$"):
        trace_step(build)


def test_a_factory_has_to_return_a_step():
    with pytest.raises(TraceError, match="returned int, expected the step"):
        trace_step(lambda device: 3)
