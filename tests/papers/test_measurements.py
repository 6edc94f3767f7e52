import json

import numpy as np
import pytest

from verax.papers._cache import Cache
from verax.papers._measurements import Measurements

FIGURES = {
    "matrix": np.array([[1 / 3, np.nan], [-np.inf, 2.0]], np.float32),
    "names": np.array(["fog", "snow"]),
    "count": np.array(3),
    "empty": np.zeros((0, 2)),
}


def test_rows_come_back_as_they_were_given_out(tmp_path):
    first = Measurements(tmp_path / "rows").get({"method": "a", "seed": 1}, [0.1], lambda: FIGURES)
    again = Measurements(tmp_path / "rows")
    second = again.get({"method": "a", "seed": 1}, [0.1], lambda: pytest.fail("computed twice"))
    assert (again.read, again.computed) == (1, 0)
    np.testing.assert_allclose(first["matrix"], FIGURES["matrix"], rtol=1e-7)
    assert first["names"].tolist() == ["fog", "snow"]
    assert first["count"] == 3
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


def test_the_file_is_readable_and_has_one_row_per_line(tmp_path):
    kept = Measurements(tmp_path / "rows")
    for seed in (1, 0):
        kept.get({"method": "a", "seed": seed}, [], lambda: {"error": np.array(0.25)})
    lines = (tmp_path / "rows.json").read_text().splitlines()
    assert len(lines) == 4
    rows = json.loads("\n".join(lines))["rows"]
    assert [row["labels"]["seed"] for row in rows] == [0, 1]
    assert rows[0]["figures"] == {"error": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["k", 1, 23], ["k", 12, 3]),
        ([1], [1.0]),
        ([np.zeros(2, np.float32)], [np.zeros(1, np.float64)]),
        ([{"rate": 0.05}], [{"rate": 0.005}]),
    ],
)
def test_other_inputs_are_measured_anew(one, other, tmp_path):
    kept, cache = Measurements(None), Cache(tmp_path)
    for inputs in (one, other, one):
        kept.get({"method": "a"}, inputs, lambda: {"x": np.zeros(1)})
        cache.get("a", inputs, lambda: {"x": np.zeros(1)})
    assert (kept.computed, cache.computed) == (2, 2)


def test_two_runs_that_share_a_file_lose_no_row(tmp_path):
    one, other = Measurements(tmp_path / "rows"), Measurements(tmp_path / "rows")
    one.get({"seed": 0}, [], lambda: {"x": np.zeros(1)})
    other.get({"seed": 1}, [], lambda: {"x": np.ones(1)})
    again = Measurements(tmp_path / "rows")
    again.get({"seed": 0}, [], lambda: pytest.fail("lost"))
    again.get({"seed": 1}, [], lambda: pytest.fail("lost"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "rows": [{}]}', '{"format": 1', "\x00", '{"rows": 3}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(ValueError, match=r"^cache: got .*rows\.json"):
        Measurements(tmp_path / "rows")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "rows.json").write_text('{"format": 2, "rows": []}')
    with pytest.raises(ValueError, match=r"rows\.json of format 2; need format 1"):
        Measurements(tmp_path / "rows")


def test_two_runs_on_one_cache_end_with_the_same_arrays(tmp_path):
    first, second, started = Cache(tmp_path), Cache(tmp_path), []

    def while_another_runs():
        started.append(second.get("draw", [1], lambda: {"x": np.arange(3.0)}))
        return {"x": np.arange(3.0)}

    kept = [first.get("draw", [1], while_another_runs), *started]
    kept.append(Cache(tmp_path).get("draw", [1], lambda: pytest.fail("computed again")))
    assert [arrays["x"].tolist() for arrays in kept] == 3 * [[0.0, 1.0, 2.0]]
    assert len(list(tmp_path.iterdir())) == 1
