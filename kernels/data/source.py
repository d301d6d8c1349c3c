"""Where real input lies, as a person says it, and what is wrong with it. Standard library only."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["images", "text"]


class DataError(ValueError):
    """Files cannot feed this step; the message names the file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files that feed a step."""

    kind: Kind
    path: str
    """A folder; for text also a file."""
    workers: int
    """Processes that load; 0: the one that runs the step."""
    tokenizer: str = ""
    """A tokenizer.json; empty: one is trained on the text."""
