import sys

import pytest
import torch

from sslbench.kernels.encoders import image_encoder
from sslbench.kernels.model_tables import model_table
from sslbench.kernels.models import import_model, no_init
from sslbench.kernels.objectives import finetune, linear_probe, simclr
from sslbench.kernels.setup import Setup

META = torch.device("meta")
pytestmark = pytest.mark.usefixtures("timm")


def setup(name, **changes):
    return Setup(**{"device": META, "model": f"timm:{name}", "batch_size": 2, **changes})


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("resnet18", 512),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 192),
        ("mobilenetv3_small_050", 1024),  # a layer stands between its last convolution and the classifier
        ("swin_tiny_patch4_window7_224", 768),
    ],
)
def test_features_are_those_before_the_classifier(name, features):
    encoder = image_encoder(setup(name), image_size=224)
    assert encoder.features == features
    assert encoder(torch.randn(2, 3, 224, 224, device=META)).shape == (2, features)


def test_a_model_of_one_size_is_made_for_the_images():
    encoder = image_encoder(setup("vit_tiny_patch16_224"), image_size=64)
    assert encoder.network.pos_embed.shape == (1, 17, 192)


def test_the_classifier_is_timms_own(timm):
    network = finetune.train(setup("deit_tiny_distilled_patch16_224"), image_size=224, classes=7).network
    reference = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7)
    assert [p.shape for p in network.parameters()] == [p.shape for p in reference.parameters()]
    assert len(network.heads) == 2


@pytest.mark.parametrize(("attention", "fused"), [("sdpa", True), ("eager", False)])
def test_attention_is_the_one_asked_for_and_the_default_stays(timm, attention, fused):
    before = timm.layers.config._USE_FUSED_ATTN
    network = image_encoder(setup("vit_tiny_patch16_224", attention=attention), image_size=32).network
    assert network.blocks[0].attn.fused_attn is fused
    assert before == timm.layers.config._USE_FUSED_ATTN


def test_activations_are_recomputed_where_the_model_can():
    assert image_encoder(setup("resnet18", activation_checkpointing=True), image_size=32).network.grad_checkpointing
    with pytest.raises(ValueError, match="timm:dla34 does not support activation checkpointing"):
        image_encoder(setup("dla34", activation_checkpointing=True), image_size=32)


@pytest.mark.parametrize(
    ("objective", "own"), [(finetune, {"classes": 5}), (linear_probe, {"classes": 5}), (simclr, {})]
)
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_objectives_on_images_take_it(build, objective, own, name):
    run = build(objective, model=f"timm:{name}", batch_size=2, image_size=32, **own)
    assert all(run().isfinite() for _ in range(2))


def test_weights_are_random_unless_skipped():
    def made():
        return image_encoder(setup("resnet18", device=torch.device("cpu")), image_size=32).network

    assert made().layer1[0].conv1.weight.std() > 0.01
    before = torch.get_rng_state()
    with no_init():
        made()
    assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("resnet51", r"timm [\d.]+ has no model 'resnet51': did you mean timm:resnet51q\?"),
        ("", r"timm [\d.]+ has no model ''"),
        ("resnet18.nobody", r"model timm:resnet18.nobody: Invalid pretrained tag \(nobody\) for resnet18"),
    ],
)
def test_a_model_that_timm_does_not_have_is_named(name, problem):
    with pytest.raises(ValueError, match=problem) as raised:
        import_model(f"timm:{name}")
    assert "\n" not in str(raised.value)


def test_an_image_that_the_patches_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"image_size: expected a multiple of the model's patch size \(16\), got 100"):
        image_encoder(setup("vit_tiny_patch16_224"), image_size=100)


def test_what_timm_cannot_make_is_one_line():
    with pytest.raises(ValueError, match="timm cannot make maxvit_tiny_tf_224 for image_size 16: ") as raised:
        image_encoder(setup("maxvit_tiny_tf_224"), image_size=16)
    assert "\n" not in str(raised.value)


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm:resnet18 needs timm and torchvision .*pip install 'sslbench\[timm\]'"):
        import_model("timm:resnet18")


def test_text_objectives_refuse_it():
    with pytest.raises(ValueError, match=r"'timm:resnet18': a model of timm has no config\.json, and encodes images"):
        model_table("timm:resnet18")
