import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.image_masking import blockwise_positions, hidden_count, random_mask

unhurried = settings(max_examples=60)


@unhurried
@given(squares=st.integers(2, 8), unit=st.integers(1, 4), ratio=st.floats(0.02, 0.98))
def test_random_squares_are_hidden_whole_and_as_many_in_every_image(squares, unit, ratio):
    count = torch.tensor(ratio * squares**2 - 1e-9).ceil().int().item()
    if not 0 < count < squares**2:
        return
    mask = random_mask(3, squares * unit, unit=unit, mask_ratio=ratio)
    assert torch.equal(mask.sum(dim=1), torch.full((3,), hidden_count(squares**2, ratio, up=True) * unit**2))
    grid = mask.view(3, squares, unit, squares, unit)
    assert torch.equal(grid.all(dim=4).all(dim=2), grid.any(dim=4).any(dim=2))


def test_sixty_percent_of_six_by_six_squares_is_rounded_up_as_the_authors_do():
    # SimMIM, 192 pixels: ceil(0.6 * 36) = 22 of 36 squares of 8 x 8 patches
    assert random_mask(2, 48, unit=8, mask_ratio=0.6).sum(dim=1).tolist() == [22 * 64] * 2


def test_every_square_is_hidden_alike():
    share = random_mask(4000, 4, unit=1, mask_ratio=0.5).float().mean(dim=0)
    assert share.min() > 0.45
    assert share.max() < 0.55


@unhurried
@given(grid=st.integers(2, 16), part=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_blocks_hide_exactly_as_many_patches_as_asked_for(grid, part, seed):
    count = min(max(1, round(part * grid**2)), grid**2 - 1)
    for positions in blockwise_positions(3, grid, count=count, seed=seed):
        assert len(set(positions)) == len(positions) == count
        assert positions == sorted(positions)
        assert positions[0] >= 0
        assert positions[-1] < grid**2


def test_blocks_hold_together_better_than_chance():
    def neighbours(mask):
        return (mask[:, 1:] & mask[:, :-1]).float().sum().item()

    blocks = torch.zeros(200, 196, dtype=torch.bool)
    blocks.scatter_(1, torch.tensor(blockwise_positions(200, 14, count=75)), True)
    chance = random_mask(200, 14, unit=1, mask_ratio=75 / 196)
    assert chance.sum() == blocks.sum()
    # 75 single patches of 196 have 69 neighbours in a row on average, as many in a solid block have nearly all of them
    assert neighbours(blocks.view(200, 14, 14)) > 1.5 * neighbours(chance.view(200, 14, 14))


def test_masks_of_one_seed_are_the_same_and_differ_between_images():
    first, second = (blockwise_positions(8, 14, count=75, seed=3) for _ in range(2))
    assert first == second
    assert len({tuple(positions) for positions in first}) == 8


@pytest.mark.parametrize(
    ("patches", "ratio", "problem"),
    [
        (196, 0.0, "mask_ratio: expected a number between 0 and 1, got 0.0"),
        (196, 1.0, "mask_ratio: expected a number between 0 and 1, got 1.0"),
        (4, 0.01, "hides 0: at least one must be hidden and one seen"),
        (1, 0.4, "hides 0: at least one must be hidden and one seen"),
        (4, 0.99, "hides 4: at least one must be hidden and one seen"),
    ],
)
def test_a_ratio_that_hides_nothing_or_all_is_refused(patches, ratio, problem):
    with pytest.raises(ValueError, match=problem):
        hidden_count(patches, ratio)


@pytest.mark.parametrize("unit", [0, 3])
def test_squares_must_tile_the_image(unit):
    with pytest.raises(ValueError, match=f"squares of {unit} patches a side do not tile 14 x 14 patches"):
        random_mask(1, 14, unit=unit, mask_ratio=0.6)
