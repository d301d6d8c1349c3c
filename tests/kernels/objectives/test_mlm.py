from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.models import constructing, masked_lm, model_config
from sslbench.kernels.objectives import mlm
from sslbench.kernels.objectives.mlm import IGNORED, MASK_TOKEN, mask_tokens

CPU = torch.device("cpu")
VOCABULARY = 30522


@pytest.fixture
def step(tiny_bert, build):
    return partial(build, mlm, model=tiny_bert, batch_size=4, seq_len=20)


@pytest.fixture
def inference(tiny_bert, infer):
    return partial(infer, mlm, model=tiny_bert)


def test_selection_is_15_percent_and_its_fate_80_10_10():
    tokens = torch.randint(1000, VOCABULARY, (200, 500))
    inputs, labels = mask_tokens(tokens, mask_ratio=0.15, vocab_size=VOCABULARY)
    selected = labels != IGNORED
    assert torch.equal(selected.sum(dim=1), torch.full((200,), 75))
    assert torch.equal(labels[selected], tokens[selected])
    assert torch.equal(inputs[~selected], tokens[~selected])
    count = selected.sum().item()
    masked = (inputs[selected] == MASK_TOKEN).sum().item() / count
    kept = (inputs[selected] == tokens[selected]).sum().item() / count
    # 15,000 draws: a standard deviation is at most 0.0033
    assert masked == pytest.approx(0.8, abs=0.015)
    assert kept == pytest.approx(0.1, abs=0.015)
    assert 1 - masked - kept == pytest.approx(0.1, abs=0.015)


def test_every_place_is_selected_alike():
    tokens = torch.randint(1, VOCABULARY, (4000, 40))
    _, labels = mask_tokens(tokens, mask_ratio=0.15, vocab_size=VOCABULARY)
    share = (labels != IGNORED).float().mean(dim=0)
    assert share.min() > 0.12
    assert share.max() < 0.18


def test_the_selection_is_fresh_every_time():
    tokens = torch.randint(1, VOCABULARY, (4, 64))
    first, second = (mask_tokens(tokens, mask_ratio=0.15, vocab_size=VOCABULARY)[1] for _ in range(2))
    assert not torch.equal(first, second)


@settings(deadline=None)
@given(length=st.integers(1, 200), ratio=st.floats(0.001, 0.999), vocabulary=st.integers(2, 300))
def test_at_least_one_token_and_about_the_ratio_is_selected(length, ratio, vocabulary):
    tokens = torch.randint(1, vocabulary, (3, length))
    inputs, labels = mask_tokens(tokens, mask_ratio=ratio, vocab_size=vocabulary)
    counts = (labels != IGNORED).sum(dim=1)
    assert torch.equal(counts, torch.full((3,), max(1, round(ratio * length))))
    assert inputs.min() >= 0
    assert inputs.max() < vocabulary


def test_padding_is_never_selected():
    tokens = torch.randint(1, VOCABULARY, (50, 30))
    attention_mask = (torch.arange(30) < 20).long().expand(50, 30)
    inputs, labels = mask_tokens(tokens, mask_ratio=0.5, vocab_size=VOCABULARY, attention_mask_BL=attention_mask)
    assert (labels[:, 20:] == IGNORED).all()
    assert torch.equal(inputs[:, 20:], tokens[:, 20:])


def test_the_models_loss_is_cross_entropy_over_the_selected_tokens(tiny_bert):
    config = model_config(tiny_bert)
    with constructing(CPU):
        network = masked_lm(config, attention="sdpa").eval()
    tokens = torch.randint(1, config.vocab_size, (3, 20))
    inputs, labels = mask_tokens(tokens, mask_ratio=0.15, vocab_size=config.vocab_size)
    output = network(input_ids=inputs, labels=labels)
    places = [(b, i) for b in range(3) for i in range(20) if labels[b, i] != IGNORED]
    naive = -sum(output.logits[b, i].double().log_softmax(0)[labels[b, i]] for b, i in places) / len(places)
    assert output.loss.item() == pytest.approx(naive.item(), rel=1e-5)


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=3e-3, batch_size=2, seq_len=12)
    losses = [run().item() for _ in range(200)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"padding": True},
        {"padding": True, "attention": "eager"},
        {"optimizer": "adamw-fused"},
        {"optimizer": "adamw-fused", "precision": "fp16"},
        {"activation_checkpointing": True},
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


def test_sdpa_and_eager_attention_agree(inference):
    outputs = []
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        module, inputs = inference(batch_size=4, seq_len=16, attention=attention, padding=True)
        outputs.append(module(*inputs)[inputs[1].bool()])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_inference_gives_logits(inference, step):
    module, inputs = inference(batch_size=2, seq_len=8)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(2, 8)]
    assert module(*inputs).shape == (2, 8, 120)
    padded, with_mask = inference(batch_size=3, seq_len=8, padding=True)
    assert with_mask[1].sum(dim=1).tolist() == [4, 6, 8]
    assert padded(*with_mask).shape == (3, 8, 120)
    assert step(stage="infer", batch_size=1, seq_len=1)().shape == (1, 1, 120)


def test_sequences_as_long_as_the_model_allows(step, model_folder):
    assert step(seq_len=24)().isfinite()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    folder = model_folder(
        {"model_type": "roberta", "vocab_size": 50, "max_position_embeddings": 10, "pad_token_id": 1, **sizes}
    )
    assert step(model=folder, seq_len=8)().isfinite()
    with pytest.raises(ValueError, match=r"seq_len: .* has 8 positions, got 9"):
        step(model=folder, seq_len=9)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seq_len": 25}, r"seq_len: .* has 24 positions, got 25"),
        ({"mask_ratio": 0.0}, "mask_ratio: expected a number between 0 and 1, got 0.0"),
        ({"mask_ratio": 1.0}, "mask_ratio: expected a number between 0 and 1, got 1.0"),
        ({"model": "resnet18"}, "type 'resnet' has no masked-LM head"),
        ({"optimizer": "lion"}, "no optimizer 'lion'"),
        ({"weights": "bf16"}, "set the precision to bf16, not fp32"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
