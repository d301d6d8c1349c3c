import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sslbench.kernels.block_masks import block_masks, mask_counts

unhurried = settings(max_examples=50)


@unhurried
@given(data=st.data(), rows=st.integers(1, 16), columns=st.integers(1, 16), images=st.integers(1, 5))
def test_every_image_has_exactly_its_count(data, rows, columns, images):
    counts = data.draw(st.lists(st.integers(0, rows * columns), min_size=images, max_size=images))
    masks = block_masks(torch.tensor(counts), rows, columns)
    assert masks.shape == (images, rows * columns)
    assert masks.sum(dim=1).tolist() == counts


def test_masks_are_blocks_more_than_chance_has_it():
    masks = block_masks(torch.full((200,), 64), 16, 16).view(200, 16, 16)
    neighbours = (masks[:, 1:] & masks[:, :-1]).sum() / (200 * 15 * 16)
    assert neighbours > 2 * 0.25**2  # two independent patches are both masked in a sixteenth of the cases


def test_masks_are_fresh_and_every_patch_is_masked_somewhere():
    first, second = (block_masks(torch.full((500,), 64), 16, 16) for _ in range(2))
    assert not torch.equal(first, second)
    assert first.any(dim=0).all()


@unhurried
@given(
    images=st.integers(1, 200),
    patches=st.integers(1, 400),
    share=st.floats(0.01, 1),
    ends=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted),
)
@example(images=37, patches=1, share=1.0, ends=[0.11931688302333866, 0.9999999999999999])
@example(images=37, patches=2, share=1.0, ends=[0.11931688302333866, 0.9999999999999999])
def test_counts_are_the_room_that_dinov2_makes(images, patches, share, ends):
    masked = int(images * share)
    # collate.py: the upper ends of `masked` bins of linspace(lowest, highest)
    edges = torch.linspace(*ends, masked + 1, dtype=torch.float64)[1:]
    # a product that is a whole number may come out a little below it, there or here
    least, most = ([int(patches * edge + rounding) for edge in edges.tolist()] for rounding in (-1e-9, 1e-9))
    assume(any(least) or not any(most))
    if not any(most):
        with pytest.raises(ValueError, match="nothing would be masked"):
            mask_counts(images, patches, share=share, lowest=ends[0], highest=ends[1])
        return
    counts = mask_counts(images, patches, share=share, lowest=ends[0], highest=ends[1])
    assert len(counts) == images
    assert counts[masked:] == [0] * (images - masked)
    assert all(low <= count <= high for low, count, high in zip(least, counts, most, strict=False))


def test_the_counts_of_the_papers_setting():
    counts = mask_counts(8, 256, share=0.5, lowest=0.1, highest=0.5)
    assert counts == [int(256 * 0.2), int(256 * 0.3), int(256 * 0.4), 128, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"share": 0.0}, "mask_probability: expected a number above 0, up to 1, got 0.0"),
        ({"share": 1.1}, "mask_probability: expected a number above 0"),
        ({"lowest": 0.6}, "mask_ratio_min <= mask_ratio_max <= 1, got 0.6 and 0.5"),
        ({"lowest": 0.0, "highest": 0.0}, "mask_ratio_min <= mask_ratio_max <= 1, got 0.0 and 0.0"),
        ({"highest": 1.5}, "mask_ratio_min <= mask_ratio_max <= 1, got 0.1 and 1.5"),
        ({"share": 0.1}, "of 8 global crops with 256 patches nothing would be masked"),
    ],
)
def test_wrong_shares_are_named(changes, problem):
    with pytest.raises(ValueError, match=problem):
        mask_counts(8, 256, **{"share": 0.5, "lowest": 0.1, "highest": 0.5, **changes})
