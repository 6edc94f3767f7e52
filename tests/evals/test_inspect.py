"""Logs that Inspect itself writes, read; and logs of ours, read by Inspect. Arithmetic, offline."""

import numpy as np
import pytest

import verax.evals as ve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams that Inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
inspect_ai = pytest.importorskip("inspect_ai")


@pytest.fixture(scope="module", params=["json", "eval"])
def log(tmp_path_factory, request):
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import match
    from inspect_ai.solver import solver

    @solver
    def adds():
        async def solve(state, generate):
            first, second = map(int, state.input_text.split("+"))
            wrong = (7 * first + state.epoch) % 4 == 0
            state.output = ModelOutput.from_content("mockllm/model", str(first + second + wrong))
            return state

        return solve

    questions = [
        Sample(id=f"q{i}", input=f"{i}+{i + 2}", target=str(2 * i + 2), metadata={"cluster": i // 3}) for i in range(12)
    ]
    task = inspect_ai.Task(dataset=questions, solver=adds(), scorer=match(numeric=True), epochs=3)
    folder = tmp_path_factory.mktemp(request.param)
    found = inspect_ai.eval(task, model="mockllm/model", log_dir=str(folder), log_format=request.param, display="none")
    (path,) = folder.iterdir()
    return path, found[0]


def test_verdicts_and_error_are_inspects(log):
    path, found = log
    table = ve.from_inspect(path)
    labels = np.asarray(table.labels)
    assert labels.shape == (1, 1, 12, 3)
    numbers = [int(name[1:]) for name in table.prompt_ids]  # in the log's own order
    expected = [[(7 * i + epoch) % 4 == 0 for epoch in (1, 2, 3)] for i in numbers]
    assert (labels[0, 0] == np.array(expected)).all()
    assert table.cluster.tolist() == [i // 3 for i in numbers]
    metrics = found.results.scores[0].metrics
    assert 1 - float(ve.rate(table).estimate[0, 0]) == pytest.approx(metrics["accuracy"].value)
    plain = ve.OutcomeTable(table.labels)
    assert float(ve.rate(plain).standard_error[0, 0]) == pytest.approx(metrics["stderr"].value, rel=1e-4)
    _, texts = ve.from_inspect(path, keep_text=True)
    assert texts["mockllm/model", "none", "q0", 1] == "2"


def test_inspect_reads_what_we_write(tmp_path, log):
    table = ve.from_inspect(log[0])
    ve.to_inspect(table, tmp_path / "ours.json")
    again = ve.from_inspect(tmp_path / "ours.json")
    assert (again.labels == table.labels).all()
    assert again.cluster.tolist() == table.cluster.tolist()


def test_bad_logs_are_named(tmp_path, log):
    path, _ = log
    broken = tmp_path / f"broken{path.suffix}"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="broken"):
        ve.from_inspect(broken)
    with pytest.raises(ValueError, match="a second verdict for"):
        ve.from_inspect([path, path])
    with pytest.raises(ValueError, match="sample q1, epoch 1: value 'I'"):
        ve.from_inspect(path, mapping={"C": ve.Outcome.GOOD})
