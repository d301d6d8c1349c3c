"""Contrastive cross-entropy of queries against keys: InfoNCE, as MoCo has it.

Shapes: N queries, D features, K keys in a queue.
"""

import torch
from torch.nn import functional


def queue_info_nce(
    query_ND: torch.Tensor, key_ND: torch.Tensor, queue_DK: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Mean over i of -log(exp(q_i k_i / t) / (exp(q_i k_i / t) + sum over the queue of exp(q_i k / t))).

    Equation 1 of https://arxiv.org/abs/1911.05722; all vectors are of length 1. The logits (N, 1 + K) are made and
    divided in place as in https://github.com/facebookresearch/moco, moco/builder.py.

    Args:
        query_ND: queries.
        key_ND: row i is the key of query i; no gradient flows into it.
        queue_DK: keys of other images. It is copied: the caller may change it before the backward pass.
        temperature: t, above 0.
    """
    positive_N1 = torch.einsum("nd,nd->n", query_ND, key_ND.detach()).unsqueeze(1)
    negative_NK = torch.einsum("nd,dk->nk", query_ND, queue_DK.detach().clone())
    logits = torch.cat((positive_N1, negative_NK), dim=1)
    logits /= temperature
    positive_first_N = torch.zeros(query_ND.shape[0], dtype=torch.long, device=query_ND.device)
    return functional.cross_entropy(logits, positive_first_N)


def batch_info_nce(query_ND: torch.Tensor, key_ND: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over i of -log(exp(q_i k_i / t) / sum over j of exp(q_i k_j / t)); rows are normalised here.

    Algorithm 1 (`ctr`) of https://arxiv.org/abs/2104.02057, without its factor 2 t.

    Args:
        query_ND: queries.
        key_ND: row i is the key of query i, all others are its negatives; no gradient flows into it.
        temperature: t, above 0.
    """
    query_ND, key_ND = functional.normalize(query_ND, dim=1), functional.normalize(key_ND.detach(), dim=1)
    logits_NN = torch.einsum("nd,md->nm", query_ND, key_ND) / temperature
    return functional.cross_entropy(logits_NN, torch.arange(query_ND.shape[0], device=query_ND.device))
