import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.data.source import DataError
from sslbench.kernels.data.text import TextStretches, load_tokenizer, read_text, trained_tokenizer

POEM = "Tiger, tiger, burning bright\nIn the forests of the night\n" * 20


@pytest.fixture(scope="module")
def tokenizer():
    return trained_tokenizer(POEM, 300)


def test_a_trained_tokenizer_gives_the_text_back_and_no_padding(tokenizer):
    ids = tokenizer.encode(POEM).ids
    assert tokenizer.decode(ids) == POEM
    assert len(ids) < len(POEM) / 2  # it has learned something
    assert 0 not in ids
    assert 256 < tokenizer.get_vocab_size() <= 300


@settings(max_examples=50)
@given(text=st.text(min_size=1, max_size=300), seq_len=st.integers(1, 40))
def test_every_item_of_any_text_is_a_stretch_of_it(tokenizer, text, seq_len):
    whole = tokenizer.encode(text).ids
    if len(whole) < seq_len:
        with pytest.raises(DataError, match="give more text, or lower --seq-len"):
            TextStretches(text, tokenizer, seq_len)
        return
    dataset = TextStretches(text, tokenizer, seq_len)
    for index in range(len(dataset)):
        (tokens,) = dataset[index]
        assert tokens.shape == (1, seq_len)
        assert tokens.dtype == torch.long
        assert tokens.min() > 0
        stretch = tokenizer.decode(tokens[0].tolist()).strip("\ufffd")  # a cut between the bytes of a letter
        assert stretch in text


def test_items_go_through_the_text(tokenizer):
    dataset = TextStretches(POEM, tokenizer, 16)
    total = len(tokenizer.encode(POEM).ids)
    assert 0.7 < len(dataset) * 16 / total < 1.3
    assert tokenizer.decode(dataset[0][0][0].tolist()).startswith("Tiger, tiger")


def test_a_folder_is_read_file_after_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "sub" / "c.txt").write_text("third")
    (tmp_path / "a.md").write_text("never")
    assert read_text(tmp_path) == "first\nsecond\nthird"
    assert read_text(tmp_path / "a.md") == "never"  # a file is taken whatever it is called


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no text: expected \.txt files"):
        read_text(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt: is not UTF-8 text"):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r"gone\.txt: No such file"):
        read_text(tmp_path / "gone.txt")


def test_text_shorter_than_a_sequence_says_both_lengths(tokenizer):
    with pytest.raises(DataError, match=r"the text has 0 tokens, one sequence 1,000: give more text"):
        TextStretches("", tokenizer, 1000)


def test_a_tokenizer_of_ones_own_is_taken_as_it_is(tmp_path, tokenizer):
    file = tmp_path / "tokenizer.json"
    tokenizer.enable_truncation(4)
    tokenizer.save(str(file))
    tokenizer.no_truncation()
    loaded = load_tokenizer(file, 300)
    assert loaded.encode(POEM).ids == tokenizer.encode(POEM).ids
    with pytest.raises(DataError, match=r"tokenizer\.json: has \d+ tokens, the model's vocabulary 100"):
        load_tokenizer(file, 100)
    file.write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer\.json: is no tokenizer\.json that tokenizers can read"):
        load_tokenizer(file, 300)


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(DataError, match="vocabulary of 120 is too small for a tokenizer, which needs 257"):
        trained_tokenizer(POEM, 120)
