"""``verax evals``: the answer first, options for what the errors ask for, and no number cut."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from verax.cli import main


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Three models on 300 prompts; b and c are better than a."""
    folder, rng = tmp_path_factory.mktemp("logs"), np.random.default_rng(0)
    item = rng.random(300)
    for name, skill in (("a", 0.5), ("b", 0.72), ("c", 0.73)):
        right = rng.random(300) < np.clip(skill + 0.6 * (item - 0.5), 0, 1)
        rows = "\n".join(f"q{i},{int(one)}" for i, one in enumerate(right))
        (folder / f"{name}.csv").write_text(f"id,correct\n{rows}\n")
    return folder


def run(tmp_path, *arguments):
    status = main(["evals", *map(str, arguments), "--out", str(tmp_path / "out")])
    path = tmp_path / "out" / f"{arguments[0]}.json"
    return status, json.loads(path.read_text()) if path.exists() else None


def test_the_answer_comes_first(logs, tmp_path, capsys):
    status, found = run(tmp_path, "compare", logs / "a.csv", logs / "b.csv")
    assert status == 0
    printed = capsys.readouterr().out
    number = r"[+-]?\d+\.\d"
    pattern = (
        rf"b is better than a: {number} % against {number} % correct, \+{number} points \[{number}, {number}\], p "
    )
    assert re.match(pattern, printed)
    assert "300 prompts, paired" in printed.splitlines()[0]
    [row] = found["differences"]
    assert {"rate_a", "rate_b", "num_units", "test", "status", "p_value", "minimum_detectable"} <= set(row)
    assert (row["num_units"], row["status"], row["test"]) == (300, "OK", "McNemar, exact")
    assert found["sentences"][0] == printed.splitlines()[0]
    page = (tmp_path / "out" / "index.html").read_text()
    assert found["sentences"][0].split(":")[0] in page
    assert "<svg" in page
    assert str(logs) not in page


def test_what_cannot_be_told_is_said(logs, tmp_path, capsys):
    run(tmp_path, "compare", logs / "b.csv", logs / "c.csv")
    assert re.search(r"^cannot tell . from .: .* points would show$", capsys.readouterr().out, re.MULTILINE)


def test_three_models_are_ranked_with_ties(logs, tmp_path):
    _, found = run(tmp_path, "compare", "--folder", logs)
    assert set(found["models"][0]["may_be_best"]) == {"b", "c"}
    assert len(found["differences"]) == 3


def test_other_prompts_are_compared_unpaired_and_some_are_left_out(logs, tmp_path, capsys):
    lines = (logs / "b.csv").read_text().splitlines()
    (tmp_path / "part.csv").write_text("\n".join(lines[:251]))
    _, found = run(tmp_path, "compare", logs / "a.csv", tmp_path / "part.csv")
    assert (found["paired"], len(found["excluded_prompts"]), found["differences"][0]["num_units"]) == (True, 50, 250)
    (tmp_path / "other.csv").write_text("\n".join([lines[0], *("x" + line for line in lines[1:])]))
    _, found = run(tmp_path, "compare", logs / "a.csv", tmp_path / "other.csv")
    assert not found["paired"]
    assert "300 and 300 prompts, unpaired" in capsys.readouterr().out
    assert run(tmp_path, "compare", logs / "a.csv", tmp_path / "other.csv", "--paired")[0] == 2


@pytest.mark.parametrize("name", ["[/m]", "gpt[beta]", "模型", "a" * 70])
def test_names_are_shown_as_they_are_and_numbers_whole(tmp_path, capsys, name):
    (tmp_path / "t.csv").write_text(f"model,prompt,correct\n{name},p,1\n{name},q,0\n{name},r,0\n", encoding="utf-8")
    assert run(tmp_path, "summarize", tmp_path / "t.csv")[0] == 0
    printed = capsys.readouterr().out
    assert name in printed
    for number in ("0.3333", "0.008404", "0.9057"):
        assert number in printed
    assert "..." not in printed


def inspect_log(path, values):
    samples = [{"id": i, "epoch": 1, "scores": scores} for i, scores in enumerate(values)]
    run = {"model": "m", "task": "t", "dataset": {"samples": len(samples)}, "config": {"epochs": 1}}
    path.write_text(json.dumps({"status": "success", "eval": run, "samples": samples}))
    return path


def test_options_answer_what_the_errors_ask_for(tmp_path, capsys):
    several = inspect_log(tmp_path / "several.json", [{"a": {"value": "C"}, "b": {"value": "P"}}] * 3)
    assert run(tmp_path, "summarize", several)[0] == 2
    assert "scorer: got None" in capsys.readouterr().err
    assert run(tmp_path, "summarize", several, "--scorer", "a")[1]["rates"][0]["estimate"] == 1
    found = run(tmp_path, "summarize", several, "--scorer", "b", "--good", "C", "--bad", "I,P,N")[1]
    assert found["rates"][0]["estimate"] == 0
    (tmp_path / "map.json").write_text('{"P": "GOOD"}')
    found = run(tmp_path, "summarize", several, "--scorer", "b", "--mapping", tmp_path / "map.json")[1]
    assert found["rates"][0]["estimate"] == 1
    assert run(tmp_path, "summarize", several, "--scorer", "a", "--outcome", "bad")[1]["rates"][0]["estimate"] == 0
    samples = tmp_path / "samples_t.jsonl"
    rows = [{"doc_id": i, "filter": f, "em": i % 2, "metrics": ["em"]} for f in ("x", "y") for i in range(4)]
    samples.write_text("\n".join(map(json.dumps, rows)))
    assert run(tmp_path, "summarize", samples)[0] == 2
    assert "filter: got None" in capsys.readouterr().err
    assert run(tmp_path, "summarize", samples, "--filter", "x")[1]["rates"][0]["num_units"] == 4


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("specification", "message"),
    [
        (
            '{"a": {"category": "c", "thresholds": [0.1, 0.2, 0.3], "hits": 1.9, "trials": 3.2}}',
            "hits 1.9 and trials 3.2",
        ),
        ('{"a": {"category": "c", "thresholds": [0.1, 0.2, 0.3], "hits": 4, "trials": 3}}', "indicator 'a': hits"),
        ('{"a": {"category": "c"}}', "need category, thresholds"),
        ("[1]", "another structure"),
        ("{", "no JSON"),
    ],
)
def test_scorecards_that_cannot_be_read(tmp_path, capsys, specification, message):
    (tmp_path / "card.json").write_text(specification)
    assert run(tmp_path, "scorecard", tmp_path / "card.json")[0] == 2
    assert message in capsys.readouterr().err


@pytest.mark.bad_input
def test_a_file_in_place_of_the_folder_ends_before_any_work(logs, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert main(["evals", "summarize", str(tmp_path / "missing.csv"), "--out", str(tmp_path / "out")]) == 2
    assert "--out: got" in capsys.readouterr().err


def test_a_terminal_without_unicode_is_enough(logs, tmp_path):
    (tmp_path / "t.csv").write_text("model,prompt,correct\né,p,1\né,q,0\n", encoding="utf-8")
    code = "import sys; from verax.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "evals", "summarize", str(tmp_path / "t.csv"), "--out", str(tmp_path / "o")]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
