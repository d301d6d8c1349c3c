import io

from rich.console import Console

from sslbench.reports.overview import print_overview
from sslbench.reports.words import plain


def shown(records, width=80):
    file = io.StringIO()
    print_overview(records, Console(file=file, width=width))
    return file.getvalue()


def test_a_measurement_stands_in_the_row_of_its_prediction(sample):
    prediction = sample("prediction-cpu")
    measured = sample("measurement-cpu").model_copy(
        update={"recipe": prediction.recipe, "machine": prediction.machine, "backend": prediction.backend}
    )
    lines = shown([measured, prediction]).splitlines()
    assert len(lines) == 2
    assert "fits" in lines[1]
    assert " - " not in lines[1]
    assert len(shown([measured.model_copy(update={"backend": "onnx-cpu"}), prediction]).splitlines()) == 3


def test_no_line_is_wider_than_the_terminal(samples):
    assert all(len(line) <= 80 for line in shown(samples).splitlines())


def test_hostile_names_stay_text(hostile):
    text, records = hostile
    output = shown(records, width=400)
    assert "\x1b" not in output
    assert plain(text, 100)[:20] in output
