"""Reports that other tools write themselves, frozen under ``fixtures/`` for the tests of the adapters.

``python make_fixtures.py lm_eval`` in the environment of ``requirements-lm-eval.txt``, ``python make_fixtures.py
garak`` in that of ``requirements-garak.txt``. Both run offline on a model that knows nothing: lm-eval's ``dummy`` on
additions written here, garak's blank generator with its own test probe.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent / "fixtures"

TASK = """\
task: additions
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{a}}}} + {{{{b}}}} ="
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""


def lm_eval():
    """Write the samples and results of twelve additions."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        rows = [
            {"a": i, "b": 2 * i, "choices": [str(3 * i), str(3 * i + 1), str(3 * i + 2)], "answer": i % 3}
            for i in range(12)
        ]
        (work / "additions.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (work / "additions.yaml").write_text(TASK.format(data=work / "additions.jsonl"))
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--tasks", "additions",
                   "--include_path", folder, "--output_path", str(work / "out"), "--log_samples"]  # fmt: skip
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": folder, "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run(command, check=True, env=environment)
        for kind in ("samples", "results"):
            [found] = (work / "out").rglob(f"{kind}_*")
            text = found.read_text().replace(folder, "FOLDER")
            if kind == "results":  # without what describes the machine
                kept = {name: value for name, value in json.loads(text).items() if name != "pretty_env_info"}
                text = json.dumps(kept, indent=1) + "\n"
            (HERE / f"lm_eval_{kind}{found.suffix}").write_text(text)


def garak():
    """Write the report of the test probe on the blank generator."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = pathlib.Path(folder) / "report"
        command = [sys.executable, "-m", "garak", "--model_type", "test.Blank", "--probes", "test.Test",
                   "--detectors", "always.Pass,always.Fail", "--report_prefix", str(prefix),
                   "--generations", "3"]  # fmt: skip
        environment = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CACHE_HOME": folder, "HF_HUB_OFFLINE": "1"}
        subprocess.run(command, check=True, env=environment)
        [found] = pathlib.Path(folder).rglob("*report.jsonl")
        (HERE / "garak_report.jsonl").write_text(
            found.read_text().replace(folder, "FOLDER").replace(sys.prefix, "PREFIX")
        )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    {"lm_eval": lm_eval, "garak": garak}[sys.argv[1]]()
