from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertForSequenceClassification, ResNetForImageClassification, ViTForImageClassification

from sslbench.kernels.models import model_config
from sslbench.kernels.objective import assemble
from sslbench.kernels.objectives import finetune
from sslbench.kernels.setup import Setup

TINY_GPT2 = {"model_type": "gpt2", "vocab_size": 90, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24}
TINY_VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TINY_ROBERTA = {
    "model_type": "roberta",
    "vocab_size": 90,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "pad_token_id": 1,
}


@pytest.fixture
def text(tiny_bert, trained):
    return partial(trained, finetune, model=tiny_bert, batch_size=4, seq_len=12, classes=3)


@pytest.fixture
def step(tiny_bert, build):
    return partial(build, finetune, model=tiny_bert, batch_size=4, seq_len=12, classes=3)


@pytest.fixture
def image_step(tiny_resnet, build):
    return partial(build, finetune, model=tiny_resnet, batch_size=4, image_size=32, classes=3)


@settings(max_examples=25)
@given(samples=st.integers(1, 5), classes=st.integers(2, 7), smoothing=st.floats(0, 0.9), seed=st.integers(0, 2**31))
def test_value_and_gradient_match_the_naive_sum(samples, classes, smoothing, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, classes, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(classes, (samples,), generator=generator)
    copy = logits.detach().clone().requires_grad_()
    expected = torch.zeros((), dtype=torch.float64)
    for row, label in zip(copy, labels.tolist(), strict=True):
        shares = [smoothing / classes + (1 - smoothing) * (k == label) for k in range(classes)]
        total = row.exp().sum()
        expected = expected - sum(share * (row[k].exp() / total).log() for k, share in enumerate(shares)) / samples
    expected.backward()
    loss = finetune.loss_of(logits, labels, smoothing)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits.grad, copy.grad)


def test_the_loss_is_that_of_transformers_for_text(text):
    training = text()
    network, (tokens, labels) = training.network.eval(), training.inputs
    theirs = training.network.network(input_ids=tokens, labels=labels)
    assert isinstance(training.network.network, BertForSequenceClassification)
    torch.testing.assert_close(training.loss(tokens, labels), theirs.loss)
    torch.testing.assert_close(network(tokens), theirs.logits)


@pytest.mark.parametrize(
    ("base", "theirs"), [(TINY_VIT, ViTForImageClassification), ("tiny_resnet", ResNetForImageClassification)]
)
def test_images_are_classified_as_by_transformers(base, theirs, trained, model_folder, request):
    model = request.getfixturevalue(base) if isinstance(base, str) else model_folder(base)
    ours = trained(finetune, model=model, batch_size=2, image_size=32, classes=5).network
    config = model_config(model)
    config.num_labels, config.image_size = 5, 32
    reference = theirs(config)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in reference.parameters()]
    for mine, other in zip(ours.parameters(), reference.parameters(), strict=True):
        other.data.copy_(mine.data)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images).logits)


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}])
def test_loss_falls_on_one_batch(step, changes):
    run = step(learning_rate=3e-3, **changes)
    losses = [run().item() for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("base", [TINY_GPT2, TINY_VIT, TINY_ROBERTA, "tiny_bert", "tiny_resnet"])
def test_every_parameter_is_trained(trained, model_folder, request, base):
    model = request.getfixturevalue(base) if isinstance(base, str) else model_folder(base)
    image = model_config(model).model_type in ("vit", "resnet")
    size = {"image_size": 32} if image else {"seq_len": 8}
    training = trained(finetune, model=model, batch_size=3, classes=4, **size)
    training.loss(*training.inputs).backward()
    assert [name for name, parameter in training.network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"activation_checkpointing": True},
        {"smoothing": 0.1},
        {"accumulation": 2},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


@pytest.mark.parametrize(
    "changes", [{"channels_last": True}, {"optimizer": "lars"}, {"activation_checkpointing": True}]
)
def test_images_run_in_every_variant(image_step, changes):
    run = image_step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_inference_gives_logits(infer, tiny_bert, tiny_resnet):
    module, inputs = infer(finetune, model=tiny_bert, batch_size=2, seq_len=8, classes=3, smoothing=0.1)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(2, 8)]
    assert module(*inputs).shape == (2, 3)
    module, inputs = infer(finetune, model=tiny_resnet, batch_size=2, image_size=32, classes=3)
    assert module(*inputs).shape == (2, 3)


def test_the_default_learning_rate_is_that_of_the_modality(trained, tiny_bert, tiny_resnet):
    image = trained(finetune, model=tiny_resnet, batch_size=8, image_size=32, accumulation=4)
    assert (image.learning_rate, image.weight_decay) == (0.05 * 32 / 256, 0.0)
    text = trained(finetune, model=tiny_bert, batch_size=8, seq_len=8)
    assert (text.learning_rate, text.weight_decay) == (2e-5, 0.01)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seq_len": None}, r"seq_len is missing: .* is a model for text"),
        ({"image_size": 32}, r"image_size: .* is a model for text, and takes seq_len"),
        ({"seq_len": 25}, r"seq_len: .* has 24 positions, got 25"),
        ({"model": "resnet18"}, "image_size is missing: resnet18 is a model for images"),
        ({"classes": 1}, "classes: expected at least 2, got 1"),
        ({"smoothing": 1.0}, "smoothing: expected a number from 0 to below 1, got 1.0"),
        ({"model": "clip-vit-b-32"}, "type 'clip' is no encoder of images, text or sound alone"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)


def test_a_step_is_the_trainings(text):
    training = text()
    step = assemble(training, Setup(device=torch.device("cpu"), model="any", batch_size=4))
    before = [parameter.clone() for parameter in training.network.parameters()]
    assert step().isfinite()
    assert all((old != new).any() for old, new in zip(before, training.network.parameters(), strict=True))
