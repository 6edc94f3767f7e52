import os
import pathlib
import socket
import subprocess
import sys
import types

import jax
import pytest

import verax.papers
from support.small_paper import CALLS, Config, run
from verax import cli
from verax.report import load_report


def fail(config, *, key, data=None, progress=True):
    raise RuntimeError("the data folder is empty")


@pytest.fixture(autouse=True)
def papers(monkeypatch):
    CALLS.clear()
    monkeypatch.setattr(verax.papers._run, "_PAPERS", ("small", "broken"))
    for name, function in (("small", run), ("broken", fail)):
        module = types.ModuleType(f"verax.papers.{name}")
        module.Config, module.run = Config, function
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_reproduce_writes_the_page_and_a_folder_and_prints_the_claims(tmp_path, capsys):
    out = tmp_path / "report"
    arguments = ["--scale", "laptop", "--data", "some/folder", "--out", str(out), "--seed", "7"]
    assert cli.main(["reproduce", "small", *arguments]) == 0
    [(scale, key, data, progress)] = CALLS
    assert (scale, key, str(data), progress) == (
        "laptop",
        jax.random.key_data(jax.random.key(7)).tolist(),
        "some/folder",
        True,
    )
    assert "A small paper" in (out / "index.html").read_text()
    assert load_report(out / "small").claims[0].verdict == "not reproduced"
    printed = capsys.readouterr().out
    assert "not reproduced" in printed  # shown, though no failure
    assert str(out / "index.html") in printed


def test_a_paper_that_fails_costs_the_others_nothing_but_the_exit_status(tmp_path, capsys):
    assert cli.main(["reproduce", "--out", str(tmp_path)]) == 1
    assert [call[0] for call in CALLS] == ["demo"]
    assert (tmp_path / "index.html").is_file()
    assert not (tmp_path / "broken").exists()
    error = capsys.readouterr().err
    assert "RuntimeError: the data folder is empty" in error
    assert "failed to run: broken" in error


def test_a_paper_named_twice_runs_once(tmp_path):
    assert cli.main(["reproduce", "small", "small", "--out", str(tmp_path)]) == 0
    assert len(CALLS) == 1


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-processes", "2"], "coordinator: got none, with num_processes"),
        (["--coordinator", "auto", "--process-id", "0"], "coordinator: got 'auto', with process_id"),
        (["--coordinator", "host:1", "--process-id", "0"], "coordinator: got 'host:1' without both numbers"),
        (
            ["--coordinator", "host:1", "--process-id", "2", "--num-processes", "2"],
            "process_id: got 2; need an integer",
        ),
    ],
)
def test_processes_that_cannot_join(tmp_path, capsys, arguments, message):
    assert cli.main(["reproduce", "small", "--out", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not CALLS


SHARED = """
import sys, types
import verax.papers
from verax import cli
from support.small_paper import Config, run

verax.papers._run._PAPERS = ("one", "two", "three")
for name in verax.papers._run._PAPERS:
    module = types.ModuleType(f"verax.papers.{name}")
    module.Config, module.run = Config, run
    sys.modules[module.__name__] = module
sys.exit(cli.main(["reproduce", "--out", sys.argv[1], "--coordinator", sys.argv[2], "--num-processes", "2",
                   "--process-id", sys.argv[3]]))
"""


def test_two_processes_share_the_papers(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
    commands = [[sys.executable, "-c", SHARED, str(tmp_path), address, str(index)] for index in range(2)]
    processes = [subprocess.Popen(c, stdout=-1, stderr=-1, text=True, env=environment) for c in commands]
    printed = []
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]
        printed.append(out)
    assert [text.count("A small paper") for text in printed] == [2, 1]
    assert "Report: " in printed[0]
    assert "Report: " not in printed[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "one", "three", "two"]


def test_unknown_papers_are_named_with_those_that_exist(tmp_path, capsys):
    assert cli.main(["reproduce", "small", "nothing", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "no such paper: nothing; the papers are: small, broken\n"
    assert not CALLS
    assert not list(tmp_path.iterdir())


def test_a_wrong_option_exits_with_two(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["reproduce", "--scale", "huge"])
    assert caught.value.code == 2


def test_doctor_prints_its_report(capsys, monkeypatch):
    module = types.ModuleType("verax._doctor")
    module.report_text = lambda: "all is well"
    monkeypatch.setitem(sys.modules, "verax._doctor", module)
    monkeypatch.setattr("verax._doctor", module, raising=False)
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == "all is well\n"


def test_help_does_not_import_jax():
    code = (
        "import sys\nfrom verax import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as caught:\n    assert caught.code == 0\n"
        "assert 'jax' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "reproduce" in done.stdout
    assert "doctor" in done.stdout
