import pytest
import torch

from sslbench.kernels.encoders import image_encoder
from sslbench.kernels.models import no_init
from sslbench.kernels.multi_crop import check_crops, synthetic_crops
from sslbench.kernels.setup import Setup

META = torch.device("meta")


def setup(model):
    return Setup(device=META, model=model, batch_size=3)


@pytest.mark.parametrize("model", ["resnet18", "vit-ti-16"])
def test_crops_of_one_size_lie_in_one_tensor(model):
    encoder = image_encoder(setup(model), image_size=64)
    check_crops(encoder, local_size=32, local_crops=4)
    crops = synthetic_crops(setup(model), encoder, local_size=32, local_crops=4)
    assert [tuple(each.shape) for each in crops] == [(6, 3, 64, 64), (12, 3, 32, 32)]
    assert [encoder(each).shape[0] for each in crops] == [6, 12]


def test_without_local_crops_there_is_one_tensor():
    encoder = image_encoder(setup("resnet18"), image_size=64)
    assert len(synthetic_crops(setup("resnet18"), encoder, local_size=96, local_crops=0)) == 1


@pytest.mark.parametrize(
    ("model", "sizes", "problem"),
    [
        ("resnet18", {"local_size": 0, "local_crops": 1}, "local_size: expected a positive integer, got 0"),
        ("vit-ti-16", {"local_size": 40, "local_crops": 1}, r"multiple of the model's patch size \(16\), got 40"),
        ("vit-ti-16", {"local_size": 32, "local_crops": -2}, "local_crops: expected a number from 0, got -2"),
    ],
)
def test_crops_that_do_not_fit_are_named(model, sizes, problem):
    with no_init():
        encoder = image_encoder(setup(model), image_size=64)
    with pytest.raises(ValueError, match=problem):
        check_crops(encoder, **sizes)


@pytest.mark.usefixtures("timm")
def test_a_transformer_of_timm_takes_crops_of_one_size():
    encoder = image_encoder(setup("timm:vit_tiny_patch16_224"), image_size=64)
    check_crops(encoder, local_size=64, local_crops=2)
    check_crops(encoder, local_size=32, local_crops=0)
    with pytest.raises(ValueError, match="local_size: this model of timm takes images of 64 px only"):
        check_crops(encoder, local_size=32, local_crops=2)
    check_crops(image_encoder(setup("timm:resnet18"), image_size=64), local_size=32, local_crops=2)
