"""What recipes, machines and verdicts are called in every report.

Names come from files that anybody may have written. `plain` makes them harmless as text; each renderer then escapes its
own markup.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.hardware_profiles.schema import Machine

LABEL_LENGTH = 100
"""Characters of a name that a label shows; the embedded records keep the rest."""
TEXT_LENGTH = 4000
NOT_KNOWN = "not known"

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str, limit: int = TEXT_LENGTH) -> str:
    """Text on one line, without characters that hide, reorder or steer: each becomes a visible escape (U+202E).

    Control characters could move a terminal's cursor, bidirectional overrides reverse what follows (CVE-2021-42574).
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    return f"[U+{ord(character):04X}]"


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """A verdict in words and as a symbol, so that colour is never all there is."""

    key: str
    """`fits`, `tight`, `spills`, `does-not-fit` or `none`; the CSS class."""
    word: str
    symbol: str
    rank: int
    """Order in tables: what fits comes first."""


VERDICTS = {
    words.key: words
    for words in (
        VerdictWords("fits", "fits", "✓", 0),
        VerdictWords("tight", "tight", "≈", 1),
        VerdictWords("spills", "spills", "⇄", 2),
        VerdictWords("does-not-fit", "does not fit", "✕", 3),
        VerdictWords("none", "no verdict", "?", 4),
    )
}


def verdict_words(record: Record) -> VerdictWords:
    """The record's verdict; `no verdict` where it has none."""
    return VERDICTS[record.verdict or "none"]


@dataclass(frozen=True, slots=True)
class RecipeLabel:
    """A recipe as a title and one line of settings."""

    title: str
    name: str
    settings: str
    paper: str


def recipe_label(recipe: Recipe) -> RecipeLabel:
    """Title, name, settings and paper of a recipe, safe as text.

    A catalog title may go on after a colon with the recipe's own sizes. Those are left out: an option may have changed
    them, and the settings say what was run.
    """
    return RecipeLabel(
        title=plain(recipe.title.partition(": ")[0] or recipe.name, LABEL_LENGTH),
        name=plain(recipe.name, LABEL_LENGTH),
        settings=", ".join(setting.phrase for setting in recipe_settings(recipe) if setting.phrase),
        paper=plain(recipe.paper, LABEL_LENGTH * 3),
    )


def names_apart(labels: Sequence[RecipeLabel]) -> list[tuple[str, str]]:
    """The title of each recipe, and those settings that not all recipes of that title have."""
    shared: dict[str, set[str]] = {}
    for label in labels:
        own = set(label.settings.split(", "))
        shared[label.title] = shared.get(label.title, own) & own
    return [
        (label.title, ", ".join(each for each in label.settings.split(", ") if each not in shared[label.title]))
        for label in labels
    ]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a step: as a column and its value, and as a phrase."""

    name: str
    value: str
    phrase: str
    """Empty where it is what everybody has."""


def recipe_settings(recipe: Recipe) -> list[Setting]:
    """What was run, setting by setting, safe as text."""
    train = recipe.stage == "train"
    settings = [Setting("stage", recipe.stage, "training step" if train else "inference step")]
    sizes = (("batch", recipe.batch_size, "batch {}"), ("tokens", recipe.seq_len, "{} tokens"))
    for name, size, phrase in (*sizes, ("pixels", recipe.image_size, "{} px")):
        if size is not None:
            settings.append(Setting(name, f"{size:,}", phrase.format(f"{size:,}")))
    settings.append(Setting("precision", recipe.precision, recipe.precision))
    if train:
        optimizer = plain(recipe.optimizer, LABEL_LENGTH)
        settings.append(Setting("optimizer", optimizer, optimizer))
    eager = recipe.attention != "sdpa"
    settings.append(Setting("attention", recipe.attention, f"{recipe.attention} attention" if eager else ""))
    settings += [
        Setting(name, "yes" if on else "no", phrase if on else "")
        for name, on, phrase in (
            ("checkpointing", recipe.activation_checkpointing, "activation checkpointing"),
            ("compiled", recipe.compile, "compiled"),
            ("expandable", recipe.expandable_segments, "expandable segments"),
        )
    ]
    options = ((plain(str(key), LABEL_LENGTH), value) for key, value in recipe.options.items())
    return settings + [
        Setting(key, plain(str(value), LABEL_LENGTH), plain(f"{key}={value}", LABEL_LENGTH)) for key, value in options
    ]


def sample_unit(recipe: Recipe) -> str:
    """What a sample of the recipe is: an image, a sequence, or (both or neither) a sample."""
    if (recipe.image_size is None) == (recipe.seq_len is None):
        return "samples"
    return "sequences" if recipe.image_size is None else "images"


def machine_title(machine: Machine) -> str:
    """The machine's title, with the number of devices where there are several."""
    title = plain(machine.title, LABEL_LENGTH)
    return f"{machine.device_count}x {title}" if machine.device_count > 1 else title


def recipe_key(recipe: Recipe) -> str:
    """What two records share whose recipes are the same step, whatever they are called and however long it is run."""
    return json.dumps(recipe.model_dump(exclude={"title", "paper", "budget"}), sort_keys=True)


def device_count(record: Record) -> int:
    """Devices that the record's figures are for: one, too, where nothing is known of what connects several."""
    return record.plan.devices if record.plan else record.scaling.devices if record.scaling else 1


def short_machine(record: Record) -> str:
    """The machine's name as `--machine` takes it, such as `a100-80gb:8`."""
    name, count = plain(record.machine.name, LABEL_LENGTH), device_count(record)
    return f"{name}:{count}" if count > 1 else name


def unknown_reason(record: Record, path: str) -> str:
    """Why the field at a dotted path is null; the reason of an enclosing part counts, empty where none is given."""
    while path:
        if path in record.unknown:
            return plain(record.unknown[path])
        path = path.rpartition(".")[0]
    return ""
