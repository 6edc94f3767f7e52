import math

import pytest

from verax.report import Claim, Criterion

AT_LEAST = Criterion("at least 0.95", lambda measured, standard_error: measured >= 0.95)


def make(measured=0.97, standard_error=0.01, seeds=3, evidence="real data", criterion=AT_LEAST, verdict=""):
    return Claim("A claim", "abstract", None, measured, standard_error, seeds, evidence, criterion, verdict)


def test_the_criterion_gives_the_verdict():
    assert make(measured=0.95).verdict == "reproduced"
    assert make(measured=0.9499).verdict == "not reproduced"


def test_the_criterion_sees_the_standard_error():
    rule = Criterion("above 0.9 by two standard errors", lambda measured, error: measured - 2 * error > 0.9)
    assert make(0.95, 0.02, criterion=rule).verdict == "reproduced"
    assert make(0.95, 0.03, criterion=rule).verdict == "not reproduced"


def test_a_stand_in_never_counts_as_reproduced():
    rule = Criterion("above 0.9", lambda measured, error: measured > 0.9, when_met="analogue only")
    assert make(0.95, criterion=rule).verdict == "analogue only"
    assert make(0.85, criterion=rule).verdict == "not reproduced"


@pytest.mark.parametrize("measured", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_not_finite_never_passes(measured):
    always = Criterion("always", lambda measured, error: True)
    assert make(measured, criterion=always).verdict == "not reproduced"
    assert make(1.0, math.nan, criterion=always).verdict == "not reproduced"


@pytest.mark.parametrize("verdict", ["not tested at this scale", "not testable here"])
def test_what_was_not_tested_is_said(verdict):
    assert make(None, None, 0, verdict=verdict).verdict == verdict
    assert make(0.99, verdict=verdict).verdict == verdict


def test_a_criterion_from_a_file_keeps_its_verdict():
    words = Criterion("at least 0.95")
    assert make(0.5, criterion=words, verdict="reproduced").verdict == "reproduced"


def test_numbers_become_pythons(rng):
    claim = make(rng.random(), abs(rng.random()))
    assert type(claim.measured) is float
    assert type(claim.standard_error) is float
    assert type(Claim("A", "abstract", 2, 1, None, 0, "theorem", AT_LEAST).published) is float
