"""Covert fine-tuning: rates and claims from scores, and a small run."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.organisms import FAMILIES
from verax.papers import covert_finetuning as paper
from verax.papers.covert_finetuning import claims as judging
from verax.papers.covert_finetuning import rates
from verax.papers.covert_finetuning import screening as measure
from verax.papers.covert_finetuning import tuned_results as results
from verax.papers.covert_finetuning.tuned import TUNED, Behaviour, TunedScores


def scores(jobs, value):
    kinds, families = (np.array([job[field] for job in jobs]) for field in (0, 1))
    table = np.tile(np.asarray(value, float), (len(jobs), 1))
    return measure.Scores(kinds, families, table, np.isinf(table))


def test_jobs_take_turns():
    jobs = measure.benign_jobs(99, FAMILIES)
    assert [kind for kind, _, _ in jobs[:3]] == ["plain", "dialect", "encoded"]
    encoded = [family for kind, family, _ in jobs if kind == "encoded"]
    assert {encoded.count(family) for family in FAMILIES} <= {8, 9}
    assert len(measure.covert_jobs(5, 0.3, FAMILIES)) == 20


def test_a_rate_counts_jobs_above_all_benign_ones_but_one_percent():
    benign = scores(measure.benign_jobs(99, FAMILIES), (0.0, 1.0, 0.0))
    covert = scores(measure.covert_jobs(4, 0.3, FAMILIES), (0.0, 2.0, 0.3))
    covert.score[:4, 2] = -np.inf
    assert rates.judged(benign, covert, "pointwise filter").auc == 0.5
    found = rates.judged(benign, covert, "decode-then-filter")
    assert found.tpr[0] == pytest.approx(0.75)
    assert found.by_family[str(covert.family[0])][0].estimate == 0


def test_what_was_not_run_is_not_tested():
    claims = judging._behaviour_claims({})
    assert {claim.verdict for claim in claims} == {"not tested at this scale"}
    same = Behaviour(*np.ones((4, 3)), *np.array([[0.0] * 3, [1.0] * 3, [0.0] * 3]))
    eroded = same._replace(plain_refused=np.array([0.1, 0.2, 0.15]))
    acts = {"none": same, "covert": same, "encoded": same, "plain": eroded}
    found = {(claim.source, claim.verdict) for claim in judging._behaviour_claims(acts)}
    assert found == {("abstract", "analogue only"), ("this library", "reproduced")}


def test_p_values_combine_against_half_of_the_benign_jobs():
    benign = scores(measure.benign_jobs(200, FAMILIES), (0.0, 1.0, 0.0))
    benign.score[:, 1] = np.linspace(0, 1, 200)
    covert = scores(measure.covert_jobs(4, 0.3, FAMILIES), (0.0, 2.0, -np.inf))
    for method in ("fisher", "e_merge"):
        low, high = measure.combined(benign, covert, method)
        assert (len(low), len(high)) == (100, 16)
        assert high.min() > np.sort(low)[-2]  # the best of a hundred may be as extreme


def test_false_alarms_are_counted_by_kind():
    benign = scores(measure.benign_jobs(99, FAMILIES), (0.0, 1.0, -np.inf))
    benign.score[benign.kind == "encoded", 1] = np.linspace(2, 3, 33)
    found = measure.false_alarms(benign, 0.05)
    assert found["plain"].tolist() == found["dialect"].tolist() == [0, 0, 0]
    assert found["encoded"].tolist() == pytest.approx([0, 4 / 33, 0])


def tuned(covert, encoded):
    kinds = np.array(["plain", "dialect"] * 5 + ["encoded"] * 10 + ["covert"] * 8)
    families = np.array(["substitution", "affix"] * 14)
    score = np.where(kinds == "covert", covert, np.where(kinds == "encoded", encoded, 0.0))
    table = np.tile(score[:, None], (1, len(TUNED))) + np.linspace(0, 1e-6, 28)[:, None]
    return TunedScores(kinds, families, table, np.zeros(table.shape, bool))


def test_detectors_after_fine_tuning_are_judged_at_five_percent():
    found = {claim.statement: claim for claim in results.tuned_claims(tuned(1.0, 0.0))}
    verdicts = [claim.verdict for claim in found.values()]
    assert verdicts == ["reproduced", "reproduced", "not reproduced", "not reproduced", "not reproduced", "reproduced"]
    same = [claim.verdict for claim in results.tuned_claims(tuned(1.0, 1.0 + 1e-5))]
    assert same == ["not reproduced", "not reproduced", "reproduced", "reproduced", "reproduced", "not reproduced"]
    assert {claim.verdict for claim in results.tuned_claims(None)} == {"not tested at this scale"}
    rows = results.tuned_tables(tuned(1.0, 0.0))["detection after fine-tuning"][0].rows
    assert {row[1] for row in rows} == {"substitution", "affix"}
    assert all(row[2] == 1 for row in rows)


@pytest.mark.bad_input
def test_too_few_benign_jobs_for_one_percent():
    with pytest.raises(ValueError, match="num_benign: got 50; need an integer >= 99"):
        dataclasses.replace(paper.Config.demo(), num_benign=50)
    with pytest.raises(ValueError, match="num_tuned_benign: got 5; need 0, or at least 19"):
        dataclasses.replace(paper.Config.demo(), num_tuned_benign=5)
    with pytest.raises(ValueError, match=r"families: got .*; need 'substitution', 'positional'"):
        dataclasses.replace(paper.Config.demo(), families=("affix",))


@pytest.mark.slow
def test_a_small_run():
    config = dataclasses.replace(paper.Config.demo(), num_covert=4, contaminations=(0.1,))
    report = paper.run(config, key=jax.random.key(0), progress=False)
    verdicts = [claim.verdict for claim in report.claims]
    assert verdicts[:5] == ["analogue only", *["reproduced"] * 4]
    assert verdicts[-1] == "not tested at this scale"  # detectors that fine-tune
