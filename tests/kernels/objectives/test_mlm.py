from functools import partial

import pytest
import torch

from sslbench.kernels.models import constructing, masked_lm, model_config
from sslbench.kernels.objectives import mlm
from sslbench.kernels.token_masking import IGNORED, mask_tokens

CPU = torch.device("cpu")
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 120}
TYPES = {
    "bert": TINY,
    "roberta": {**TINY, "pad_token_id": 1, "max_position_embeddings": 26, "type_vocab_size": 1},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "vocab_size": 120},
    "electra": {**TINY, "embedding_size": 16},
    "modernbert": {**TINY, "num_hidden_layers": 4, "pad_token_id": 0, "local_attention": 8},
}


@pytest.fixture
def step(tiny_bert, build):
    return partial(build, mlm, model=tiny_bert, batch_size=4, seq_len=20)


@pytest.fixture
def inference(tiny_bert, infer):
    return partial(infer, mlm, model=tiny_bert)


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


def loss_and_gradients(training, seed):
    training.network.eval().zero_grad()  # without dropout
    torch.manual_seed(seed)
    loss = training.loss(*training.inputs)
    loss.backward()
    return loss, [parameter.grad for parameter in training.network.parameters()]


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("options", [{}, {"padding": True, "whole_word": True}])
def test_decoding_the_selected_tokens_alone_changes_neither_loss_nor_gradients(
    model_folder, trained, model_type, options
):
    model = model_folder({"model_type": model_type, **TYPES[model_type]})
    every, selected = (
        loss_and_gradients(trained(mlm, model=model, batch_size=3, seq_len=20, masked_logits_only=only, **options), 1)
        for only in (False, True)
    )
    torch.testing.assert_close(selected[0], every[0])
    for one, other in zip(selected[1], every[1], strict=True):
        assert one is not None  # no parameter is idle
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("only", "decoded"), [(False, 20), (True, 3)])
def test_the_head_sees_the_tokens_that_it_should(tiny_bert, trained, only, decoded):
    training = trained(mlm, model=tiny_bert, batch_size=4, seq_len=20, masked_logits_only=only, nsp=True)
    shapes = []
    decoder = training.network.get_output_embeddings()
    decoder.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    training.loss(*training.inputs)
    training.loss(*training.inputs)
    assert shapes == [(4, decoded, 120)] * 2
    training.network(input_ids=training.inputs[0])  # and all of them again afterwards
    assert shapes[-1] == (4, 20, 120)


def test_next_sentence_adds_its_cross_entropy(tiny_bert, trained):
    training = trained(mlm, model=tiny_bert, batch_size=4, seq_len=20, nsp=True)
    tokens, segments, follows = training.inputs
    assert follows.tolist() == [0, 1, 0, 1]
    assert (segments.diff(dim=1) >= 0).all()
    assert (segments[:, 0] == 0).all()
    assert (segments[:, -1] == 1).all()
    loss, gradients = loss_and_gradients(training, 1)
    assert all(gradient is not None for gradient in gradients)
    torch.manual_seed(1)
    inputs, labels = mask_tokens(tokens, mask_ratio=0.15, vocab_size=120)
    output = training.network(input_ids=inputs, token_type_ids=segments)
    words = output.prediction_logits.double().log_softmax(-1)
    sentences = output.seq_relationship_logits.double().log_softmax(-1)
    places = (labels != IGNORED).nonzero().tolist()
    naive = -sum(words[b, i, labels[b, i]] for b, i in places) / len(places)
    naive = naive - sum(sentences[b, follows[b]] for b in range(4)) / 4
    assert loss.item() == pytest.approx(naive.item(), rel=1e-5)


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
        {"activation_checkpointing": True, "masked_logits_only": True},
        {"whole_word": True},
        {"whole_word": True, "padding": True, "masked_logits_only": True, "nsp": True, "precision": "bf16"},
        {"masked_logits_only": True, "precision": "fp16"},
        {"nsp": True, "weights": "bf16", "precision": "bf16"},
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
        ({"model": "roberta-base", "nsp": True}, "nsp: a model of type 'roberta' has no next-sentence head: use a"),
        ({"model": "gpt2-small"}, "type 'gpt2' has no masked-LM head"),
        ({"optimizer": "lion"}, "no optimizer 'lion'"),
        ({"weights": "bf16"}, "set the precision to bf16, not fp32"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
