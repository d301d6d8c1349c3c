import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sslbench.kernels.ema import Ema, frozen_copy


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@settings(max_examples=30)
@given(momentum=st.floats(0, 1), steps=st.integers(1, 5), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_average_is_the_published_one(momentum, steps, dtype):
    student = network().to(dtype)
    teacher = frozen_copy(student)
    ema = Ema(student, teacher, momentum)
    expected = [p.detach().double().clone() for p in student.parameters()]
    for _ in range(steps):
        for parameter in student.parameters():
            parameter.data += torch.randn_like(parameter)
        ema.update()
        fresh = [p.detach().double().clone() for p in student.parameters()]
        expected = [momentum * old + (1 - momentum) * new for old, new in zip(expected, fresh, strict=True)]
    for found, wanted in zip(teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_a_frozen_copy_is_equal_apart_and_not_trained():
    student = network()
    student(torch.randn(8, 3))
    teacher = frozen_copy(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    for (name, mine), theirs in zip(student.state_dict().items(), teacher.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
        assert mine.data_ptr() != theirs.data_ptr(), name


def test_buffers_are_the_teachers_own():
    student = network()
    teacher = frozen_copy(student)
    student(torch.randn(8, 3))
    before = teacher[1].running_mean.clone()
    Ema(student, teacher, 0.5).update()
    assert torch.equal(teacher[1].running_mean, before)


def test_the_teacher_may_be_a_part_of_the_student():
    student = nn.ModuleDict({"encoder": nn.Linear(2, 2), "predictor": nn.Linear(2, 2)})
    teacher = frozen_copy(nn.ModuleDict({"encoder": student["encoder"]}))
    student["encoder"].weight.data += 1
    Ema(student, teacher, 0.0).update()
    assert torch.equal(teacher["encoder"].weight, student["encoder"].weight)


@pytest.mark.parametrize(
    ("teacher", "momentum", "problem"),
    [
        (frozen_copy, 1.5, "momentum: expected a number from 0 to 1, got 1.5"),
        (frozen_copy, float("nan"), "momentum: expected a number from 0 to 1, got nan"),
        (lambda student: student, 0.9, r"the teacher's 0\.weight is trained: make the teacher with frozen_copy"),
        (
            lambda student: frozen_copy(nn.Sequential(nn.Linear(9, 4))),
            0.9,
            r"the teacher's 0\.weight: expected \(4, 9\) in the student, found \(4, 3\)",
        ),
        (
            lambda student: frozen_copy(nn.ModuleDict({"head": nn.Linear(2, 2)})),
            0.9,
            r"the teacher's head\.weight: expected \(2, 2\) in the student, found nothing",
        ),
    ],
)
def test_wrong_use_is_named(teacher, momentum, problem):
    student = network()
    with pytest.raises(ValueError, match=problem):
        Ema(student, teacher(student), momentum)
