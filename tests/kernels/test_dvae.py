import torch

from sslbench.kernels.dvae import VOCABULARY, DiscreteVaeEncoder


def test_it_has_the_parameters_of_the_published_encoder():
    with torch.device("meta"):
        encoder = DiscreteVaeEncoder()
    # dall_e/encoder.py with its defaults: input, 8 blocks of three 3 x 3 and one 1 x 1 convolution, 3 paths that widen
    width = 256

    def convolution(inside, outside, side):
        return inside * outside * side**2 + outside

    expected = convolution(3, width, 7) + convolution(8 * width, VOCABULARY, 1)
    before = width
    for group in range(4):
        after = width * 2**group
        for channels in (before, after):
            hidden = after // 4
            expected += convolution(channels, hidden, 3) + 2 * convolution(hidden, hidden, 3)
            expected += convolution(hidden, after, 1)
            expected += convolution(channels, after, 1) if channels != after else 0
        before = after
    assert sum(parameter.numel() for parameter in encoder.parameters()) == expected == 53_786_240


def test_it_gives_one_token_for_eight_by_eight_pixels():
    encoder = DiscreteVaeEncoder(width=8, vocabulary=20)
    tokens = encoder(torch.rand(2, 3, 32, 48))
    assert tokens.shape == (2, 4 * 6)
    assert tokens.dtype == torch.int64
    assert tokens.min() >= 0
    assert tokens.max() < 20


def test_nothing_of_it_is_trained_and_it_keeps_no_graph():
    encoder = DiscreteVaeEncoder(width=8, vocabulary=20)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not encoder(images).requires_grad


def test_autocast_around_it_does_not_change_its_precision():
    encoder, images = DiscreteVaeEncoder(width=8, vocabulary=20), torch.rand(4, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = encoder(images)
    assert torch.equal(tokens, encoder(images))
