"""Spelling of machine names: people, nvidia-smi and databases write the same card in different ways."""

import difflib
import re
from collections.abc import Iterable

# Makers and product lines that do not tell two cards apart. Quadro stays: a Quadro RTX 6000 is not an RTX 6000.
_BRANDS = frozenset({"nvidia", "amd", "geforce", "tesla", "radeon", "instinct"})
# Words that nvidia-smi appends and the database leaves out.
_SUFFIXES = frozenset({"gpu", "graphics", "workstation", "edition"})


def words(name: str) -> tuple[str, ...]:
    """The words of a name that tell cards apart, in lower case.

    >>> words("NVIDIA GeForce RTX 3080 Ti Laptop GPU")
    ('rtx', '3080', 'ti', 'mobile')
    """
    joined = re.sub(r"(\d)[\s_-]+(gi?b)\b", r"\1gb", name.lower())
    found = [word for word in re.split(r"[^a-z0-9]+", joined) if word]
    kept = [word for word in found if word not in _BRANDS and word not in _SUFFIXES]
    return tuple("mobile" if word == "laptop" and len(kept) > 1 else word for word in kept)


def canonical(name: str) -> str:
    """A name as the profiles write it: its words in lower case, joined by dashes."""
    return "-".join(words(name))


def compact(name: str) -> str:
    """A name without separators, so that `rtx3080ti` equals `RTX 3080 Ti`."""
    return "".join(words(name))


def nearest(name: str, known: Iterable[str], *, count: int = 4) -> list[str]:
    """The known names that look most like this one, best first; may be empty."""
    by_spelling = {compact(candidate): candidate for candidate in known}
    return [by_spelling[match] for match in difflib.get_close_matches(compact(name), by_spelling, n=count, cutoff=0.6)]
