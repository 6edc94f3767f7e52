"""Logs as people have them: what is read without an option, and the errors that say which option is needed."""

import json
import types
import zipfile

import numpy as np
import pytest

import verax.evals as ve
from verax.evals import Outcome, interop


def inspect_log(path, values, *, model="m", task="t", status="success", planned=None, epochs=1, **fields):
    """A log of Inspect whose samples have these values, by id and epoch."""
    samples = [
        {"id": i, "epoch": e, "metadata": fields.get("metadata", {}).get(i, {}), "error": fields.get("error"),
         "scores": None if value is ... else value if isinstance(value, dict) else {"s": {"value": value}}}
        for (i, e), value in values.items()
    ]  # fmt: skip
    run = {"model": model, "task": task, "dataset": {"samples": planned or len(samples) // epochs},
           "config": {"epochs": epochs}}  # fmt: skip
    if path.suffix == ".json":
        path.write_text(json.dumps({"version": 2, "status": status, "eval": run, "samples": samples}))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps({"status": status, "eval": run}))
            archive.writestr("summaries.json", json.dumps(samples))
    return path


def labels(table):
    return np.asarray(table.labels)[0, 0, :, 0].tolist()


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_values_of_every_tool_are_verdicts(tmp_path, suffix):
    values = ["C", "I", "P", "N", 1, 0, 1.0, True, False, "yes", "no", float("nan"), None, ...]
    path = inspect_log(tmp_path / f"log{suffix}", {(i, 1): value for i, value in enumerate(values)})
    assert labels(ve.from_inspect(path)) == [0, 1, 2, 1, 0, 1, 0, 0, 1, 0, 1, 3, 3, 3]


def test_a_mapping_is_a_function_or_holds_nan(tmp_path):
    path = inspect_log(tmp_path / "log.json", {(0, 1): 0.2, (1, 1): 0.9, (2, 1): float("nan")})
    table = ve.from_inspect(path, mapping=lambda v: None if v != v else Outcome.BAD if v > 0.5 else "GOOD")
    assert labels(table) == [0, 1, 3]
    nan = float("nan")
    path = inspect_log(tmp_path / "other.json", {(0, 1): "C", (1, 1): nan})
    assert labels(ve.from_inspect(path, mapping={"C": Outcome.GOOD, nan: Outcome.UNCLEAR})) == [0, 2]


def test_grades_are_scores_and_no_verdicts(tmp_path):
    table = ve.from_inspect(inspect_log(tmp_path / "log.json", {(0, 1): 0.25, (1, 1): 1.0, (2, 1): 0.5}))
    assert labels(table) == [2, 2, 2]
    np.testing.assert_allclose(np.asarray(table.scores).ravel(), [0.25, 1, 0.5])
    assert float(ve.rate(table, outcome="score").estimate[0, 0]) == pytest.approx(1.75 / 3)
    assert int(ve.rate(table).status[0, 0]) == ve.Status.NO_VERDICT


def test_scorers_and_keys_are_named(tmp_path):
    values = {(i, 1): {"a": {"value": "C"}, "b": {"value": {"x": 1, "y": 0}}} for i in range(2)}
    path = inspect_log(tmp_path / "log.json", values)
    assert labels(ve.from_inspect(path, scorer="a")) == [0, 0]
    assert labels(ve.from_inspect(path, scorer="b.y")) == [1, 1]
    for scorer, message in ((None, r"\['a', 'b'\]"), ("b", r"\['b.x', 'b.y'\]"), ("b.z", "b.x"), ("c", "scores by")):
        with pytest.raises(ValueError, match=f"scorer: .*{message}"):
            ve.from_inspect(path, scorer=scorer)


def test_errored_samples_keep_their_score(tmp_path):
    assert labels(ve.from_inspect(inspect_log(tmp_path / "l.json", {(0, 1): "C", (1, 1): ...}, error="down"))) == [0, 3]


def test_stopped_runs_are_said_to_be(tmp_path):
    values = {(i, 1): "C" for i in range(10)} | {(i, 2): "I" for i in range(4)}
    path = inspect_log(tmp_path / "log.json", values, status="error", planned=20, epochs=2)
    with pytest.warns(UserWarning, match=r"status 'error', 14 of 40 cells"):
        table = ve.from_inspect(path)
    assert (np.asarray(table.labels) == Outcome.NOT_RUN).sum() == 6
    assert "error" in table.provenance
    assert int(ve.rate(table).num_units[0, 0]) == 10


