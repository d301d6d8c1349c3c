import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sslbench.kernels.encoders import image_encoder
from sslbench.kernels.models import checkpoint_activations
from sslbench.kernels.patch_encoder import patch_encoder
from sslbench.kernels.setup import Setup
from sslbench.kernels.stochastic_depth import drop_paths, skip_samples

CPU = torch.device("cpu")
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
VIT = {"model_type": "vit", "intermediate_size": 32, "patch_size": 8, "hidden_dropout_prob": 0.0, **SIZES}
DINOV2 = {"model_type": "dinov2", "patch_size": 8, **SIZES}


@pytest.fixture(params=[VIT, DINOV2], ids=["vit", "dinov2"])
def encoder(model_folder, request):
    return patch_encoder(Setup(device=CPU, model=model_folder(request.param), batch_size=8), image_size=16)


def linear_flops(module, images):
    with FlopCounterMode(display=False) as counter:
        module(images)
    return counter.get_flop_counts()["Global"][torch.ops.aten.addmm]


def test_a_rate_of_zero_changes_nothing(encoder):
    images = torch.randn(8, 3, 16, 16)
    before = encoder(images)[0]
    skip_samples(encoder, 0.0)
    drop_paths(encoder, 0.0)
    assert torch.equal(encoder(images)[0], before)


@pytest.mark.parametrize("apply", [skip_samples, drop_paths])
def test_nothing_is_dropped_in_eval_mode(encoder, apply):
    images = torch.randn(8, 3, 16, 16)
    before = encoder(images)[0]
    apply(encoder, 0.5)
    assert not torch.allclose(encoder(images)[0], before)
    torch.testing.assert_close(encoder.eval()(images)[0], before)


def test_skipping_computes_on_the_kept_samples_only(encoder):
    images = torch.randn(8, 3, 16, 16)
    whole = linear_flops(encoder, images)
    skip_samples(encoder, 0.5)
    assert linear_flops(encoder, images) == whole / 2


def test_masking_computes_everything(encoder):
    images = torch.randn(8, 3, 16, 16)
    whole = linear_flops(encoder, images)
    drop_paths(encoder, 0.5)
    assert linear_flops(encoder, images) == whole


@pytest.mark.parametrize("apply", [skip_samples, drop_paths])
def test_a_branch_is_kept_in_the_mean(model_folder, apply):
    """One layer, whose attention adds 1: what comes in and what comes out of it, over many samples."""
    folder = model_folder(DINOV2, num_hidden_layers=2)
    network = patch_encoder(Setup(device=CPU, model=folder, batch_size=4), image_size=16).network
    apply(network, 0.25)
    layer = network.encoder.layer[1]
    for branch in (layer.attention.o_proj, layer.mlp.fc2):
        torch.nn.init.zeros_(branch.weight)
        torch.nn.init.ones_(branch.bias)
    torch.nn.init.ones_(layer.layer_scale1.lambda1)
    torch.nn.init.ones_(layer.layer_scale2.lambda1)
    added = layer(torch.zeros(4000, 1, 16))[:, 0, 0]
    assert added.mean().item() == pytest.approx(2, abs=0.1)
    kept = [value for value in added.unique().tolist() if value > 0.1]
    assert kept == pytest.approx([4 / 3, 8 / 3], abs=1e-4)


def test_recomputed_layers_drop_the_same_samples(encoder):
    skip_samples(encoder, 0.5)
    images, gradients = torch.randn(8, 3, 16, 16), []
    for recompute in (False, True):
        if recompute:
            checkpoint_activations(encoder.network)
        torch.manual_seed(1)
        encoder.zero_grad()
        encoder(images)[0].square().mean().backward()
        gradients.append(encoder.network.embeddings.cls_token.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_resnet_stays_as_it_is(tiny_resnet):
    encoder = image_encoder(Setup(device=CPU, model=tiny_resnet, batch_size=2), image_size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    before = encoder(images)
    drop_paths(encoder, 0.9)
    assert torch.equal(encoder(images), before)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_leaves_something(encoder, rate):
    for apply in (skip_samples, drop_paths):
        with pytest.raises(ValueError, match="drop_path: expected a number from 0 to below 1"):
            apply(encoder, rate)
