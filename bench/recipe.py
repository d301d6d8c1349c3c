"""A recipe: what is run, in words that a person writes.

The same fields make a recipe TOML, the catalog, the command line's options and a record's `recipe`.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sslbench.bench.budget import Budget
from sslbench.bench.errors import RecipeError

Stage = Literal["train", "infer"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8"]
Attention = Literal["sdpa", "eager"]
Option = bool | int | float | str
_OPTION_TYPES = ("bool", "int", "float", "str")
Size = Annotated[int, Field(strict=True, gt=0, le=2**31 - 1)]

PRECISIONS: tuple[str, ...] = get_args(Precision)
STAGES: tuple[str, ...] = get_args(Stage)
ATTENTIONS: tuple[str, ...] = get_args(Attention)


class Recipe(BaseModel):
    """Model, objective, stage, sizes, precision, optimizer and memory options of one step."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    title: str = ""
    objective: str
    """A module of `sslbench.kernels.objectives`, or `custom` for a factory of the user's own."""
    model: str = ""
    """Catalog model, or a folder with a Hugging Face `config.json`; empty for a factory."""
    factory: str = ""
    """`file.py:function` of the user's own step; empty for a catalog objective."""
    stage: Stage = "train"
    batch_size: Size | None = None
    """Samples a step; for a two-view objective a sample is one image, seen twice. None: the factory's own."""
    seq_len: Size | None = None
    """Tokens a sample, for text."""
    image_size: Size | None = None
    """Height and width in pixels, for images."""
    precision: Precision = "fp32"
    """Type that the step computes in; `int8` for inference in ONNX Runtime alone."""
    optimizer: str = "adamw"
    attention: Attention = "sdpa"
    activation_checkpointing: bool = False
    compile: bool = False
    """Whether the step's forward and backward pass go through `torch.compile`."""
    expandable_segments: bool = False
    """Whether CUDA's allocator runs with `expandable_segments:True` (PYTORCH_CUDA_ALLOC_CONF)."""
    options: dict[str, Option] = {}
    """The objective's or the factory's own keyword parameters (temperature, mask ratio, ...)."""
    paper: str = ""
    budget: Budget | None = None
    """What a whole run processes; None: not known."""

    def with_options(self, **changes: Any) -> "Recipe":
        """This recipe with some fields replaced.

        Raises:
            RecipeError: a value is not of the field's type or range.
        """
        return parse_recipe({**self.model_dump(), **changes}, where=f"recipe {self.name}")


def parse_recipe(table: dict[str, Any], *, where: str) -> Recipe:
    """A recipe from a table; `where` names its origin in error messages.

    Raises:
        RecipeError: names the first key that is wrong, what was found and what is expected.
    """
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as one line: key, expectation, value."""
    problems = error.errors(include_url=False)
    problem = problems[0]
    place, expected = problem["loc"], problem["msg"][0].lower() + problem["msg"][1:]
    if place[-1:] and place[-1] in _OPTION_TYPES:  # one problem for each type that an option may have
        place = place[:-1]
        kinds = {other["type"] for other in problems if other["loc"][:-1] == place}
        expected = "expected a finite number" if "finite_number" in kinds else "expected a bool, int, float or str"
    key = ".".join(str(part) for part in place) or "the file"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    found = " ".join(repr(problem["input"]).split())[:80]
    return f"{key}: {expected}, got {found}"
