"""Text files as sequences of tokens: stretches of the text, tokenized when they are asked for.

Shapes: L tokens.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch.utils.data import Dataset

from sslbench.kernels.data.source import DataError

SUFFIX = ".txt"
MOST_CHARACTERS = 200_000_000
"""More text than this is not read: a loader's speed does not depend on how much there is."""
TRAINING_CHARACTERS = 5_000_000
"""What a tokenizer is trained on: seconds."""
_PADDING = "[PAD]"
_BYTES = 256
_PIECE = 10_000


def read_text(path: Path) -> str:
    """A file, or the .txt files of a folder and its subfolders one after the other.

    Raises:
        DataError: there is none, one cannot be read, or is not UTF-8.
    """
    files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"--text {path}: holds no text: expected {SUFFIX} files in it or in its subfolders")
    parts, length = [], 0
    for file in files:
        try:
            parts.append(file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"--text {file}: is not UTF-8 text: convert it, or take it out") from error
        except OSError as error:
            raise DataError(f"--text {file}: {error.strerror}") from error
        length += len(parts[-1])
        if length >= MOST_CHARACTERS:
            break
    return "\n".join(parts)[:MOST_CHARACTERS]


def trained_tokenizer(text: str, vocab_size: int) -> Tokenizer:
    """A byte-level BPE (https://arxiv.org/abs/1508.07909, bytes as in GPT-2) of at most `vocab_size` tokens.

    Token 0 is padding, as in BERT's vocabulary, and never stands in a text.

    Raises:
        DataError: the vocabulary cannot hold the bytes.
    """
    if vocab_size <= _BYTES:
        raise DataError(
            f"--text: the model's vocabulary of {vocab_size} is too small for a tokenizer, which needs {_BYTES + 1}: "
            "give one with --tokenizer"
        )
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_PADDING],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(text[:TRAINING_CHARACTERS]), trainer)
    return tokenizer


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def load_tokenizer(file: Path, vocab_size: int) -> Tokenizer:
    """A tokenizer.json, without padding and truncation of its own.

    Raises:
        DataError: it cannot be read, or has more tokens than the model.
    """
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust library raises bare exceptions
        raise DataError(f"--tokenizer {file}: is no tokenizer.json that tokenizers can read ({error})") from error
    size = tokenizer.get_vocab_size()
    if size > vocab_size:
        raise DataError(
            f"--tokenizer {file}: has {size:,} tokens, the model's vocabulary {vocab_size:,}: take the model's own"
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextStretches(Dataset[list[torch.Tensor] | DataError]):
    """An item is a stretch of the text, as one sequence (1, L): nothing is padded, and no special token added.

    Raises:
        DataError: the text is shorter than one sequence.
    """

    def __init__(self, text: str, tokenizer: Tokenizer, seq_len: int) -> None:
        self._text = text
        self._tokenizer = tokenizer
        self._seq_len = seq_len
        sample = text[: max(_PIECE, 8 * seq_len)]
        per_token = len(sample) / max(1, len(self._encode(sample)))
        self._stride = max(1, int(per_token * seq_len))
        first = self[0]
        if isinstance(first, DataError):
            raise first

    def __len__(self) -> int:
        return max(1, len(self._text) // self._stride)

    def __getitem__(self, index: int) -> list[torch.Tensor] | DataError:
        """A sequence; a stretch of fewer tokens is taken longer, forwards and at the text's end backwards."""
        begin, length = index * self._stride, self._stride * 5 // 4 + 1
        while True:
            end = min(len(self._text), begin + length)
            start = max(0, min(begin, end - length))
            tokens = self._encode(self._text[start:end])
            if len(tokens) >= self._seq_len:
                return [torch.tensor(tokens[: self._seq_len]).unsqueeze(0)]
            if start == 0 and end == len(self._text):
                return DataError(
                    f"--text: the text has {len(tokens):,} tokens, one sequence {self._seq_len:,}: "
                    "give more text, or lower --seq-len"
                )
            length *= 2

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens
