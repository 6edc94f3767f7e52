"""More Than a Toy at a tiny scale: a run, its resumption, its criteria, and fitting apart from judging."""

import collections
import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.stats

import verax.spectral as vs
from verax.papers import gcv
from verax.papers._cache import Cache
from verax.papers._estimate import jackknife, over_seeds
from verax.papers.gcv import claims
from verax.papers.gcv.images import Images, draw_sample, load_images
from verax.papers.gcv.kernels import _randomised
from verax.papers.gcv.measure import Measurement, Plan, held_out_losses, measure_kernel
from verax.papers.gcv.results import Results, rank_correlations
from verax.papers.gcv.theorem import converge, rate
from verax.report import load_report
from verax.report._text import to_plain

TINY = dataclasses.replace(
    gcv.Config.demo(),
    settings=(("mlp", "digits"),),
    sizes=(16, 32, 64),
    num_held_out=128,
    num_seen=64,
    num_seeds=2,
    curve_sizes=(32,),
    law_size=32,
    reliable_size=32,
    theorem_sizes=(30, 60),
    theorem_features=80,
    theorem_seeds=2,
    block_size=96,
    num_ridges=7,
)
RIDGES = (1e-3, 1e-2, 1e-1)
PLAN = Plan((20, 40), RIDGES, num_held_out=30, num_seen=24, max_repeats=2, curve_sizes=(20,), law_size=20)


@pytest.fixture(scope="module")
def sample_kernel():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(94, 200)) * np.arange(1, 201) ** -0.6
    labels = (features[:, :3] + 0.3 * rng.normal(size=(94, 3))).argmax(1)
    return (features @ features.T).astype(np.float32), labels


def numbers(report):
    """The report's claims and tables, as JSON."""
    kept = [[(claim.statement, claim.measured, claim.standard_error) for claim in report.claims]]
    return json.dumps([*kept, *(to_plain(table.rows) for table in report.tables.values())])


def test_a_run_from_end_to_end_and_its_resumption(tmp_path):
    config = dataclasses.replace(TINY, cache=str(tmp_path / "cache"))
    report = gcv.run(config, key=jax.random.key(0), progress=False)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) >= 15
    assert {"risk", "agreement", "flagged points", "rank correlation", "scaling exponents"} <= set(report.tables)
    assert {"predicted against true", "risk against ridge", "learning curves", "spectra"} <= set(report.figures)
    assert len(report.tables["risk"].rows) == 3
    by_statement = {claim.statement: claim for claim in report.claims}
    # One network has no partner to be ordered against, and none that has seen its images.
    assert (
        by_statement["Trained representations have a lower risk than random ones"].verdict == "not tested at this scale"
    )
    silent = by_statement["The diagnostic reports no violation on features that obey the law"]
    assert silent.evidence == "synthetic"
    assert silent.seeds == 2
    report.save(tmp_path / "report")
    assert numbers(load_report(tmp_path / "report")) == numbers(report)

    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 4  # a kernel and its measurements for each seed
    lost, kept = files[::2], files[1::2]
    for file in lost:
        file.unlink()
    written = {file: file.stat().st_mtime_ns for file in kept}
    resumed = gcv.run(config, key=jax.random.key(0), progress=False)
    assert numbers(resumed) == numbers(report)
    assert sorted((tmp_path / "cache").iterdir()) == files
    assert {file: file.stat().st_mtime_ns for file in kept} == written


def test_a_tree_is_kept_with_its_structure(tmp_path):
    cache, tree = Cache(tmp_path), {"a": [np.arange(3.0), np.ones((2, 2))], "b": np.zeros(0)}
    for _ in range(2):
        found = cache.get_tree("params1", ["inputs"], tree, lambda: tree)
        jax.tree.map(np.testing.assert_array_equal, found, tree)
    assert (cache.computed, cache.read) == (1, 1)


def test_other_images_do_not_meet_the_kept_results(tmp_path):
    cache, inputs = Cache(tmp_path), [np.arange(3.0), "network"]
    first = cache.get("kernel1", inputs, lambda: {"kernel": np.ones(2)})
    again = cache.get("kernel1", inputs, lambda: {"kernel": np.zeros(2)})
    other = cache.get("kernel1", [np.arange(3.0) + 1e-9, "network"], lambda: {"kernel": np.zeros(2)})
    assert (first["kernel"] == again["kernel"]).all()
    assert (other["kernel"] == 0).all()
    assert (cache.computed, cache.read) == (2, 1)
    with pytest.raises(RuntimeError, match="interrupted"):
        cache.get("kernel1", ["another"], interrupt)
    assert len(list(tmp_path.iterdir())) == 2  # nothing half-written


def interrupt():
    raise RuntimeError("interrupted")