def test_tasks_folders_and_clusters(tmp_path):
    metadata = {i: {"document": f"d{i // 2}"} for i in range(4)}
    for task in ("t1", "t2"):
        inspect_log(tmp_path / f"{task}.json", {(i, 1): "C" for i in range(4)}, task=task, metadata=metadata)
    table = ve.from_inspect(tmp_path, cluster="document")
    assert table.prompt_ids[0] == "t1/0"
    assert len(set(np.asarray(table.cluster).tolist())) == 2
    assert ve.from_inspect(str(tmp_path / "t*.json")).prompt_ids == table.prompt_ids
    with pytest.raises(ValueError, match="cluster: got 'subject'"):
        ve.from_inspect(tmp_path, cluster="subject")


@pytest.mark.parametrize("common", [True, False])
def test_unequal_samples_and_prompts_are_stacked(tmp_path, common):
    first = ve.from_frame({"id": list("ppqqr"), "correct": [1, 0, 1, 1, 0], "model": ["a"] * 5})
    second = ve.from_frame({"id": list("qps"), "correct": [0, 1, 1], "model": ["b"] * 3})
    if not common:
        with pytest.raises(ValueError, match=r"common=True"):
            ve.stack_models([first, second])
        return
    both = ve.stack_models([first, second], common=True)
    assert both.prompt_ids == ("p", "q")
    assert both.labels[:, 0].tolist() == [[[0, 1], [0, 0]], [[0, -1], [1, -1]]]
    assert "['s'] of table 1" in both.provenance
    found = ve.paired_difference(both, model_a="a", model_b="b", outcome=Outcome.GOOD)
    assert float(found.difference[0]) == pytest.approx(0.75 - 0.5)


def test_models_that_were_asked_other_prompts_are_filled_on_request():
    columns = {"model": list("aab"), "id": list("pqp"), "correct": [1, 0, 1]}
    with pytest.raises(ValueError, match=r"no record for \(b, none, q\).*missing='fill'"):
        ve.from_frame(columns)
    table = ve.from_frame(columns, missing="fill")
    assert table.labels[:, 0, :, 0].tolist() == [[0, 1], [0, -1]]
    found = ve.rate(table, outcome=Outcome.GOOD)
    assert found.num_units[:, 0].tolist() == [2, 1]


