"""Matching markets: a small run, and the slopes that its claims rest on."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.papers import matching_markets
from verax.papers.matching_markets.claims import make_claims
from verax.papers.matching_markets.measure import Curves, golden, late_slope, slope
from verax.papers.matching_markets.tables import make_tables


def test_the_example_of_the_paper():
    assert golden() == pytest.approx((3, 2), abs=1e-5)


def test_slopes_are_those_of_powers():
    assert slope((10, 100, 1000), np.array([[1.0, 10.0, 100.0], [2.0, 2.0, 2.0]])) == pytest.approx([1, 0])
    regret = np.arange(1, 2001)[None] ** np.array([[0.5], [1.0]])
    assert late_slope(regret) == pytest.approx([0.5, 1.0])


def test_claims_follow_from_the_curves():
    config = matching_markets.Config.demo()
    rng, times = np.random.default_rng(0), np.arange(1, config.horizon + 1)
    growth = {"MatchUCB, midpoint": 0.1, "MatchUCB, row_optimal": 0.5, "MatchUCB, column_optimal": 0.5}
    growth |= {"without transfers": 1.0, "explore, then commit": 0.2, "epsilon-greedy": 0.7, "Thompson": 0.1}
    curves = {}
    for name, power in growth.items():
        total = times**power * rng.uniform(1, 1.1, (16, 1))
        instability = np.diff(total, prepend=0)
        curves[name] = Curves(instability, instability / 2, np.zeros_like(instability))
    hard = {
        name: [rng.uniform(9, 10, 16) * horizon**power for horizon in config.horizons]
        for name, power in (("MatchUCB", 0.5), ("explore, then commit", 2 / 3))
    }
    friction = Curves(instability, instability, np.ones_like(instability))
    claims = make_claims(config, hard, curves, friction, {"population": ((6, 12), np.ones((2, 16)))})
    verdicts = [claim.verdict for claim in claims]
    untested = "not tested at this scale"  # the rule of slack, then scaling but in the population
    assert [verdict == untested for verdict in verdicts] == [False] * 8 + [True, False, True, False, True, True]
    assert all(verdict == "reproduced" for verdict in verdicts if verdict != untested)
    assert set(make_tables(config, hard, curves, {})) == {"policies on random markets", "hard markets"}


def test_no_claim_survives_curves_that_contradict_it():
    config = dataclasses.replace(
        matching_markets.Config.demo(), rules=("midpoint", "row_optimal", "column_optimal", "width_slack")
    )
    rng, times = np.random.default_rng(0), np.arange(1, config.horizon + 1)
    growth = {"MatchUCB, midpoint": 0.5, "MatchUCB, row_optimal": 0.1, "MatchUCB, column_optimal": 0.1}
    growth |= {"MatchUCB, width_slack": 0.5, "without transfers": 0.5}
    curves = {}
    for name, power in growth.items():
        instability = np.diff(times**power * rng.uniform(1, 1.1, (16, 1)), prepend=0)
        curves[name] = Curves(instability, instability, np.zeros_like(instability))
    hard = {
        name: [rng.uniform(9, 10, 16) * horizon**power for horizon in config.horizons]
        for name, power in (("MatchUCB", 1.0), ("explore, then commit", 0.5))
    }
    wrong = {"agents": 2.0, "population": 0.5, "population, all present": 1.0, "dimension": 1.5}
    scaling = {
        name: ((4, 8, 16), np.array([4.0, 8.0, 16.0])[:, None] ** power * rng.uniform(1, 1.1, (3, 16)))
        for name, power in wrong.items()
    }
    friction = Curves(instability, instability, -np.ones_like(instability))
    claims = make_claims(config, hard, curves, friction, scaling)
    of_data = [claim.verdict for claim in claims if claim.evidence != "theorem"]
    assert of_data == ["not reproduced"] * 13


@pytest.mark.slow
def test_a_small_run():
    config = dataclasses.replace(
        matching_markets.Config.demo(), num_seeds=4, horizons=(100, 200, 400), size=2, horizon=100, populations=(6, 9)
    )
    report = matching_markets.run(config, key=jax.random.key(0), progress=False)
    claims = {claim.statement: claim for claim in report.claims}
    assert (
        claims["One customer matched to the worse of two providers has instability 3 and welfare gap 2"].verdict
        == "reproduced"
    )
    tested = claims["With types, and a fixed number of agents per round, regret does not depend on the population"]
    assert tested.measured is not None
    untested = claims["With linear utilities, regret grows at most in proportion to the dimension"]
    assert untested.verdict == "not tested at this scale"
    assert [row[0] for row in report.tables["scaling"].rows] == ["population"] * 2 + ["population, all present"] * 2
    assert "scaling" in report.figures
