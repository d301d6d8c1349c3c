import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.token_masking import (
    IGNORED,
    MASK_TOKEN,
    MAX_PIECES,
    mask_tokens,
    selected_positions,
    selection_size,
    synthetic_words,
)

CPU = torch.device("cpu")
VOCABULARY = 30522
unhurried = settings(max_examples=60)


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


@pytest.mark.parametrize("whole_words", [False, True])
def test_every_place_is_selected_alike(whole_words):
    tokens = torch.randint(1, VOCABULARY, (4000, 40))
    words = torch.arange(20).repeat_interleave(2).expand(4000, 40) if whole_words else None
    _, labels = mask_tokens(tokens, mask_ratio=0.15, vocab_size=VOCABULARY, words_BL=words)
    share = (labels != IGNORED).float().mean(dim=0)
    assert share.min() > 0.12
    assert share.max() < 0.18


def test_the_selection_is_fresh_every_time():
    tokens = torch.randint(1, VOCABULARY, (4, 64))
    first, second = (mask_tokens(tokens, mask_ratio=0.15, vocab_size=VOCABULARY)[1] for _ in range(2))
    assert not torch.equal(first, second)


@unhurried
@given(length=st.integers(1, 200), ratio=st.floats(0.001, 0.999), vocabulary=st.integers(2, 300))
def test_at_least_one_token_and_about_the_ratio_is_selected(length, ratio, vocabulary):
    tokens = torch.randint(1, vocabulary, (3, length))
    inputs, labels = mask_tokens(tokens, mask_ratio=ratio, vocab_size=vocabulary)
    counts = (labels != IGNORED).sum(dim=1)
    assert selection_size(length, ratio) == max(1, round(ratio * length))
    assert torch.equal(counts, torch.full((3,), selection_size(length, ratio)))
    assert inputs.min() >= 0
    assert inputs.max() < vocabulary


@pytest.mark.parametrize("whole_words", [False, True])
def test_padding_is_never_selected_and_the_ratio_is_that_of_the_text(whole_words):
    tokens = torch.randint(1, VOCABULARY, (50, 32))
    attention_mask = (torch.arange(32) < 20).long().expand(50, 32)
    words = torch.arange(32).expand(50, 32) if whole_words else None
    inputs, labels = mask_tokens(
        tokens, mask_ratio=0.5, vocab_size=VOCABULARY, attention_mask_BL=attention_mask, words_BL=words
    )
    assert (labels[:, 20:] == IGNORED).all()
    assert torch.equal(inputs[:, 20:], tokens[:, 20:])
    assert torch.equal((labels != IGNORED).sum(dim=1), torch.full((50,), 10))


def greedy(words, order, count):
    """create_pretraining_data.py: words in random order, skipping those that would exceed the count."""
    selected = []
    for word in order:
        pieces = [place for place, other in enumerate(words) if other == word]
        if pieces and len(selected) + len(pieces) <= count:
            selected += pieces
    return sorted(selected)


@unhurried
@given(length=st.integers(1, 60), ratio=st.floats(0.01, 0.99), seed=st.integers(0, 2**31), padded=st.booleans())
def test_whole_words_are_selected_as_the_authors_do(length, ratio, seed, padded):
    torch.manual_seed(seed)
    words = synthetic_words(3, length, CPU)
    tokens = torch.randint(1, VOCABULARY, (3, length))
    real = length - length // 3 if padded else length
    attention_mask = (torch.arange(length) < real).long().expand(3, length) if padded else None
    torch.manual_seed(seed)
    orders = torch.rand(3, length).argsort(dim=1)
    torch.manual_seed(seed)
    _, labels = mask_tokens(
        tokens, mask_ratio=ratio, vocab_size=VOCABULARY, attention_mask_BL=attention_mask, words_BL=words
    )
    count = max(1, (torch.tensor(real) * ratio).round().int().item())
    for row in range(3):
        expected = greedy(words[row, :real].tolist(), orders[row].tolist(), count)
        assert (labels[row] != IGNORED).nonzero().flatten().tolist() == expected
        assert expected


@unhurried
@given(length=st.integers(1, 100))
def test_synthetic_words_are_runs_of_at_most_four_pieces(length):
    words = synthetic_words(4, length, CPU)
    assert torch.equal(words[:, 0], torch.zeros(4, dtype=torch.long))
    steps = words.diff(dim=1)
    assert ((steps == 0) | (steps == 1)).all()
    assert all(row.bincount().max() <= MAX_PIECES and row.bincount()[0] == 1 for row in words)


def test_synthetic_words_have_pieces_as_english_has():
    words = synthetic_words(100, 1000, CPU)
    assert 100 * 1000 / (words[:, -1] + 1).sum().item() == pytest.approx(1.21, abs=0.02)


@unhurried
@given(length=st.integers(1, 80), ratio=st.floats(0.01, 0.99))
def test_selected_places_come_first_and_fill_up_with_others(length, ratio):
    tokens = torch.randint(1, VOCABULARY, (3, length))
    attention_mask = (torch.arange(length) < torch.tensor([[1], [(length + 1) // 2], [length]])).long()
    _, labels = mask_tokens(tokens, mask_ratio=ratio, vocab_size=VOCABULARY, attention_mask_BL=attention_mask)
    count = selection_size(length, ratio)
    positions = selected_positions(labels, count)
    assert positions.shape == (3, count)
    for row in range(3):
        assert len(set(positions[row].tolist())) == count
        selected = set((labels[row] != IGNORED).nonzero().flatten().tolist())
        assert selected <= set(positions[row].tolist())
