"""A recipe's budget: how much a whole training run processes, as its paper says it.

Three ways to say it: epochs of a data set, optimizer steps of some batch, or tokens.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslbench.bench.errors import RecipeError

Count = Annotated[int, Field(gt=0, le=10**18)]


class Budget(BaseModel):
    """What one run processes: `epochs` with `samples`, or `steps`, or `tokens`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: Annotated[float, Field(gt=0, le=10**9)] | None = None
    """Times that the data set is gone through."""
    samples: Count | None = None
    """Samples of the data set; of two-view objectives images, each seen twice."""
    steps: Count | None = None
    """Optimizer updates."""
    batch_size: Count | None = None
    """Samples of such an update over all devices; None: that of the step at hand."""
    tokens: Count | None = None
    source: str = ""
    """Where the paper says so."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.epochs is not None or self.samples is not None, self.steps is not None, self.tokens is not None]
        if sum(ways) != 1:
            raise ValueError("expected one of epochs with samples, steps, or tokens")
        if (self.epochs is None) != (self.samples is None):
            raise ValueError("epochs and samples go together: times, and the size of the data set")
        if self.batch_size is not None and self.steps is None:
            raise ValueError("batch_size goes with steps")
        return self

    def total_samples(self, *, batch_size: int, seq_len: int | None) -> float:
        """Samples of the whole run.

        Args:
            batch_size: of a step over all devices.
            seq_len: tokens of a sample.

        Raises:
            RecipeError: the budget is in tokens, and the recipe has none.
        """
        if self.epochs is not None and self.samples is not None:
            return self.epochs * self.samples
        if self.steps is not None:
            return float(self.steps * (self.batch_size or batch_size))
        if seq_len is None:
            raise RecipeError("a budget in tokens is for recipes with a seq_len: give epochs with samples, or steps")
        return (self.tokens or 0) / seq_len

    @property
    def words(self) -> str:
        """The budget as a person would say it: `1,000 epochs of 1,281,167 samples`."""
        if self.epochs is not None:
            return f"{self.epochs:,g} epoch{'s' * (self.epochs != 1)} of {self.samples:,} samples"
        if self.steps is not None:
            batch = f" of {self.batch_size:,} samples" if self.batch_size else ""
            return f"{self.steps:,} step{'s' * (self.steps != 1)}{batch}"
        return f"{self.tokens:,} tokens"


def changed_budget(
    budget: Budget | None,
    *,
    epochs: float | None = None,
    samples: int | None = None,
    steps: int | None = None,
    tokens: int | None = None,
) -> Budget | None:
    """A recipe's budget as the user changes it; unchanged where all is None.

    Raises:
        RecipeError: two ways to say it at once, or a data set whose size is not known.
    """
    ways = [
        name for name, given in (("--epochs", epochs or samples), ("--steps", steps), ("--tokens", tokens)) if given
    ]
    if len(ways) > 1:
        raise RecipeError(f"{' and '.join(ways)}: a budget is said in one way")
    source = "given by the user"
    if steps is not None:
        return Budget(steps=steps, source=source)
    if tokens is not None:
        return Budget(tokens=tokens, source=source)
    if not ways:
        return budget
    epochs = epochs or (budget.epochs if budget else None)
    samples = samples or (budget.samples if budget else None)
    if epochs is None or samples is None:
        known, missing = ("--samples", "--epochs") if epochs is None else ("--epochs", "--samples")
        raise RecipeError(f"{known} needs {missing}, too: the recipe's own budget has none")
    return Budget(epochs=epochs, samples=samples, source=source)
