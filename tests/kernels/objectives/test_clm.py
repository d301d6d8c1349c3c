from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import clm

TYPES = {
    "gpt2": {
        "vocab_size": 90,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 24,
        "bos_token_id": 1,
        "eos_token_id": 1,
    },
    "llama": {
        "vocab_size": 90,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 24,
    },
    "gpt_neox": {
        "vocab_size": 90,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 24,
        "bos_token_id": 1,
        "eos_token_id": 1,
    },
}


@pytest.fixture
def tiny(model_folder):
    """A folder with a small model of a type."""
    folders = {name: model_folder({"model_type": name, **table}) for name, table in TYPES.items()}
    return folders.__getitem__


@pytest.fixture
def step(tiny, build):
    return partial(build, clm, model=tiny("llama"), batch_size=3, seq_len=16)


@pytest.fixture
def inference(tiny, infer):
    return partial(infer, clm, model=tiny("llama"))


def naive(logits, tokens):
    """The mean over all tokens but the first of -log p(token | those before), in float64."""
    batch, length = tokens.shape
    total = 0.0
    for b in range(batch):
        for i in range(1, length):
            scores = logits[b, i - 1].double()
            total = total - scores[tokens[b, i]] + scores.exp().sum().log()
    return total / (batch * (length - 1))


@pytest.mark.parametrize("model_type", TYPES)
def test_value_and_gradient_match_the_naive_loops(tiny, trained, model_type):
    training = trained(clm, model=tiny(model_type), batch_size=3, seq_len=20)
    network, (tokens,) = training.network.eval(), training.inputs
    loss = training.loss(tokens)
    loss.backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    expected = naive(network(input_ids=tokens, use_cache=False).logits, tokens)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for found, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-6)


@settings(max_examples=30)
@given(
    batch=st.integers(1, 4),
    length=st.integers(2, 9),
    words=st.integers(2, 12),
    scale=st.floats(0.1, 30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_the_loss_on_given_logits_is_the_naive_one_in_every_type(batch, length, words, scale, dtype):
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits = (scale * torch.randn(batch, length, words)).to(dtype).requires_grad_()
    copy = logits.detach().clone().requires_grad_()
    tokens = torch.randint(words, (batch, length))
    loss, expected = ForCausalLMLoss(logits, tokens, words), naive(copy, tokens)
    assert loss.dtype == torch.float32
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits.grad, copy.grad, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("model_type", TYPES)
def test_a_token_is_predicted_from_those_before_it_alone(tiny, infer, model_type):
    module, (tokens,) = infer(clm, model=tiny(model_type), batch_size=2, seq_len=12)
    changed = tokens.clone()
    changed[:, 7:] = 1 + changed[:, 7:] % 80
    before, after = module(tokens), module(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_loss_falls_on_one_batch(step):
    run = step(learning_rate=1e-2)
    losses = [run().item() for _ in range(25)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"precision": "tf32"},
        {"precision": "bf16", "weights": "bf16"},
        {"attention": "eager"},
        {"optimizer": "adamw-fused"},
        {"accumulation": 2},
        {"new_tokens": 3},  # an option of inference, which a recipe may hold
    ],
)
def test_every_variant_runs_finite_steps(step, changes):
    run = step(**changes)
    assert all(run().isfinite() for _ in range(2))


@pytest.mark.parametrize("model_type", TYPES)
def test_recomputed_activations_change_neither_loss_nor_update(step, tiny, model_type):
    plain, recomputed = (
        step(model=tiny(model_type), optimizer="sgd", activation_checkpointing=recompute) for recompute in (False, True)
    )
    for _ in range(2):
        torch.manual_seed(1)
        expected = plain().item()
        torch.manual_seed(1)
        assert recomputed().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", TYPES)
def test_what_is_written_with_a_cache_is_what_would_be_without(tiny, infer, model_type, attention):
    torch.manual_seed(0)
    module, (prompt,) = infer(clm, model=tiny(model_type), batch_size=2, seq_len=10, new_tokens=6, attention=attention)
    with torch.inference_mode():
        written = module(prompt)
        text = prompt
        for _ in range(6):
            logits = module.network(input_ids=text, use_cache=False).logits
            text = torch.cat([text, logits[:, -1:].argmax(-1)], dim=1)
        generated = module.network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=6,
            min_new_tokens=6,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=-1,
        )
    assert torch.equal(written, text[:, 10:])
    assert torch.equal(written, generated[:, 10:])


def test_after_the_prompt_one_token_a_pass_is_read_and_one_decoded(inference):
    module, (prompt,) = inference(batch_size=2, seq_len=10, new_tokens=4)
    read, decoded = [], []
    module.network.get_input_embeddings().register_forward_hook(lambda _, ids, __: read.append(ids[0].shape[1]))
    module.network.get_output_embeddings().register_forward_hook(lambda _, __, out: decoded.append(out.shape[1]))
    assert module(prompt).shape == (2, 4)
    assert read == [10, 1, 1, 1]
    assert decoded == [1, 1, 1, 1]


def test_inference_gives_the_logits_of_the_prompt(inference, step):
    module, inputs = inference(batch_size=2, seq_len=8)
    assert not module.training
    assert [tuple(tensor.shape) for tensor in inputs] == [(2, 8)]
    assert module(*inputs).shape == (2, 8, 90)
    assert step(stage="infer", batch_size=1, seq_len=1)().shape == (1, 1, 90)
    assert step(stage="infer", new_tokens=2, precision="bf16")().shape == (3, 2)


def test_prompt_and_answer_are_as_long_as_the_model_allows(inference):
    module, inputs = inference(batch_size=1, seq_len=20, new_tokens=5)
    assert module(*inputs).shape == (1, 5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seq_len": 25}, r"seq_len: .* has 24 positions, got 25"),
        ({"seq_len": 1}, "seq_len: a token is predicted from those before it, so it takes at least 2, got 1"),
        ({"stage": "infer", "seq_len": 20, "new_tokens": 6}, "seq_len and new_tokens: .* has 24 positions, got 25"),
        ({"stage": "infer", "new_tokens": -1}, "new_tokens: expected 0 .* or a positive integer, got -1"),
        ({"model": "bert-mini"}, "type 'bert' is no causal LM: use a model such as gpt2-small"),
        ({"model": "resnet18"}, "type 'resnet' is no causal LM"),
    ],
)
def test_wrong_use_is_named(step, changes, problem):
    with pytest.raises(ValueError, match=problem):
        step(**changes)
