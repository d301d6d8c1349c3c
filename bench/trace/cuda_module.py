"""What `torch.cuda` answers while a step is traced for a GPU, on a host that may have none."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch

_DONE_BY_NOTHING = (
    "synchronize",
    "empty_cache",
    "ipc_collect",
    "set_rng_state",
    "set_rng_state_all",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_device",
    "set_stream",
    "set_per_process_memory_fraction",
    "reset_peak_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_accumulated_memory_stats",
    "init",
    "_lazy_init",
)
_ZERO = (
    "memory_allocated",
    "max_memory_allocated",
    "memory_reserved",
    "max_memory_reserved",
    "utilization",
    "power_draw",
    "temperature",
    "initial_seed",
)
# Name, memory in bytes and multiprocessors of the card that stands for a generation, where code looks: only what the
# step allocates is traced, whatever it is told here.
_CARDS = {
    (7, 5): ("Tesla T4", 16 << 30, 40),
    (8, 0): ("NVIDIA A100-SXM4-80GB", 80 << 30, 108),
    (9, 0): ("NVIDIA H100 80GB HBM3", 80 << 30, 132),
}


class _Stream:
    """A stream of the pretended GPU: work on it is traced in the order in which it is launched."""

    def __init__(self, device: Any = None, priority: int = 0, **options: Any) -> None:
        self.device = torch.device("cuda", 0)
        self.device_index = 0
        self.priority = priority
        self.cuda_stream = 0

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def is_capturing(self) -> bool:
        """Graphs are not captured."""
        return False

    def query(self) -> bool:
        """Everything is done at once."""
        return True

    def record_event(self, event: Any = None) -> Any:
        """The event, or a new one."""
        return event if event is not None else _Event()

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait_event(self, event: Any) -> None:
        """Nothing to wait for."""

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for."""


class _Event:
    """A mark on a stream; every interval is one millisecond, since nothing runs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        """No clock runs."""

    def wait(self, stream: Any = None) -> None:
        """Nothing to wait for."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def query(self) -> bool:
        """Everything is done at once."""
        return True

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds."""
        return 1.0


class Generator(torch.Generator):
    """A random generator of the pretended GPU: a generator of the host, which nothing draws from."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        """A generator for a device."""
        made: Generator = super().__new__(cls)
        made._named = torch.device(device)
        return made

    _named: torch.device

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device that it was made for."""
        return self._named


def _properties(capability: tuple[int, int]) -> Any:
    name, memory, multiprocessors = _CARDS.get(capability, _CARDS[8, 0])
    return SimpleNamespace(
        name=name,
        major=capability[0],
        minor=capability[1],
        total_memory=memory,
        multi_processor_count=multiprocessors,
        warp_size=32,
        max_threads_per_multi_processor=2048,
        shared_memory_per_block=49152,
        is_integrated=0,
        is_multi_gpu_board=0,
    )


def _nothing() -> Any:
    """A function that does nothing; each name gets its own, since torch keeps tables by function."""
    return lambda *args, **kwargs: None


def cuda_module(capability: tuple[int, int]) -> dict[str, Any]:
    """What `torch.cuda` holds on a machine with one GPU of this compute capability, by name."""
    card = _properties(capability)
    stream = _Stream()

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return including_emulation or capability >= (8, 0)

    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": is_bf16_supported,
        "is_tf32_supported": lambda: capability >= (8, 0),
        "is_current_stream_capturing": lambda: False,
        "current_device": lambda: 0,
        "device_count": lambda: 1,
        "get_device_capability": lambda *args: capability,
        "get_device_name": lambda *args: card.name,
        "get_device_properties": lambda *args: card,
        "get_arch_list": lambda: [f"sm_{capability[0]}{capability[1]}"],
        "get_rng_state": lambda *args, **kwargs: torch.zeros(16, dtype=torch.uint8),
        "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)],
        "mem_get_info": lambda *args: (card.total_memory, card.total_memory),
        "memory_stats": lambda *args: _Zeros(),
        "memory_summary": lambda *args, **kwargs: "",
        "Stream": _Stream,
        "Event": _Event,
        "current_stream": lambda *args: stream,
        "default_stream": lambda *args: stream,
        "stream": nullcontext,
        "_is_in_bad_fork": lambda: False,
        "_exchange_device": lambda device: 0,
        "_maybe_exchange_device": lambda device: 0,
        **{name: _nothing() for name in _DONE_BY_NOTHING},
        **{name: lambda *args: 0 for name in _ZERO},
    }


class _Zeros(dict[str, int]):
    """Statistics of an allocator that has not been asked yet: each is 0."""

    def __missing__(self, key: str) -> int:
        return 0


@contextmanager
def _range(*args: Any, **kwargs: Any) -> Any:
    yield


NVTX: dict[str, Any] = {
    "range_push": lambda *args: 0,
    "range_pop": lambda: 0,
    "range_start": lambda *args: 0,
    "range_end": _nothing(),
    "mark": _nothing(),
    "range": _range,
}
"""`torch.cuda.nvtx`: marks for a profiler that is not there."""

ACCELERATOR: dict[str, Any] = {
    "is_available": lambda: True,
    "current_accelerator": lambda *args, **kwargs: torch.device("cuda"),
    "device_count": lambda: 1,
    "current_device_index": lambda: 0,
    "current_stream": lambda *args: _Stream(),
    "synchronize": _nothing(),
    "empty_cache": _nothing(),
    "memory_allocated": lambda *args: 0,
    "max_memory_allocated": lambda *args: 0,
}
"""`torch.accelerator`: the same GPU under its newer name."""
