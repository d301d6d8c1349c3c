"""Which tokens masked language modelling hides, and how: BERT's create_pretraining_data.py on tensors of fixed sizes.

Paper: https://arxiv.org/abs/1810.04805, Section 3.1 and Appendix A.1; code: https://github.com/google-research/bert.
A fixed number of tokens in every sequence is selected, of which 80 % become [MASK], 10 % a random token, 10 % stay.
Nothing here waits for the device.

Shapes: B sequences, L tokens, K selected tokens, V words in the vocabulary, W words of a sequence (at most L).
"""

import torch

IGNORED = -100  # label of a token that has no part in the loss
MASK_TOKEN = 103  # [MASK] in the vocabulary of bert-base-uncased; which id it is changes no cost
MASKED, RANDOM = 0.8, 0.1
MAX_PIECES = 4
_MORE_PIECES = (0.85, 0.95, 0.99)  # chance that a word has at most 1, 2, 3 pieces: 1.2 in the mean


def mask_tokens(
    tokens_BL: torch.Tensor,
    *,
    mask_ratio: float,
    vocab_size: int,
    attention_mask_BL: torch.Tensor | None = None,
    words_BL: torch.Tensor | None = None,
    mask_token: int = MASK_TOKEN,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels, both (B, L), of a fresh selection; labels are `IGNORED` where nothing was selected.

    Of a sequence of n tokens max(1, round(mask_ratio * n)) are selected; padding is never.

    Args:
        tokens_BL: the text.
        mask_ratio: part of the tokens that is selected, in (0, 1).
        vocab_size: V, from which random tokens are drawn.
        attention_mask_BL: 1 for a token, 0 for padding.
        words_BL: number of the word that a token is a piece of, from 0; with it whole words are selected, as many as
            the number of tokens allows.
        mask_token: id of [MASK]; the last one of a smaller vocabulary.
    """
    most = selection_size(tokens_BL.shape[1], mask_ratio)
    if attention_mask_BL is None:
        allowed_BL, count_B1 = torch.ones_like(tokens_BL), torch.full_like(tokens_BL[:, :1], most)
    else:
        allowed_BL = attention_mask_BL
        count_B1 = (allowed_BL.sum(dim=1, keepdim=True) * mask_ratio).round().long().clamp(1, most)
    if words_BL is None:
        selected_BL = _select_tokens(allowed_BL, count_B1, most)
    else:
        selected_BL = _select_words(words_BL, allowed_BL, count_B1)
    fate_BL = torch.rand(tokens_BL.shape, device=tokens_BL.device)
    random_BL = torch.randint_like(tokens_BL, vocab_size)
    inputs_BL = tokens_BL.masked_fill(selected_BL & (fate_BL < MASKED), min(mask_token, vocab_size - 1))
    inputs_BL = torch.where(selected_BL & (fate_BL >= 1 - RANDOM), random_BL, inputs_BL)
    return inputs_BL, tokens_BL.masked_fill(~selected_BL, IGNORED)


def selection_size(seq_len: int, mask_ratio: float) -> int:
    """Most tokens of a sequence that are selected (K)."""
    return max(1, round(mask_ratio * seq_len))


def selected_positions(labels_BL: torch.Tensor, count: int) -> torch.Tensor:
    """Places (B, K) of the selected tokens; of a sequence with fewer than K, some that were not, to fill up."""
    return (labels_BL != IGNORED).byte().topk(count, dim=1, sorted=False).indices


def synthetic_words(batch_size: int, seq_len: int, device: torch.device) -> torch.Tensor:
    """Word of every token (B, L): words of 1 to `MAX_PIECES` pieces, 85, 10, 4 and 1 % of them, drawn once.

    English has about 1.2 pieces a word in a vocabulary of 30,000. The first word has one piece, so that there is always
    one to select.
    """
    chance_BL = torch.rand(batch_size, seq_len, device=device)
    pieces_BL = torch.ones_like(chance_BL, dtype=torch.long)
    for threshold in _MORE_PIECES:
        pieces_BL += chance_BL > threshold
    pieces_BL[:, 0] = 1
    end_BL = pieces_BL.cumsum(dim=1)
    place_BL = torch.arange(seq_len, device=device).expand(batch_size, -1).contiguous()
    return torch.searchsorted(end_BL, place_BL, right=True)


def _select_tokens(allowed_BL: torch.Tensor, count_B1: torch.Tensor, most: int) -> torch.Tensor:
    score_BL = torch.rand(allowed_BL.shape, device=allowed_BL.device).masked_fill(allowed_BL == 0, -1.0)
    counted_BK = torch.arange(most, device=allowed_BL.device) < count_B1
    selected_BL = torch.zeros_like(allowed_BL, dtype=torch.bool)
    return selected_BL.scatter_(1, score_BL.topk(most, dim=1).indices, counted_BK)


def _select_words(words_BL: torch.Tensor, allowed_BL: torch.Tensor, count_B1: torch.Tensor) -> torch.Tensor:
    """Words in random order, each that still fits: a word too long for what is left is skipped."""
    pieces_BW = torch.zeros_like(words_BL).scatter_add_(1, words_BL, allowed_BL.to(words_BL.dtype))
    order_BW = torch.rand(words_BL.shape, device=words_BL.device).argsort(dim=1)
    pieces_BW = pieces_BW.gather(1, order_BW)
    taken_BW = torch.zeros_like(words_BL, dtype=torch.bool)
    left_B1 = count_B1
    # Each round takes words up to the first that does not fit, which was no longer than what was left before it:
    # what is left falls by at least one, so that as many rounds as a word has pieces do all.
    for _ in range(MAX_PIECES):
        open_BW = (~taken_BW & (pieces_BW <= left_B1)).long() * pieces_BW
        fits_BW = (open_BW > 0) & (open_BW.cumsum(dim=1) <= left_B1)
        left_B1 = left_B1 - (open_BW * fits_BW).sum(dim=1, keepdim=True)
        taken_BW = taken_BW | fits_BW
    chosen_BW = torch.zeros_like(taken_BW).scatter_(1, order_BW, taken_BW)
    return chosen_BW.gather(1, words_BL) & (allowed_BL != 0)
