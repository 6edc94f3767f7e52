"""Covert fine-tuning: rates and claims from scores, and a small run."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.organisms import FAMILIES
from verax.papers import _covert_measure as measure
from verax.papers import covert_finetuning as paper


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
    assert paper.judged(benign, covert, "pointwise filter").auc == 0.5
    found = paper.judged(benign, covert, "decode-then-filter")
    assert found.tpr[0] == pytest.approx(0.75)
    assert found.by_family[str(covert.family[0])][0].estimate == 0


def test_what_was_not_run_is_not_tested():
    claims = paper._behaviour_claims({})
    assert {claim.verdict for claim in claims} == {"not tested at this scale"}
    same = measure.Behaviour(*np.ones((4, 3)))
    eroded = measure.Behaviour(np.array([0.1, 0.2, 0.15]), *np.ones((3, 3)))
    acts = {"none": same, "covert": same, "encoded": same, "plain": eroded}
    found = {(claim.source, claim.verdict) for claim in paper._behaviour_claims(acts)}
    assert found == {("abstract", "analogue only"), ("this library", "reproduced")}


@pytest.mark.bad_input
def test_too_few_benign_jobs_for_one_percent():
    with pytest.raises(ValueError, match="num_benign: got 50; need an integer >= 99"):
        dataclasses.replace(paper.Config.demo(), num_benign=50)
    with pytest.raises(ValueError, match=r"families: got .*; need 'substitution', 'positional'"):
        dataclasses.replace(paper.Config.demo(), families=("affix",))


@pytest.mark.slow
def test_a_small_run():
    config = dataclasses.replace(paper.Config.demo(), num_covert=4, contaminations=(0.1,))
    report = paper.run(config, key=jax.random.key(0), progress=False)
    verdicts = [claim.verdict for claim in report.claims]
    assert verdicts[:5] == ["analogue only", *["reproduced"] * 4]
    assert verdicts[-1] == "not tested at this scale"
