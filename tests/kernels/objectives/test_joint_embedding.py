"""What the objectives on views of images have in common: MoCo, BYOL, SimSiam, Barlow Twins, VICReg, SwAV."""

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.flop_counter import FlopCounterMode

from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import barlow_twins, byol, moco, simsiam, swav, vicreg
from sslbench.kernels.setup import Setup

NARROW = {"hidden_dim": 32, "projection_dim": 16}
OBJECTIVES = {
    "moco-v2": (moco, {"queue_size": 32, **NARROW}),
    "moco-v3": (moco, {"version": "v3", **NARROW}),
    "byol": (byol, NARROW),
    "simsiam": (simsiam, {"projection_dim": 16, "prediction_dim": 8}),
    "barlow-twins": (barlow_twins, NARROW),
    "vicreg": (vicreg, NARROW),
    "swav": (swav, {"prototypes": 12, "local_size": 16, "local_crops": 2, **NARROW}),
}
FORWARDS = {"moco-v2": 2, "moco-v3": 4, "byol": 4, "swav": 2 + 2 / 4}
"""Views that go through an encoder forward in a step, in images of full size; two for all others."""
WITH_TEACHER = ("moco-v2", "moco-v3", "byol")

every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture
def step(tiny_resnet, build):
    def make(name, **changes):
        objective, keywords = OBJECTIVES[name]
        return build(objective, **{"model": tiny_resnet, "batch_size": 4, "image_size": 32, **keywords, **changes})

    return make


@pytest.fixture
def training(tiny_resnet, trained):
    def make(name, **changes):
        objective, keywords = OBJECTIVES[name]
        return trained(objective, **{"model": tiny_resnet, "batch_size": 4, "image_size": 32, **keywords, **changes})

    return make


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("byol", "swav") else pytest.param(name, marks=pytest.mark.slow)
        for name in OBJECTIVES
        if name != "moco-v2"  # whose queue learns along
    ],
)
def test_loss_falls_on_one_batch(name, step):
    run = step(name, optimizer="adam", learning_rate=3e-3, weight_decay=0.0)
    losses = [run().item() for _ in range(20)]
    floor = -1.0 if name == "simsiam" else 0.0
    assert sum(losses[-3:]) / 3 - floor < 0.9 * (losses[0] - floor)


@every_objective
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16", "optimizer": "lars"},
        {"precision": "bf16", "weights": "bf16", "optimizer": "sgd"},
        {"channels_last": True, "optimizer": "sgd"},
        {"accumulation": 2},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_precisions_layouts_and_optimizers_run_finite_steps(name, changes, step):
    run = step(name, **changes)
    assert all(run().isfinite() for _ in range(2))


@every_objective
def test_a_vit_runs(name, step):
    run = step(name, model="vit-ti-16", batch_size=2)
    assert run().isfinite()


@every_objective
def test_recomputed_activations_change_neither_loss_nor_update(name, step):
    plain, recomputed = step(name, optimizer="sgd"), step(name, optimizer="sgd", activation_checkpointing=True)
    for _ in range(2):
        assert recomputed().item() == pytest.approx(plain().item(), rel=1e-4, abs=1e-4)


@every_objective
def test_what_is_trained_has_a_gradient_and_what_is_frozen_has_none(name, training):
    built = training(name)
    built.loss(*built.inputs).backward()
    for parameter_name, parameter in built.network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name


@every_objective
def test_the_teacher_has_no_optimizer_state_and_follows(name, training):
    built = training(name, momentum=0.5) if name in WITH_TEACHER else training(name)
    frozen = {key: p.clone() for key, p in built.network.named_parameters() if not p.requires_grad}
    assert bool(frozen) == (name in WITH_TEACHER)
    states = _run_with_states(built)
    assert not any(parameter is state for parameter in _frozen(built) for state in states)
    after = dict(built.network.named_parameters())
    for key, before in frozen.items():
        student = _student_of(key, after)
        if not torch.equal(student, before):  # gradients of some scales are zero
            torch.testing.assert_close(after[key], (before + student) / 2)


@every_objective
def test_the_views_of_a_step(name, step, infer, tiny_resnet):
    with FlopCounterMode(display=False) as counted:
        step(name)()
    objective, _ = OBJECTIVES[name]
    module, inputs = infer(objective, model=tiny_resnet, batch_size=4, image_size=32)
    with FlopCounterMode(display=False) as one, torch.inference_mode():
        module(*inputs)
    forward = counted.get_flop_counts()["Global"][torch.ops.aten.convolution]
    assert forward == FORWARDS.get(name, 2) * one.get_flop_counts()["Global"][torch.ops.aten.convolution]


@every_objective
def test_inference_gives_the_encoders_features(name, infer, tiny_resnet):
    module, inputs = infer(OBJECTIVES[name][0], model=tiny_resnet, batch_size=3, image_size=32)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(3, 3, 32, 32)]
    assert module(*inputs).shape == (3, 16)


@pytest.mark.parametrize(
    ("name", "rate", "decay"),
    [
        ("moco-v2", 0.03, 1e-4),
        ("moco-v3", 0.3, 1e-6),
        ("byol", 0.2, 1.5e-6),
        ("simsiam", 0.05, 1e-4),
        ("barlow-twins", 0.2, 1e-6),
        ("vicreg", 0.2, 1e-6),
        ("swav", 0.3, 1e-6),
    ],
)
def test_learning_rate_and_decay_are_the_papers(name, rate, decay, training):
    built = training(name, accumulation=2)
    assert built.learning_rate == pytest.approx(rate * 8 / 256)
    assert built.weight_decay == decay


@every_objective
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 1}, "batch_size: .* at least 2 images in a forward pass, got 1"),
        ({"projection_dim": 0}, "expected positive integers|expected a number above 0"),
        ({"model": "bert-mini"}, "type 'bert' is no image encoder"),
        ({"model": "vit-ti-16", "image_size": 40}, r"image_size: expected a multiple .* \(16\), got 40"),
    ],
    ids=str,
)
def test_wrong_use_is_named(name, changes, problem, step):
    with pytest.raises(ValueError, match=problem):
        step(name, **changes)


def _frozen(built):
    return [parameter for parameter in built.network.parameters() if not parameter.requires_grad]


def _student_of(key, parameters):
    part, _, rest = key.partition(".")
    return parameters[f"{ {'key_encoder': 'query_encoder', 'target': 'online'}[part] }.{rest}"]


def _run_with_states(built):
    """One step; the parameters that the optimizer then keeps a state of."""
    seen = {}

    def note(optimizer, *_):
        seen.update(optimizer.state)

    hook = register_optimizer_step_post_hook(note)
    try:
        assemble(built, Setup(device=torch.device("cpu"), model="", batch_size=4, learning_rate=0.1))()
    finally:
        hook.remove()
    assert seen
    return list(seen)
