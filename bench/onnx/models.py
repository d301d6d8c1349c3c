"""The exported model of a recipe, from the cache or made now. Imports torch only where it is made."""

from collections.abc import Callable
from pathlib import Path

from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.onnx.exported import read_exported
from sslbench.bench.onnx.precision import CONVERTED, convert
from sslbench.bench.recipe import Recipe


def exported_model(
    recipe: Recipe,
    cache: ModelCache,
    scratch: Path,
    *,
    opset: int | None = None,
    before_export: Callable[[], None] | None = None,
) -> Path:
    """The folder of a recipe's inference step as ONNX; see `sslbench.bench.onnx.exported` for what lies in it.

    Args:
        recipe: whose precision the model has; tf32 is a matter of the session.
        cache: where models are kept.
        scratch: a folder for models that cannot be kept.
        opset: version of the ONNX operator set; None: torch's own choice.
        before_export: called when the model is not kept, before anything is built; may raise.

    Raises:
        MeasureError: the module cannot be exported or converted.
        RecipeError: the step cannot exist.
    """
    if recipe.precision in CONVERTED and recipe.options.get("weights") != recipe.precision:
        plain = recipe.with_options(precision="fp32")

        def convert_plain(folder: Path) -> None:
            source = exported_model(plain, cache, scratch, opset=opset, before_export=before_export)
            convert(source, read_exported(source), folder, recipe.precision)

        return cache.model(recipe, opset, convert_plain, scratch / "converted")

    # Weights in half precision are exported as they are; tf32 is how fp32 is computed.
    own = recipe.with_options(precision="fp32") if recipe.precision == "tf32" else recipe

    def export(folder: Path) -> None:
        if before_export is not None:
            before_export()
        from sslbench.bench.onnx.inference_export import export_inference  # noqa: PLC0415 - imports torch

        export_inference(own, folder, opset=opset)

    return cache.model(own, opset, export, scratch / "exported")
