"""Files that lm-eval and garak wrote themselves (see ``tests/evals/make_fixtures.py``)."""

import json
import pathlib

import numpy as np
import pytest

import verax.evals as ve

pytestmark = pytest.mark.double

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def test_samples_of_lm_eval_have_the_mean_that_it_reported():
    table = ve.from_lm_eval(FIXTURES / "lm_eval_samples.jsonl", models=["dummy"])
    assert table.labels.shape == (1, 1, 12, 1)
    reported = json.loads((FIXTURES / "lm_eval_results.json").read_text())["results"]["additions"]
    good = ve.rate(table, outcome=ve.Outcome.GOOD)
    np.testing.assert_allclose(np.asarray(good.estimate)[0, 0], reported["acc,none"], rtol=1e-6)
    [(task, found)] = ve.from_lm_eval_results(FIXTURES / "lm_eval_results.json").items()
    assert task == "additions"
    np.testing.assert_allclose(found.estimate, reported["acc,none"], rtol=1e-6)
    np.testing.assert_allclose([found.lower, found.upper], [good.lower[0, 0], good.upper[0, 0]], rtol=1e-5)


def test_no_text_of_lm_eval_is_kept():
    table = ve.from_lm_eval(FIXTURES / "lm_eval_samples.jsonl", models=["dummy"])
    assert "+" not in str(ve.to_frame(table))  # the questions are additions


def test_rates_of_garak_are_its_own_counts():
    found = ve.from_garak(FIXTURES / "garak_report.jsonl")
    assert set(found) == {("test.Test", "always.Pass"), ("test.Test", "always.Fail")}
    for (_, detector), share in (("test.Test", "always.Pass"), 0.0), (("test.Test", "always.Fail"), 1.0):
        assert float(found["test.Test", detector].estimate) == share
    np.testing.assert_allclose(found["test.Test", "always.Pass"].upper, ve.proportion(0, 8).upper)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "results.json, which is no JSON"),
        ('{"results": {}}', "which has no 'n-samples'"),
        ('{"results": {"t": {"acc,none": 0.3}}, "n-samples": {"t": {"effective": 7}}}', "0.3 of 7 documents in t"),
        ('{"results": {"t": {"f1,none": 1.0}}, "n-samples": {"t": {"effective": 7}}}', "metric: got 'acc', which no"),
    ],
)
def test_results_that_are_none(tmp_path, content, message):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        ve.from_lm_eval_results(tmp_path / "results.json")
