import pytest

from sslbench.bench.errors import MachineError
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.capacity import CUDA_CONTEXT_BYTES, capacity_bytes, overhead_bytes

MIB = 2**20


# Bytes that somebody measured after the first tensor: see the sources in hardware_profiles/context.py.
@pytest.mark.parametrize(
    ("name", "version", "measured_mib"),
    [
        ("v100-16gb", "11.2", 1343),
        ("rtx-3090", "11.0", 1488),
        ("a100-80gb", "11.3", 1823),
        ("rtx-2080-ti", "10.1", 879),
    ],
)
def test_a_context_that_is_loaded_eagerly_is_within_a_fifth_of_what_was_measured(name, version, measured_mib):
    machine = find_machine(name, cuda=version)
    assert overhead_bytes(machine, trains=True) / MIB == pytest.approx(measured_mib, rel=0.2)


@pytest.mark.parametrize("version", ["11.7", "12.1", "13.0"])
def test_since_11_7_kernels_are_loaded_when_they_are_used(version):
    assert overhead_bytes(find_machine("rtx-3090", cuda=version), trains=True) == CUDA_CONTEXT_BYTES


def test_a_desktop_takes_memory_away():
    bare, desktop = (capacity_bytes(find_machine("rtx-4090", display=display)) for display in (False, True))
    assert 300 * MIB <= bare - desktop <= 1024 * MIB


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("laptop-16gb", {"cuda": "11.3"}, "--cuda 11.3: a device of kind cpu runs no CUDA"),
        ("rtx-3090", {"cuda": "eleven"}, "--cuda: expected a version such as 11.3, got 'eleven'"),
        ("laptop-16gb", {"display": True}, "--display: the memory of a device of kind cpu is shared"),
    ],
)
def test_what_a_machine_does_not_have_is_named(name, changes, problem):
    with pytest.raises(MachineError, match=problem):
        find_machine(name, **changes)
