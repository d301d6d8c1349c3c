import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.losses.self_distillation import (
    centered_softmax,
    class_token_loss,
    dino_loss,
    koleo_loss,
    patch_loss,
    update_center,
)

unhurried = settings(max_examples=30)
seeds = st.integers(0, 2**31)
temperatures = st.floats(0.03, 2)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probabilities(*shape, seed=0):
    return draw(*shape, seed=seed + 1).softmax(dim=-1)


def naive_cross_entropy(target, logits, temperature):
    """-sum_k t_k log(exp(s_k / temperature) / sum_j exp(s_j / temperature)), one row, term by term."""
    total = torch.exp(logits / temperature).sum()
    return -sum(t * torch.log(torch.exp(s / temperature) / total) for t, s in zip(target, logits, strict=True))


def agree(ours, naive, student):
    """Value and gradient of two losses of one student."""
    first, second = (student.detach().clone().requires_grad_() for _ in range(2))
    loss, expected = ours(first), naive(second)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-7, atol=1e-9)


@unhurried
@given(
    local=st.integers(0, 3),
    images=st.integers(1, 3),
    prototypes=st.integers(1, 5),
    temperature=temperatures,
    seed=seeds,
)
def test_dino_is_the_mean_over_pairs_of_different_crops(local, images, prototypes, temperature, seed):
    student = draw((2 + local) * images, prototypes, seed=seed)
    teacher = probabilities(2 * images, prototypes, seed=seed)

    def naive(outputs):  # Algorithm 1 of https://arxiv.org/abs/2104.14294, row by row
        terms = [
            naive_cross_entropy(teacher[q * images + i], outputs[v * images + i], temperature)
            for q in range(2)
            for v in range(2 + local)
            if v != q
            for i in range(images)
        ]
        return sum(terms) / len(terms)

    agree(lambda outputs: dino_loss(outputs.chunk(2 + local), teacher.chunk(2), temperature), naive, student)


@unhurried
@given(local=st.integers(1, 3), images=st.integers(1, 3), prototypes=st.integers(1, 5), temperature=temperatures)
def test_dinov2_pairs_as_dino_does(local, images, prototypes, temperature):
    """The authors' two calls, of which the second has the teacher's crops exchanged, are DINO's sum over pairs."""
    student, teacher = draw((2 + local) * images, prototypes), probabilities(2 * images, prototypes)
    global_crops, local_crops = student[: 2 * images], student[2 * images :]
    exchanged = torch.cat(teacher.chunk(2)[::-1])
    value = 2 * class_token_loss([global_crops], [exchanged], temperature)
    value = value + class_token_loss(local_crops.chunk(local), exchanged.chunk(2), temperature)
    expected = dino_loss(student.chunk(2 + local), teacher.chunk(2), temperature)
    torch.testing.assert_close(value / (2 + 2 * local), expected)


@unhurried
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    prototypes=st.integers(1, 5),
    temperature=temperatures,
    seed=seeds,
)
def test_the_patch_loss_is_the_mean_over_images_of_the_mean_over_masked_patches(counts, prototypes, temperature, seed):
    student, teacher = draw(sum(counts), prototypes, seed=seed), probabilities(sum(counts), prototypes, seed=seed)
    weight = torch.cat([torch.full((count,), 1 / max(1, count), dtype=torch.float64) for count in counts])

    def naive(outputs):  # forward of ibot_patch_loss.py; an image without masked patches counts as 0
        total, row = 0.0, 0
        for count in counts:
            rows = range(row, row + count)
            row += count
            total = total + sum(naive_cross_entropy(teacher[r], outputs[r], temperature) for r in rows) / max(1, count)
        return total / len(counts)

    def ours(outputs):
        return patch_loss(outputs, teacher, weight, images=len(counts), temperature=temperature)

    agree(ours, naive, student)


@unhurried
@given(rows=st.integers(2, 6), width=st.integers(2, 5), seed=seeds)
def test_koleo_is_minus_the_mean_log_distance_to_the_nearest(rows, width, seed):
    def naive(features):
        unit = [row / row.norm() for row in features]
        total = 0.0
        for i, row in enumerate(unit):
            distances = [((row - other + 1e-8) ** 2).sum().sqrt() for j, other in enumerate(unit) if j != i]
            total = total - torch.log(min(distances) + 1e-8)
        return total / rows

    agree(koleo_loss, naive, draw(rows, width, seed=seed))


def test_koleo_of_a_right_angle_is_minus_the_log_of_the_square_root_of_two():
    assert koleo_loss(torch.tensor([[3.0, 0.0], [0.0, -1.0]])).item() == pytest.approx(-math.log(2) / 2)


def test_koleo_pushes_neighbours_apart():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]], requires_grad=True)
    koleo_loss(features).backward()
    assert features.grad[0, 1] > 0  # downhill: away from the second row, which lies above
    assert features.grad[1, 1] < 0


def test_koleo_needs_a_neighbour():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        koleo_loss(torch.randn(1, 4))


def test_one_crop_has_nothing_to_be_compared_with():
    with pytest.raises(ValueError, match="different crops of an image: it needs at least two"):
        dino_loss([torch.zeros(1, 2)], [torch.full((1, 2), 0.5)], 0.1)


@unhurried
@given(rows=st.integers(1, 5), prototypes=st.integers(1, 6), temperature=temperatures)
def test_a_student_that_says_what_the_teacher_says_has_the_teachers_entropy(rows, prototypes, temperature):
    logits = draw(rows, prototypes)
    teacher = (logits / temperature).softmax(dim=-1)
    entropy = -(teacher * teacher.log()).sum(dim=-1).mean()
    torch.testing.assert_close(class_token_loss([logits], [teacher], temperature), entropy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_teacher_is_centred_and_sharpened_at_least_in_fp32(dtype):
    logits, center = draw(4, 10).to(dtype), draw(10, seed=3).float()
    result = centered_softmax(logits, center, 0.04)
    assert result.dtype == torch.float32
    expected = ((logits.double() - center.double()) / 0.04).softmax(dim=-1)
    torch.testing.assert_close(result.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near(dtype):
    student, teacher = draw(8, 50), probabilities(8, 50)
    loss = dino_loss(student.to(dtype).chunk(4), teacher[:4].float().chunk(2), 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dino_loss(student.chunk(4), teacher[:4].chunk(2), 0.1).item(), rel=0.02)


def test_the_centre_follows_the_mean():
    center, teacher = torch.ones(3), torch.tensor([[0.0, 1.0, 5.0], [2.0, 1.0, -5.0]])
    update_center(center, teacher, 0.9)
    torch.testing.assert_close(center, torch.tensor([1.0, 1.0, 0.9]))
    update_center(center, teacher)
    torch.testing.assert_close(center, torch.tensor([1.0, 1.0, 0.81]))
