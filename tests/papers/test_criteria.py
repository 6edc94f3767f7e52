import numpy as np
import pytest
from scipy import stats

from verax.papers._criteria import above, below, t_quantile, within


def test_limits_are_those_of_students_t():
    assert t_quantile(3) == pytest.approx(stats.t.ppf(0.95, 2))
    limit = 0.5 - t_quantile(3) * 0.1
    assert above(limit - 1e-9).decide(0.5, 0.1, 3) == "reproduced"
    assert above(limit + 1e-9).decide(0.5, 0.1, 3) == "not reproduced"
    assert below(1.0 - limit + 1e-9).decide(0.5, 0.1, 3) == "reproduced"
    assert below(1.0 - limit - 1e-9).decide(0.5, 0.1, 3) == "not reproduced"


def test_noise_never_helps():
    for rule in (above(0.0), below(1.0), within(0.6, 0.5)):
        assert rule.decide(0.5, 0.01, 5) == "reproduced"
        assert rule.decide(0.5, 10.0, 5) == "not reproduced"


def test_one_seed_shows_nothing_and_an_exact_number_shows_itself():
    for rule in (above(0.0), below(1.0), within(0.6, 0.5)):
        assert rule.decide(0.5, None, 1) == "not reproduced"
        assert rule.decide(0.5, None, 0) == "reproduced"
        assert rule.decide(0.5, None) == "reproduced"


@pytest.mark.statistical
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_no_effect_passes_at_most_one_time_in_twenty(seeds):
    draws = np.random.default_rng(0).normal(size=(4000, seeds))
    mean, error = draws.mean(1), draws.std(1, ddof=1) / np.sqrt(seeds)
    passed = [above(0.0).decide(m, e, seeds) == "reproduced" for m, e in zip(mean, error, strict=True)]
    assert np.mean(passed) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 4000)
    # A true difference as large as the margin counts as none just as rarely.
    passed = [within(1.0).decide(m + 1, e, seeds) == "reproduced" for m, e in zip(mean, error, strict=True)]
    assert np.mean(passed) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 4000)