def test_held_out_labels_enter_nothing_but_the_held_out_risk(sample_kernel):
    kernel, labels = sample_kernel
    shuffled = labels.copy()
    shuffled[40:70] = np.random.default_rng(1).permutation(labels[40:70])
    first, second = (measure_kernel(kernel, y, 3, PLAN, [0]) for y in (labels, shuffled))
    judged = {"held_out", "held_out_error", "misclassified", "case_held_out", "seen_held_out"}
    for name in Measurement._fields:
        same = np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        assert same == (name not in judged), name


def test_seen_images_enter_nothing_but_the_fit_to_them(sample_kernel):
    kernel, labels = sample_kernel
    shuffled = labels.copy()
    shuffled[70:] = (labels[70:] + 1) % 3
    first, second = (measure_kernel(kernel, y, 3, PLAN, [0]) for y in (labels, shuffled))
    for name in Measurement._fields:
        same = np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        assert same == (not name.startswith("seen_") or name == "seen_status"), name


def test_held_out_predictions_are_those_of_kernel_ridge_regression(sample_kernel):
    kernel, labels = sample_kernel
    square, cross = kernel[:40, :40].astype(np.float64), kernel[40:70, :40].astype(np.float64)
    targets = np.eye(3)[labels]
    spectrum = vs.kernel_spectrum(square, targets[:40])
    losses, wrong = held_out_losses(spectrum, square, cross, targets[:40], targets[40:70], np.array([1e-2, 1.0]))
    for row, ridge in enumerate((1e-2, 1.0)):
        prediction = vs.kernel_ridge_fit(square, targets[:40], ridge).predict(cross)
        np.testing.assert_allclose(losses[row], np.sum((targets[40:70] - prediction) ** 2, axis=1), rtol=1e-7)
        assert (wrong[row] == (prediction.argmax(1) != targets[40:70].argmax(1))).all()


def test_images_for_training_fitting_and_judging_are_apart():
    images = load_images("digits", None, num_seen=100, rng=np.random.default_rng(0))
    whole = load_images("digits", None, num_seen=0, rng=np.random.default_rng(1))
    count = collections.Counter(image.tobytes() for part in (images.unseen, images.seen) for image in part)
    assert len(images.seen) == 200
    assert count == collections.Counter(image.tobytes() for image in whole.unseen)
    # Images that carry their own number show what is drawn.
    ids = np.arange(50, dtype=np.float32)[:, None, None, None]
    numbered = Images(ids, np.arange(50), 100 + ids, np.arange(50), 50)
    drawn = draw_sample(numbered, num_unseen=50, num_seen=10, rng=np.random.default_rng(2))
    assert sorted(drawn.images[:50].ravel()) == list(range(50))
    assert (drawn.images[50:] >= 100).all()
    assert len(set(drawn.images[50:].ravel())) == 10
    assert (drawn.images.ravel() % 100 == drawn.labels).all()


CRITERIA = [
    (claims.R_SQUARED, [(0.95, None), (1.0, 0.1)], [(0.949, None), (-3.0, 0.1)]),
    (claims.CLOSE, [(0.90, 0.1)], [(0.89, 0.1)]),
    (claims.RANKS, [(0.9, 0.1)], [(0.89, 0.1), (-1.0, 0.0)]),
    (claims.BASELINES, [(0.5, 0.1), (-1.0, 0.0)], [(0.51, 0.0)]),
    (claims.LEAKAGE, [(0.9, 0.1)], [(0.91, 0.0), (1.0, 0.0)]),
    (claims.RATE, [(0.4, 0.1), (0.9, 0.1)], [(0.39, 0.0)]),
    (claims.SILENT, [(0.9, 0.0)], [(0.89, 0.0)]),
    (claims.FIRES, [(0.9, 0.0)], [(0.89, 0.0)]),
    (claims.DUPLICATES, [(0.9, 0.0)], [(0.89, 0.0)]),
    (claims.FLAGGED, [(0.8, 0.0)], [(0.79, 0.0)]),
    (claims.DIMENSION, [(1.3, 0.1, 3), (1.01, None, 0)], [(1.29, 0.1, 3), (1.01, None, 1), (0.5, 0.0, 3)]),
    (claims.LOWER_RISK, [(0.7, 0.1, 3), (0.99, None, 0)], [(0.71, 0.1, 3), (0.9, None, 1)]),
    (claims.SPECTRUM_ORDER, [(0.5, 0.1)], [(0.51, 0.1)]),
    (claims.ORDERING, [(0.95, 0.0)], [(0.94, 0.0)]),
    (claims.CURVE, [(0.9, 0.0)], [(0.89, 0.0)]),
    (claims.LAW, [(0.9, 0.0)], [(0.89, 0.0)]),
    (claims.EXPONENT, [(0.05, None), (-0.05, 0.1)], [(0.06, 0.1), (-0.06, None)]),
    (claims.FIGURE_1, [(0.199, 0.0), (0.228, 0.0)], [(0.23, 0.0), (0.16, 0.0)]),
]


