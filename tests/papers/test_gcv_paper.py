"""More Than a Toy: its claims as statistics over seeds."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.papers import gcv
from verax.papers._estimate import over_seeds
from verax.papers.gcv.theorem import converge


def test_gcv_is_right_where_the_law_holds_and_too_small_where_it_does_not():
    convergence = converge((80, 320), 640, 24, [7])
    lawful, rescaled = convergence.gcv[:, :, -1].mean(-1)
    estimate = over_seeds(lawful)
    # The bias left at n = 320 is of order 1/n.
    assert abs(estimate.value) < 4 * estimate.standard_error + 0.02
    broken = over_seeds(rescaled)
    assert broken.value < -4 * broken.standard_error
    assert broken.value < -0.10
    spread = np.sqrt(np.mean(convergence.gcv[0] ** 2, axis=(0, 2)))
    assert spread[1] < 0.75 * spread[0]  # n^-1/2 would halve it
    assert (~convergence.fires[0]).mean() >= 0.9
    assert convergence.fires[1].mean() >= 0.9


@pytest.mark.slow
def test_the_demo():
    report = gcv.run(gcv.Config.demo(), key=jax.random.key(1), progress=False)
    claims = {claim.statement: claim for claim in report.claims}
    ordering = claims["GCV orders trained and random networks rightly where the spectrum alone is wrong"]
    assert ordering.verdict == "analogue only"
    assert claims["Trained representations have a lower risk than random ones"].verdict == "analogue only"
    assert (
        claims[
            "Where every image occurs twice GCV is off by more than 10 %, and the diagnostic reports duplicates"
        ].verdict
        == "analogue only"
    )
    assert all(claim.verdict != "reproduced" or claim.evidence == "synthetic" for claim in report.claims)
    # Where the ridge is large the estimate is within 5 % for every network and size.
    agreement = report.tables["agreement"]
    largest = dict(zip(agreement.column("relative ridge"), agreement.column("largest"), strict=True))
    assert largest["1.0e-02"] < 0.10
    assert largest["1.0e-01"] < 0.05


@pytest.mark.slow
@pytest.mark.needs_data
def test_images_that_the_network_has_seen_make_gcv_too_small(data_dir):
    config = dataclasses.replace(
        gcv.Config.laptop(),
        settings=(("resnet20", "cifar10"),),
        sizes=(250, 500),
        num_held_out=500,
        num_seen=500,
        num_seeds=2,
        curve_sizes=(250,),
        law_size=250,
        reliable_size=250,
        theorem_sizes=(50, 100),
        theorem_features=100,
        theorem_seeds=2,
        cache="",
    )
    report = gcv.run(config, key=jax.random.key(0), data=data_dir, progress=False)
    rows = {row[1]: row for row in report.tables["where it fails"].rows}
    columns = report.tables["where it fails"].columns
    at = columns.index("GCV at 1e-03")
    unseen, seen = (float(rows[case][at].split()[0]) for case in ("as they are", "seen in training"))
    assert seen < 0.9
    assert unseen > seen + 0.05
