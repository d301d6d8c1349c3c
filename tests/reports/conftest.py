from pathlib import Path

import pytest

from sslbench.bench.record import load_records

RECORDS = Path(__file__).parents[1] / "data" / "records"


@pytest.fixture(scope="session")
def sample():
    """A sample record by the stem of its file."""
    return lambda stem: load_records(RECORDS / f"{stem}.json")[0]


@pytest.fixture(scope="session")
def samples():
    return [record for path in sorted(RECORDS.glob("*.json")) for record in load_records(path)]


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</title></style><h1>",
    "a\"b'c` onload=x",
    "a\u2028b\u2029c",
    "safe\u202etxt.exe",
    "{{ 7 * 7 }}{% raw %}",
    "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
    "\x1b[31mred\x1b]0;title\x07",
    "| a | b |\n|---|---|\n# heading",
    "[x](javascript:alert(1)) ![y](http://a.example/z.png) <!-- c",
    "n" * 10_000,
]


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request, samples):
    """A hostile text, and the samples with it in every place that takes a text."""
    text = request.param
    return text, [_poisoned(record, text) for record in samples]


def _poisoned(record, text):
    recipe = record.recipe.model_copy(
        update={"name": text, "title": text, "model": text, "optimizer": text, "paper": text, "options": {text: text}}
    )
    device = record.machine.device
    device = device.model_copy(update={"memory_bytes": device.memory_bytes.model_copy(update={"source": text})})
    machine = record.machine.model_copy(update={"name": text, "title": text, "notes": text, "device": device})
    environment = record.environment.model_copy(update={"platform": text, "processor": text, "packages": {text: text}})
    return record.model_copy(
        update={
            "recipe": recipe,
            "machine": machine,
            "environment": environment,
            "command": ["fit", text],
            "memory": record.memory.model_copy(update={"breakdown": record.memory.breakdown | {text: 5}}),
            "energy": record.energy.model_copy(update={"source": text}),
            "unknown": {text: text, "energy.joules_per_step": text},
            "warnings": [text],
        }
    )