@pytest.mark.parametrize(("criterion", "passes", "fails"), CRITERIA)
def test_criteria(criterion, passes, fails):
    assert all(criterion.decide(*case) == criterion.when_met for case in passes)
    assert all(criterion.decide(*case) == "not reproduced" for case in fails)
    assert criterion.decide(float("nan"), None) == "not reproduced"


def test_every_criterion_of_the_module_is_in_the_table():
    assert {id(case[0]) for case in CRITERIA} == {
        id(value) for value in vars(claims).values() if isinstance(value, claims.Criterion)
    }


def test_rank_correlations_are_spearmans(sample_kernel):
    kernel, labels = sample_kernel
    measured = measure_kernel(kernel, labels, 3, PLAN, [0])
    config = dataclasses.replace(TINY, sizes=PLAN.sizes, curve_sizes=(20,), law_size=20)
    results = Results.of(config, RIDGES, [[measured, measured]], converge((30, 60), 40, 2, [0]))
    ranks = rank_correlations(results)
    expected = [
        scipy.stats.spearmanr(measured.held_out[n], measured.norm_bound[n]).statistic for n in range(len(PLAN.sizes))
    ]
    assert ranks.shape == (2, 3, 3)
    np.testing.assert_allclose(ranks[0, 1, 0], np.mean(expected))
    assert np.isnan(ranks[0, :, 2]).all()  # one network


def test_the_rate_and_its_error():
    sizes = (100, 200, 400, 800)
    errors = np.random.default_rng(0).normal(size=(400, 4, 1)) / np.sqrt(np.array(sizes))[:, None]
    exponent, error = rate(errors, sizes)
    assert abs(exponent - 0.5) < 4 * error
    assert 0.005 < error < 0.05
    assert rate(np.ones((3, 4, 2)) / np.array(sizes)[:, None], sizes)[0] == pytest.approx(1.0)


def test_statistics_over_seeds():
    assert over_seeds(np.array([1.0, np.nan, 3.0])) == (2.0, 1.0, 2)
    assert np.isnan(over_seeds(np.array([np.nan])).value)
    values = np.array([1.0, 2.0, 4.0, 7.0])
    mean = jackknife(lambda seeds: float(values[seeds].mean()), 4)
    assert mean.value == 3.5
    assert mean.standard_error == pytest.approx(values.std(ddof=1) / 2)


def test_random_weights_of_a_stored_network():
    stored = {
        "conv1.weight": np.full((8, 3, 3, 3), 5.0, np.float32),
        "bn1.weight": np.full(8, 5.0, np.float32),
        "bn1.running_mean": np.full(8, 5.0, np.float32),
        "bn1.running_var": np.full(8, 5.0, np.float32),
        "linear.weight": np.full((1000, 64), 5.0, np.float32),
    }
    fresh = _randomised(stored, jax.random.key(0))
    assert {name: array.shape for name, array in fresh.items()} == {name: array.shape for name, array in stored.items()}
    assert (fresh["bn1.weight"] == 1).all()
    assert (fresh["bn1.running_mean"] == 0).all()
    assert (fresh["bn1.running_var"] == 1).all()
    assert fresh["linear.weight"].std() == pytest.approx(np.sqrt(2 / 64), rel=0.02)
    assert not np.allclose(fresh["conv1.weight"], _randomised(stored, jax.random.key(1))["conv1.weight"])


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": ()}, "settings: got none"),
        ({"sizes": (100, 50)}, "sizes: got"),
        ({"sizes": (5, 50)}, "sizes: got"),
        ({"curve_sizes": (99,)}, "curve_sizes: got"),
        ({"curve_sizes": ()}, "curve_sizes: got"),
        ({"law_size": 10**6}, "law_size: got"),
        ({"num_seeds": 0}, "num_seeds: got 0"),
        ({"lowest_ridge": 0.0}, "lowest_ridge: got"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(gcv.Config.demo(), **changes)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": (("vgg", "digits"),)}, "network: got 'vgg'"),
        ({"settings": (("mlp", "letters"),)}, "data set: got 'letters'"),
        ({"num_held_out": 10**6}, "unseen images: got"),
        ({"settings": (("torchvision", "digits"), ("resnet20", "digits"))}, "settings: got"),
        ({"settings": (("torchvision", "digits"),), "weights": "none.npz"}, "weights: got no file"),
        ({"settings": (("torchvision", "digits"),), "weights": ""}, "weights: got no file"),
    ],
)
def test_bad_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        gcv.run(dataclasses.replace(TINY, **changes), key=jax.random.key(0), data=".", progress=False)


@pytest.mark.bad_input
def test_full_needs_the_arrays_of_the_user(tmp_path):
    with pytest.raises(
        ValueError, match=r"weights: got no file .*torchvision_resnet34\.npz; need an \.npz file of arrays"
    ):
        gcv.run(gcv.Config.full(), key=jax.random.key(0), data=tmp_path, progress=False)
    with pytest.raises(ValueError, match="config: got dict"):
        gcv.run({}, key=jax.random.key(0), progress=False)  # pyright: ignore[reportArgumentType]
