"""What cuDNN's convolutions take beside their tensors."""

from sslbench.bench.predict.workspace import CUDNN_WORKSPACE_BYTES, workspace_bytes
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe


def workspace(name, target, **changes):
    return workspace_bytes(trace_recipe(resolve_recipe(name, changes), target, (8, 0)))


def test_the_workspace_grows_with_the_convolution_up_to_its_bound():
    small = workspace("simclr-resnet18", "cuda", batch_size=2, image_size=32)
    assert 0 < small < CUDNN_WORKSPACE_BYTES
    assert workspace("simclr-resnet18", "cuda", batch_size=256, image_size=128) == CUDNN_WORKSPACE_BYTES


def test_no_convolution_or_no_gpu_no_workspace():
    assert workspace("bert-mini-mlm", "cuda") == 0
    assert workspace("simclr-resnet18", "cpu") == 0
