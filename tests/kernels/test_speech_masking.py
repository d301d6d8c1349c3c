import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.audio import frame_count, sample_count
from sslbench.kernels.models import constructing, create, model_config
from sslbench.kernels.speech_masking import at, masked_count, masked_forward, span_mask

CPU = torch.device("cpu")


@settings(max_examples=60)
@given(data=st.data(), frames=st.integers(12, 200), batch=st.integers(1, 4), probability=st.floats(0.001, 0.9))
def test_every_sound_has_the_same_number_of_distinct_frames(data, frames, batch, probability):
    length = data.draw(st.integers(1, min(frames, 12)))
    mask = span_mask(batch, frames, probability=probability, length=length, device=CPU)
    assert mask.shape == (batch, masked_count(frames, probability, length))
    assert (mask.diff(dim=1) > 0).all()
    assert mask.min() >= 0
    assert mask.max() < frames


def test_about_half_of_the_frames_is_masked_in_spans():
    # Section 4.2 of wav2vec 2.0: "approximately 49% of all time steps being masked"
    frames = 779
    assert masked_count(frames, 0.065, 10) / frames == pytest.approx(0.49, abs=0.005)
    mask = span_mask(50, frames, probability=0.065, length=10, device=CPU)
    masked = torch.zeros(50, frames).scatter_(1, mask, 1.0)
    # Neighbours of a masked frame are masked more often than any frame is: 49 %
    assert (masked[:, 1:] * masked[:, :-1]).sum() / masked[:, 1:].sum() > 0.85


def test_without_overlap_the_mask_is_whole_spans():
    mask = span_mask(20, 100, probability=0.01, length=10, device=CPU)
    assert (mask.diff(dim=1) == 1).all()


def test_the_mask_is_fresh_every_time():
    first, second = (span_mask(2, 100, probability=0.065, length=10, device=CPU) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("model", ["wav2vec2-tiny", "hubert-tiny"])
def test_the_masked_forward_pass_is_that_of_transformers(model):
    config = model_config(model)
    with constructing(CPU):
        network = create(
            {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel"}[config.model_type], config, "sdpa"
        ).eval()
    sound = torch.randn(2, 8000)
    frames = frame_count(config, 8000)
    mask = span_mask(2, frames, probability=0.1, length=3, device=CPU)
    ours = masked_forward(network, sound, mask)
    theirs = network(sound, mask_time_indices=torch.zeros(2, frames).scatter_(1, mask, 1.0).bool())
    torch.testing.assert_close(ours.states, theirs.last_hidden_state)
    torch.testing.assert_close(ours.penalty, network.feature_extractor(sound).square().mean())
    if config.model_type == "wav2vec2":
        torch.testing.assert_close(ours.features, theirs.extract_features)


def test_gradients_of_the_convolutions_are_scaled():
    config = model_config("hubert-tiny")
    with constructing(CPU):
        network = create("HubertModel", config, "sdpa").eval()
    sound, mask = torch.randn(1, 4000), torch.tensor([[1, 2]])
    weight = network.feature_extractor.conv_layers[-1].conv.weight
    (ours,) = torch.autograd.grad(masked_forward(network, sound, mask).states.square().sum(), weight)
    masked = torch.zeros(1, frame_count(config, 4000)).scatter_(1, mask, 1.0).bool()
    theirs = network(sound, mask_time_indices=masked).last_hidden_state.square().sum()
    (expected,) = torch.autograd.grad(theirs, weight)
    torch.testing.assert_close(ours, 0.1 * expected, rtol=1e-3, atol=1e-6)


def test_values_at_frames():
    values = torch.arange(24.0).view(2, 4, 3)
    chosen = at(values, torch.tensor([[0, 3], [1, 2]]))
    assert torch.equal(chosen, torch.stack([values[0, [0, 3]], values[1, [1, 2]]]))


def test_frames_are_those_of_the_model():
    config = model_config("wav2vec2-tiny")
    with constructing(torch.device("meta")):
        network = create("Wav2Vec2Model", config, "sdpa").eval()
    for seconds in (0.025, 0.5, 1.234):
        samples = sample_count(config, seconds)
        states = network(torch.randn(1, samples, device="meta")).last_hidden_state
        assert states.shape[1] == frame_count(config, samples)
    with pytest.raises(ValueError, match=r"seconds: expected at least 0\.025, one frame of the model, got 0\.02"):
        sample_count(config, 0.02)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((50, 0.0, 10), r"mask_ratio: expected a number between 0 and 1, got 0\.0"),
        ((50, 1.0, 10), r"mask_ratio: expected a number between 0 and 1, got 1\.0"),
        ((9, 0.1, 10), "mask_length: expected from 1 to the sound's 9 frames, got 10"),
        ((9, 0.1, 0), "mask_length: expected from 1 to the sound's 9 frames, got 0"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        masked_count(*arguments)