ORDINARY = {
    "a.csv": "id,correct\nq1,True\nq2,False\n",
    "b.csv": "\ufeffid,correct\nq1,1.0\n\nq2,0\n\n",
    "c.csv": "ID;Correct\nq1;yes\nq2;no\n",
    "d.tsv": "prompt\tcorrect\textra\nq1\t1\tx\nq2\t0\ty\n",
    "e.jsonl": '{"question_id": "q1", "correct": true}\n\n{"question_id": "q2", "correct": false}\n',
    "f.csv": "prompt,outcome\nq1,good\nq2,BAD\n",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_tables_are_read(tmp_path, name):
    (tmp_path / name).write_text(ORDINARY[name], encoding="utf-8")
    table = ve.from_frame(tmp_path / name)
    assert (labels(table), table.prompt_ids, table.model_names) == ([0, 1], ("q1", "q2"), (name[0],))


def test_data_frames_with_gaps_are_read():
    import pandas

    frame = pandas.DataFrame({"id": [1, 2, 3], "correct": [1.0, None, 0.0], "cluster": ["x", "x", "y"]})
    table = ve.from_frame(frame)
    assert labels(table) == [0, 3, 1]
    assert table.prompt_ids == ("1", "2", "3")
    floating = ve.from_frame(frame.assign(id=[1.0, 2.0, 3.0]))
    assert floating.prompt_ids == table.prompt_ids
    with pytest.raises(ValueError, match="more than once"):
        ve.from_frame(pandas.DataFrame([[1, 2, 3]], columns=["id", "correct", "correct"]))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "question,answer\n1,2\n",
            r"(?s)without 'prompt' or 'id' and 'outcome' or 'correct'.*id,correct\n.*n 2,0",
        ),
        ("id,outcome\na,1\nb,0\n", "numbers such as '1' under 'outcome'.*right answer.*BAD"),
        ("id,id,correct\na,b,1\n", r"\['id'\] more than once"),
        ("id,correct\na,1,2\n", "row 1: 3 fields"),
        ("id,correct\n,1\n", "row 1: no prompt"),
        ("id,correct\n", "no rows"),
        ("id,correct\na,maybe\n", "row 1: value 'maybe'"),
    ],
)
def test_tables_that_are_none_say_what_is_needed(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        ve.from_frame(tmp_path / "t.csv")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,correct\n\xff\xfe,1\n"),
        ("a.jsonl", b"[" * 100_000),
        ("a.jsonl", b'{"id": ' + b"9" * 10_000 + b"}\n"),
        ("a.json", b"[" * 100_000),
        ("a.eval", b"PK\x03\x04" + bytes(100)),
        ("a.parquet", b"PAR1" + bytes(20) + b"PAR1"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    reader = ve.from_inspect if path.suffix in (".json", ".eval") else ve.from_frame
    with pytest.raises(ValueError, match=r"a\.\w+"):
        reader(path)


@pytest.mark.bad_input
def test_a_member_that_claims_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"[" + b" " * (70 << 20) + b"]")
    with pytest.raises(ValueError, match="claims"):
        ve.from_inspect(path)


@pytest.mark.bad_input
def test_sparse_names_are_refused_before_memory_is_taken():
    names = [str(i) for i in range(400)]
    columns = {"model": names, "attack": names, "prompt": names, "sample": list(range(400)), "outcome": ["GOOD"] * 400}
    for missing, message in (("error", "no record for"), ("fill", "400 records for 64000000 cells")):
        with pytest.raises(ValueError, match=message):
            ve.from_frame(columns, missing=missing)


def lm_eval_file(folder, model, task, rows):
    path = folder / model / f"samples_{task}_2025-01-02T03-04-05.678.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_filters_tasks_and_layouts_of_lm_eval(tmp_path):
    rows = [
        {"doc_id": i, "filter": name, "metrics": ["exact_match"], "exact_match": float(hit)}
        for name, hits in (("strict", [1, 0]), ("flexible", [1, 1]))
        for i, hit in enumerate(hits)
    ]
    path = lm_eval_file(tmp_path, "m", "gsm", rows)
    with pytest.raises(ValueError, match=r"filter: got None.*\['flexible', 'strict'\]"):
        ve.from_lm_eval(path)
    assert labels(ve.from_lm_eval(path, filter="strict")) == [0, 1]
    lm_eval_file(tmp_path, "m", "sums", [{"doc_id": 0, "acc": 1, "filter": "strict"}])
    lm_eval_file(tmp_path, "n", "sums", [{"doc_id": 0, "acc": 0, "filter": "strict"}])
    lm_eval_file(tmp_path, "n", "gsm", rows)
    table = ve.from_lm_eval(tmp_path, filter="strict")
    assert (table.model_names, table.prompt_ids) == (("m", "n"), ("gsm/0", "gsm/1", "sums/0"))
    former = tmp_path / "former.jsonl"
    former.write_text(json.dumps([{"doc_id": 0, "acc": 1.0}, {"doc_id": 1, "acc": 0.0}], indent=1))
    assert labels(ve.from_lm_eval(former)) == [0, 1]
    former.write_text(json.dumps([{"doc_id": 0, "bleu": 0.5, "rouge": 0.5, "metrics": ["bleu", "rouge"]}]))
    with pytest.raises(ValueError, match=r"metric: got None; the records have \['bleu', 'rouge'\]"):
        ve.from_lm_eval(former)


@pytest.mark.parametrize("by", ["document", "task"])
def test_groups_of_lm_eval_are_weighted_as_reported(tmp_path, by):
    content = {
        "results": {"a": {"acc,none": 1.0}, "b": {"acc,none": 0.5}, "g": {"acc,none": 0.75 if by == "task" else 0.55}},
        "n-samples": {"a": {"effective": 10}, "b": {"effective": 90}},
        "group_subtasks": {"g": ["a", "b"]},
    }
    (tmp_path / "results.json").write_text(json.dumps(content))
    found = ve.from_lm_eval_results(tmp_path / "results.json")["g"]
    if by == "document":
        np.testing.assert_allclose(found[1:3], ve.proportion(55, 100)[1:3])
    else:
        a, b = ve.proportion(10, 10), ve.proportion(45, 90)
        assert float(found.estimate) == 0.75
        expected = 0.75 - np.hypot(a.estimate - a.lower, b.estimate - b.lower) / 2
        assert float(found.lower) == pytest.approx(float(expected))
    content["results"]["g"]["acc,none"] = 0.6
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"group g has mean 0\.6"):
        ve.from_lm_eval_results(tmp_path / "results.json")


