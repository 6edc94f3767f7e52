import errno
import io
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from verax import cli
from verax.commands._read import choose_examples, read_columns

NAMES = np.array(["ant", "bee"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("probe")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    y = NAMES[(x[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)]
    np.savez(path / "data.npz", embeddings=x[:200], labels=y[:200])
    np.savez(path / "other.npz", embeddings=x[:200, 1:], labels=y[:200])
    np.savez(path / "fresh.npz", embeddings=x[200:], labels=y[200:])
    np.save(path / "x.npy", x[:200])
    np.save(path / "y.npy", y[:200])
    lines = ["a,b,label,c"] + [f"{r[0]},{r[1]},{name},{r[2]}" for r, name in zip(x[:200], y[:200], strict=True)]
    (path / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = pyarrow.table({"embedding": x[:200].tolist(), "text": y[:200].tolist(), "label": y[:200].tolist()})
    pyarrow.parquet.write_table(table, path / "data.parquet")
    return path


def run(*arguments):
    return cli.main(["probe", *(str(argument) for argument in arguments)])


def test_screen_card_and_numbers(folder, tmp_path, capsys):
    status = run(
        folder / "data.npz",
        *("--target", "0.02", "--compare", folder / "other.npz", "--fresh", folder / "fresh.npz", "--out", tmp_path),
    )
    assert status == 0
    screen = capsys.readouterr().out
    for text in ("200 examples of 6 features, 2 classes", "Error on new data", "Class ant", "0.02", "minus other.npz"):
        assert text in screen
    numbers = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    assert numbers["num_samples"] == 200
    assert numbers["error"]["lower"] < numbers["error"]["value"] < numbers["error"]["upper"]
    assert len(numbers["learning_curve"]["value"]) == 50
    assert numbers["samples_needed"]["status"] in ("REACHED", "NOT_REACHABLE", "BEYOND_HORIZON")
    assert numbers["independence"]["p_value"] > 0.001
    assert numbers["comparison"]["difference"] < 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for text in ("Learning curve", "Spectrum", "Errors by class", "Whether to believe it", "Error on new data"):
        assert text in page
    assert "http" not in page
    assert "<script" not in page


def test_regression_and_few_examples(folder, tmp_path, capsys):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3))
    np.savez(tmp_path / "few.npz", x=x, y=x[:, 0] + 0.1 * rng.normal(size=40))
    assert run(tmp_path / "few.npz", "--task", "regression", "--target", "0.1", "--out", tmp_path / "out") == 0
    screen = capsys.readouterr().out
    for text in ("Mean squared error on new data", "No forecast: the fit has 40 examples"):
        assert text in screen
    assert json.loads((tmp_path / "out" / "probe.json").read_text())["learning_curve"] is None


def test_groups_weights_and_metric(folder, tmp_path, capsys):
    (head, *rows) = (folder / "data.csv").read_text(encoding="utf-8").split()
    lines = [head + ",person,weight"] + [f"{row},{i % 20},{1 + i % 3}" for i, row in enumerate(rows)]
    (tmp_path / "more.csv").write_text("\n".join(lines), encoding="utf-8")
    for metric, title in (("auc", "Area under the ROC curve on new data"), ("balanced", "Balanced error on new data")):
        options = ("--groups", "person", "--weights", "weight", "--metric", metric)
        assert run(tmp_path / "more.csv", *options, "--out", tmp_path / "out") == 0
        screen = " ".join(capsys.readouterr().out.split())
        assert "200 examples of 3 features" in screen
        assert title in screen
        numbers = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
        assert numbers["metric"] == metric
        assert 0.5 < numbers["roc_auc"]["value"] <= 1
        assert numbers["learning_curve"] is None
    assert run(tmp_path / "more.csv", "--groups", "video", "--weights", "weight", "--out", tmp_path / "none") == 2
    assert "groups: got 'video'; need one of a, b, label" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_text_has_to_be_embedded_first(tmp_path, capsys, kind):
    path = tmp_path / f"reviews.{kind}"
    np.savez(tmp_path / "reviews.npz", review=["good film", "bad film"], label=[1, 0])
    (tmp_path / "reviews.csv").write_text("review,label\ngood film,1\nbad film,0\n", encoding="utf-8")
    assert run(path, "--out", tmp_path / "out") == 2
    first, *code = capsys.readouterr().err.splitlines()
    assert "no numeric two-dimensional array, but text (review); need features to embed the text first" in first
    compile("\n".join(line.strip() for line in code), "code", "exec")
    assert "data['review']" in code[1]
    assert "y=data['label']" in code[2]


@pytest.mark.parametrize(
    ("name", "features", "labels", "columns"),
    [
        ("data.npz", None, None, 6),
        ("data.npz", "embeddings", "labels", 6),
        ("x.npy", None, "y.npy", 6),
        ("data.csv", None, None, 3),
        ("data.csv", "a, c", "label", 2),
        ("data.parquet", None, None, 6),
        ("data.parquet", "embedding", "text", 6),
    ],
)
def test_files(folder, name, features, labels, columns):
    labels = str(folder / labels) if name == "x.npy" else labels
    path = folder / name
    x, y = choose_examples(path, read_columns(path), features=features, labels=labels, task="classification")
    assert x.shape == (200, columns)
    assert set(y) == {"ant", "bee"}
    first = np.load(folder / "x.npy")[:, 0]
    np.testing.assert_allclose(x[:, 0], first, rtol=1e-6)
    assert isinstance(x, np.memmap) == (name == "x.npy")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("none.npz", (), "data: got no file"),
        ("data.txt", (), "need a name that ends in .npz, .npy, .csv, .parquet"),
        ("x.npy", (), "labels: got none; need --labels FILE.npy"),
        ("two.npz", (), "features: got a, b to choose from; need --features NAME"),
        ("two.npz", ("--features", "c"), "features: got 'c'; need one of a, b, y"),
        ("short.npz", (), "labels: got 9 labels for 10 rows"),
        ("data.csv", ("--labels", "a", "--features", "label"), "features: got text in column 'label'"),
        ("ragged.csv", (), "line 3, with 1 cells; need 2, as in the first line"),
        ("one.npz", (), "y: got one class"),
        ("objects.npz", (), "array 'y' of Python objects"),
        ("twice.csv", (), "two columns 'a'"),
        ("hole.csv", (), "1 missing values in column 'a', the first in row 2"),
        ("unlabelled.csv", (), "labels: got 1 missing labels, the first in row 1"),
        ("word.csv", (), "'x' in"),
    ],
)
def test_files_that_cannot_be_used(folder, tmp_path, capsys, name, arguments, message):
    (folder / "data.txt").write_text("x")
    (folder / "ragged.csv").write_text("a,label\n1,x\n2\n")
    (folder / "twice.csv").write_text("a,a,label\n1,2,x\n2,3,y\n")
    (folder / "hole.csv").write_text("a,b,label\n1,2,x\n,3,y\n")
    (folder / "unlabelled.csv").write_text("a,label\n1,\n2,y\n")
    (folder / "word.csv").write_text("a,label\n1,u\n2,v\nx,u\n")
    x = np.random.default_rng(0).normal(size=(10, 2))
    np.savez(folder / "two.npz", a=x, b=x, y=np.arange(10) % 2)
    np.savez(folder / "short.npz", a=x, y=np.arange(9) % 2)
    np.savez(folder / "one.npz", a=x, y=np.zeros(10, int))
    np.savez(folder / "objects.npz", a=x, y=np.array([None] * 10))
    assert run(folder / name, *arguments, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_are_written_before_anything_is_printed(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    assert run(folder / "data.npz", "--out", tmp_path / "file") == 2
    assert "out: got" in capsys.readouterr().err
    assert run(folder / "data.npz", "--out", tmp_path / "file" / "below") == 2
    assert "which cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdout", Full())
    assert run(folder / "data.npz", "--out", tmp_path / "out") == 1
    assert "written, but not printed" in capsys.readouterr().err
    assert (tmp_path / "out" / "index.html").exists()


class Full(io.StringIO):
    """A disk with no space left."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_names_are_only_text_in_every_encoding(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(100, 3))
    path = tmp_path / "[m] [bold] :smile:.npz"
    np.savez(path, x=x, y=np.where(x[:, 0] > 0, "[/m]", "é[bold]"))
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", screen)
    assert run(path, "--out", tmp_path / "out") == 0
    screen.flush()
    shown = screen.buffer.getvalue().decode("ascii")
    for text in ("[m] [bold] :smile:", "Class [/m]", "Class ?[bold]"):
        assert text in shown
