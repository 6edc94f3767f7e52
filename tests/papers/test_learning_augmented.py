import dataclasses

import jax
import numpy as np
import pytest

from verax.papers import learning_augmented as paper
from verax.papers.learning_augmented import demand, requests


@pytest.fixture(scope="module")
def report():
    config = dataclasses.replace(
        paper.Config.demo(), prices=(5,), num_jobs=(2, 10), num_points=2, num_seasons=500, num_batches=20, num_seeds=2
    )
    return paper.run(config, key=jax.random.key(0), progress=False)


@pytest.mark.slow
def test_every_theorem_is_reproduced(report):
    theorems = [claim for claim in report.claims if claim.evidence == "theorem"]
    assert len(theorems) >= 7
    assert {claim.verdict for claim in theorems} == {"reproduced"}


@pytest.mark.slow
def test_stand_ins_never_count_as_reproduced_data(report):
    assert not [claim for claim in report.claims if claim.evidence == "real data"]
    assert all(claim.published is None for claim in report.claims)


@pytest.mark.slow
def test_figures_and_tables(report):
    assert set(report.figures) == {"ski rental", "scheduling", "errors", "data"}
    assert report.tables["schedules"].column("jobs") == (2, 2, 10, 10)
    bound, found = (np.array(report.tables["schedules"].column(name)) for name in ("lower bound", "best found"))
    assert (found >= bound - 1e-6).all()


def test_seasons_are_runs_above_the_median():
    np.testing.assert_array_equal(demand._seasons(np.array([9, 9, 1, 1, 9, 1, 1, 9, 9, 9.0, 1, 1])), [2, 1, 3])


@pytest.mark.needs_data
@pytest.mark.parametrize("read", [requests.image_requests, requests.language_requests])
def test_recorded_requests(read, data_dir):
    ratios = read(data_dir, 2)
    assert ratios.shape == (4, 2)
    assert (ratios >= 1 - 1e-6).all()


@pytest.mark.bad_input
def test_bad_input():
    with pytest.raises(ValueError, match="num_seeds"):
        dataclasses.replace(paper.Config.demo(), num_seeds=1)
    with pytest.raises(ValueError, match="prices"):
        dataclasses.replace(paper.Config.demo(), prices=())
    with pytest.raises(FileNotFoundError, match="demand_series"):
        paper.run(paper.Config.laptop(), key=jax.random.key(0), data="/nonexistent", progress=False)