def garak_report(path, rows, **setup):
    entries = [{"entry_type": "start_run setup", **setup}, *rows]
    path.write_text("\n".join(map(json.dumps, entries)))
    return path


def test_limits_of_garak_are_over_prompts(tmp_path):
    hits = np.random.default_rng(0).binomial(5, 0.3, 40)
    rows = [
        {"entry_type": "attempt", "uuid": str(i), "status": 2, "probe_classname": "p",
         "detector_results": {"d": [1.0] * int(k) + [0.0] * int(5 - k)}}
        for i, k in enumerate(hits)
    ]  # fmt: skip
    rows[0]["detector_results"]["d"] = [None, 1.0]  # fewer outputs, one without a verdict
    path = garak_report(tmp_path / "r.jsonl", rows)
    table = ve.garak_tables(path)["p", "d"]
    assert table.labels[0, 0, 0].tolist() == [3, 1, -1, -1, -1]
    for draws, statistic in ((1, ve.rate(table)), (2, ve.any_of(table, draws=2))):
        found = ve.from_garak(path, draws=draws)["p", "d"]
        np.testing.assert_allclose([found.lower, found.upper], np.ravel([statistic.lower, statistic.upper]))
    assert int(found.num_units) == 39  # a prompt with a single verdict has no two draws
    strict = garak_report(tmp_path / "s.jsonl", rows[1:], **{"run.eval_threshold": 1.5})
    assert float(ve.from_garak(strict)["p", "d"].estimate) == 0


def test_totals_of_garak_say_that_they_are(tmp_path):
    row = {"entry_type": "eval", "probe": "p", "detector": "d", "passed": 9, "total_evaluated": 10}
    found = ve.from_garak(garak_report(tmp_path / "r.jsonl", [row]))["p", "d"]
    assert int(found.status) == ve.Status.TOTALS_ONLY
    with pytest.raises(ValueError, match=r"TOTALS_ONLY.*too narrow"):
        found.raise_if_failed()
    with pytest.raises(ValueError, match="draws: got 2"):
        ve.from_garak(tmp_path / "r.jsonl", draws=2)
    row["total_evaluated"] = 10**30
    with pytest.raises(ValueError, match="need counts"):
        ve.from_garak(garak_report(tmp_path / "r.jsonl", [row]))


def test_attacks_of_harmbench_may_have_unequal_cases(tmp_path):
    files = {}
    for attack, cases in (("direct", 1), ("search", 5)):
        files["m", attack] = tmp_path / f"{attack}.json"
        files["m", attack].write_text(json.dumps({name: [{"label": 1}] * cases for name in ("b1", "b2")}))
    table = ve.from_harmbench(files)
    assert table.labels.shape == (1, 2, 2, 5)
    np.testing.assert_allclose(ve.rate(table).estimate, 1)
    assert np.asarray(ve.any_of(table).num_units).tolist() == [2]
    files["m", "direct"].write_text(json.dumps({"b1": [{"label": 0}]}))
    with pytest.raises(ValueError, match=r"\(m, direct, b2\)"):
        ve.from_harmbench(files)
    assert ve.from_harmbench(files, missing="fill").labels[0, 0, 1].tolist() == [-1] * 5


def test_one_public_path():
    names = [name for name, value in vars(interop).items() if not isinstance(value, types.ModuleType)]
    assert [name for name in names if not name.startswith("_")] == []
