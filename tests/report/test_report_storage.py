import dataclasses
import json
import math

import numpy as np
import pytest

from verax.report import Claim, Criterion, Report, StoredFigure, Table, environment, load_report, style, subplots

RULE = Criterion("at least 0.95", lambda measured, standard_error: measured >= 0.95)
STAND_IN = Criterion("above 0", lambda measured, standard_error: measured > 0, when_met="analogue only")


@dataclasses.dataclass(frozen=True)
class Config:
    num_samples: tuple[int, ...] = (250, 500)
    ridge: float = 1e-6
    method: str = "eigh"


def draw():
    with style():
        figure, axes = subplots()
        axes.plot([1, 2, 3], [1, 4, 9], label="risk")
        axes.set_xlabel(r"ridge $\lambda$")
        axes.legend()
    return figure


@pytest.fixture
def report():
    claims = [
        Claim("Close", "abstract", 0.99, 0.971234567890123, 0.0042, 3, "real data", RULE),
        Claim("Far", "Fig. 1", "19.9 % test error", 0.5, None, 1, "synthetic", RULE),
        Claim("Failed", "Theorem 1", None, math.nan, None, 0, "theorem", RULE),
        Claim("Stands in", "Section 4", None, 1.0, 0.1, 2, "organism", STAND_IN),
        Claim("Later", "abstract", None, None, None, 0, "real data", RULE, "not tested at this scale"),
    ]
    table = Table(("n", "risk", "name", "ok"), [(np.int64(3), np.float32(0.1), "a", True), (4, math.inf, None, False)])
    return Report(
        title="A title with <tags> & an ampersand",
        citation="Authors, 2022",
        claims=claims,
        tables={"Risks": table},
        figures={"Risk, by ridge": draw(), "risk by ridge": draw()},
        config=Config(),
        environment=environment(),
        seconds=41.5,
        planned_seconds=40.0,
        captions={"Risks": "In units of variance.", "Risk, by ridge": "One line."},
    )


def test_round_trip(report, tmp_path):
    loaded = load_report(report.save(tmp_path / "deep" / "gcv"))
    # NaN differs from itself; everything else is equal field by field.
    assert math.isnan(loaded.claims[2].measured)
    keep = [0, 1, 3, 4]
    assert [loaded.claims[i] for i in keep] == [report.claims[i] for i in keep]
    assert [claim.verdict for claim in loaded.claims] == [claim.verdict for claim in report.claims]
    assert loaded.claims[3].criterion.when_met == "analogue only"
    for name in ("title", "citation", "tables", "config", "environment", "seconds", "planned_seconds", "captions"):
        assert getattr(loaded, name) == getattr(report, name), name
    assert str(loaded) == str(report)


def test_figures_come_back_as_images_even_when_their_names_look_alike(report, tmp_path):
    loaded = load_report(report.save(tmp_path))
    assert list(loaded.figures) == ["Risk, by ridge", "risk by ridge"]
    assert len(list((tmp_path / "figures").iterdir())) == 4
    for figure in loaded.figures.values():
        assert isinstance(figure, StoredFigure)
        assert figure.png.startswith(b"\x89PNG\r\n")
        assert "<svg" in figure.svg


def test_a_loaded_report_saves_to_the_same_files(report, tmp_path):
    load_report(report.save(tmp_path / "first")).save(tmp_path / "second")
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("first", "second")
    )
    assert first == second


def test_saving_again_leaves_no_figure_of_the_earlier_report(report, tmp_path):
    report.save(tmp_path)
    (tmp_path / "figures" / "notes.txt").write_text("mine")
    fewer = dataclasses.replace(report, figures={"Only": report.figures["risk by ridge"]}, captions={})
    fewer.save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["01-only.png", "01-only.svg", "notes.txt"]
    assert list(load_report(tmp_path).figures) == ["Only"]


def test_the_file_is_strict_json(report, tmp_path):
    text = (report.save(tmp_path) / "report.json").read_text()

    def refuse(constant):
        raise AssertionError(constant)

    document = json.loads(text, parse_constant=refuse)
    assert document["claims"][2]["measured"] == {"float": "nan"}


def test_printing_tells_planned_and_actual_time_and_every_verdict(report):
    text = str(report)
    assert "planned 40.0 s, took 41.5 s" in text
    for claim in report.claims:
        assert f"[{claim.verdict}] {claim.statement}" in text


def test_table_column_and_entries(report):
    table = report.tables["Risks"]
    assert table.column("n") == (3, 4)
    assert type(table.column("n")[0]) is int
    assert type(table.column("risk")[0]) is float
