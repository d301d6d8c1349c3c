"""Operators that only a GPU has a kernel for."""

import pytest
import torch

from sslbench.bench.trace.tracer import trace_step


def build(device):
    with device:
        layer = torch.nn.RMSNorm(16)
    x = torch.randn(4, 16, device=device)

    def step():
        layer(x).sum().backward()

    return step


@pytest.mark.parametrize(("target", "kernels"), [("cuda", 1), ("cpu", 0)])
def test_rms_normalisation_is_one_kernel_each_way_on_cuda_alone(target, kernels):
    trace = trace_step(build, target)
    names = [trace.kinds[call.kind].name for call in trace.calls]
    assert names.count("aten._fused_rms_norm.default") == kernels
    assert names.count("aten._fused_rms_norm_backward.default") == kernels
    assert ("aten.rsqrt.default" in names) == (target == "cpu")


def test_rms_normalisation_keeps_its_statistics_in_single_precision():
    trace = trace_step(build, "cuda")
    (forward,) = (kind for kind in trace.kinds if kind.name == "aten._fused_rms_norm.default")
    assert forward.bytes_written == 4 * 16 * 4 + 4 * 4
