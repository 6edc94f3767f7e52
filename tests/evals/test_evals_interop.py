"""Adapters: what they read, what they refuse with file and record, and the commands on top of them."""

import json

import numpy as np
import pytest

import verax.evals as ve
from verax.cli import main

pytestmark = pytest.mark.double


def columns(**changes):
    base = {"model": ["m"] * 8, "attack": ["none"] * 4 + ["a"] * 4, "prompt": list("pqrs") * 2, "sample": [0] * 8,
            "outcome": ["GOOD", "GOOD", "BAD", "GOOD", "BAD", "BAD", "UNCLEAR", "MISSING"]}  # fmt: skip
    return base | changes


def write_csv(path, table):
    lines = [",".join(table)] + [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_long_form_in_three_formats(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = columns(cluster=[1, 1, 2, 2] * 2, weight=[1.0, 2.0, 1.0, 1.0] * 2, score=[0.5] * 8)
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    expected = ve.from_frame(table)
    assert expected.labels[0, :, :, 0].tolist() == [[0, 0, 1, 0], [1, 1, 2, 3]]
    assert expected.cluster.tolist() == [0, 0, 1, 1]
    for path in (write_csv(tmp_path / "t.csv", table), tmp_path / "t.parquet"):
        found = ve.from_frame(path)
        assert (found.labels == expected.labels).all()
        np.testing.assert_allclose(found.weight, expected.weight)
    again = ve.from_frame(ve.to_frame(expected))
    assert (again.labels == expected.labels).all()
    assert again.prompt_ids == expected.prompt_ids


def test_results_of_other_tools(tmp_path):
    samples = tmp_path / "samples.jsonl"
    samples.write_text("\n".join(json.dumps({"doc_id": i % 3, "acc": 1.0, "resps": ["text"]}) for i in range(6)))
    table = ve.from_lm_eval(samples, models=["m"])
    assert table.labels.shape == (1, 1, 3, 2)
    assert "text" not in str(ve.to_frame(table))
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"b": [{"generation": "text", "label": 1}, {"label": -1}]}))
    table = ve.from_harmbench({("m", "direct"): results})
    assert table.labels.ravel().tolist() == [1, 3]
    report = tmp_path / "report.jsonl"
    rows = [{"entry_type": "attempt"}, {"entry_type": "eval", "probe": "p", "detector": "d", "passed": 8,
                                        "total_evaluated": 10, "nones": 5}]  # fmt: skip
    report.write_text("\n".join(map(json.dumps, rows)))
    found = ve.from_garak(report)["p", "d"]
    assert float(found.estimate) == pytest.approx(0.2)
    assert float(found.upper) == pytest.approx(float(ve.proportion(7, 15).upper))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcome": ["GOOD"] * 7 + ["SAFE"]}, "row 8: value 'SAFE'"),
        ({"sample": [0] * 7 + ["x"]}, "row 8: sample 'x'"),
        ({"prompt": list("pqrp") + list("pqrs")}, "row 4: a second verdict"),
        ({"prompt": list("pqrt") + list("pqrs")}, r"no record for \(m, none, s\), \(m, a, t\)"),
        ({"model": ["m"] * 7}, "columns of"),
        ({"weight": [1.0] * 7 + [2.0]}, "another weight for prompt s"),
    ],
)
def test_bad_rows_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        ve.from_frame(columns(**changes))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"doc_id": 1, "acc": 1}\n{"doc_id": 2', "line 2, which is no JSON"),
        ("a.jsonl", '{"doc_id": 1}', "line 1: no field 'acc'"),
        ("a.jsonl", '{"doc_id": 1, "acc": 7}', "line 1: value 7"),
        ("a.jsonl", "", "which is empty"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        ve.from_lm_eval(tmp_path / name, models=["m"])


def test_models_are_paired_by_prompt():
    first, second = (ve.from_frame(columns(model=[name] * 8)) for name in ("one", "two"))
    both = ve.stack_models([first, second])
    assert both.model_names == ("one", "two")
    with pytest.raises(ValueError, match=r"\['s'\] of table 0, not in all; prompt_ids \['t'\] of table 1"):
        ve.stack_models([first, ve.from_frame(columns(prompt=list("pqrt") * 2))])


@pytest.mark.costly
def test_commands(tmp_path, capsys):
    one = write_csv(tmp_path / "one.csv", columns())
    two = write_csv(tmp_path / "two.csv", columns(model=["n"] * 8, outcome=["GOOD"] * 8))
    out = tmp_path / "out"
    assert main(["evals", "summarize", str(one), "--out", str(out)]) == 0
    rates = json.loads((out / "summarize.json").read_text())["rates"]
    assert [row["estimate"] for row in rates] == pytest.approx([0.25, 1.0, 1.0])
    assert "http" not in (out / "index.html").read_text().replace("http://www.w3.org", "")
    assert main(["evals", "compare", str(one), str(two), "--paired", "--out", str(out)]) == 0
    assert json.loads((out / "compare.json").read_text())["differences"][0]["difference"] == pytest.approx(-0.25)
    specification = tmp_path / "card.json"
    specification.write_text(json.dumps({
        "tasks": {"category": "cyber", "hits": 3, "trials": 100, "thresholds": [0.05, 0.3, 0.8]},
        "attacks": {"category": "safety", "log": "one.csv", "thresholds": [0.1, 0.2, 0.9]},
    }))  # fmt: skip
    assert main(["evals", "scorecard", str(specification), "--out", str(out)]) == 0
    assert json.loads((out / "scorecard.json").read_text())["deployable"] == "False"
    assert main(["evals", "compare", str(one), "--out", str(out)]) == 2
    assert "need two" in capsys.readouterr().err
