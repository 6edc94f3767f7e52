"""Every score against its definition, written out in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, optimize, stats

import verax.shift as vs

pytestmark = pytest.mark.double

K, N, M = 4, 60, 40


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def make(seed, num, strength):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, num)
    return strength * np.eye(K)[labels] + rng.normal(size=(num, K)), labels


VAL, LABELS = make(0, N, 2.0)
TARGET, TRUTH = make(1, M, 1.0)
ERROR = np.mean(VAL.argmax(1) != LABELS)


def atc(score):
    threshold = np.sort(score(VAL))[round(ERROR * N)]
    return np.mean(score(TARGET) < threshold)


def negative_entropy(z):
    return (softmax(z) * np.log(softmax(z))).sum(1)


def mano(z):
    p = softmax(z)
    if -np.log(p).mean() > 5:
        q = p
    else:
        q = 1 + z + z**2 / 2
        q = q - q.min(1, keepdims=True)
        q = q / q.sum(1, keepdims=True)
    return -(np.mean(np.abs(q) ** 4) ** 0.25)


def mde(z):
    energy = -np.log(np.exp(z).sum(1))
    return -np.log(-np.log(np.exp(energy) / np.exp(energy).sum()).mean())


def reweighting():
    bins = [np.minimum((softmax(z).max(1) * 10).astype(int), 9) for z in (VAL, TARGET)]
    wrong = VAL.argmax(1) != LABELS
    filled = np.unique(bins[0])
    total = 0.0
    for b in bins[1]:
        nearest = min(filled, key=lambda f: (abs(f - b), f))
        total += wrong[bins[0] == nearest].mean()
    return total / M


DEFINITIONS = {
    "average_confidence": (vs.average_confidence, lambda: 1 - softmax(TARGET).max(1).mean()),
    "entropy": (vs.entropy, lambda: -negative_entropy(TARGET).mean()),
    "difference_of_confidence": (
        vs.difference_of_confidence,
        lambda: ERROR + softmax(VAL).max(1).mean() - softmax(TARGET).max(1).mean(),
    ),
    "atc max_confidence": (vs.atc, lambda: atc(lambda z: softmax(z).max(1))),
    "atc negative_entropy": (
        lambda *a: vs.atc(*a, score="negative_entropy"),
        lambda: atc(negative_entropy),
    ),
    "nuclear_norm": (vs.nuclear_norm, lambda: -np.linalg.norm(softmax(TARGET), "nuc") / np.sqrt(M * K)),
    "mano": (vs.mano, lambda: mano(TARGET)),
    "mde": (vs.mde, lambda: mde(TARGET)),
    "importance_reweighting": (vs.importance_reweighting, reweighting),
}


@pytest.mark.parametrize(("score", "definition"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_definition(score, definition, x64):
    tolerance = 1e-12 if x64 else 2e-5
    assert float(score(VAL, LABELS, TARGET)) == pytest.approx(definition(), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("score", [score for score, _ in DEFINITIONS.values()], ids=DEFINITIONS)
def test_traced_and_batched_over_sets(score):
    # No set holds examples of the holdout: ATC's threshold is one of the holdout's own scores, to the last bit.
    targets = jnp.stack([jnp.asarray(TARGET), jnp.asarray(make(2, M, 1.5)[0])])
    batched = jax.jit(jax.vmap(lambda z: score(jnp.asarray(VAL), jnp.asarray(LABELS), z)))(targets)
    np.testing.assert_allclose(batched, [score(VAL, LABELS, z) for z in targets], rtol=2e-5)


@pytest.mark.parametrize("score", [score for score, _ in DEFINITIONS.values()], ids=DEFINITIONS)
def test_order_of_examples_does_not_matter(score, rng):
    order = rng.permutation(M)
    np.testing.assert_allclose(score(VAL, LABELS, TARGET[order]), score(VAL, LABELS, TARGET), rtol=2e-5)


def test_features(x64):
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(N, 3)), rng.normal(size=(M, 3)) * 1.5 + 0.3
    features = {"val_features": first, "target_features": second}
    cov = [np.cov(x.T) for x in (first, second)]
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(
        cov[0] + cov[1] - 2 * np.real(linalg.sqrtm(cov[1] @ cov[0]))
    )
    tolerance = 1e-7 if x64 else 1e-4
    assert float(vs.frechet(VAL, LABELS, TARGET, **features)) == pytest.approx(expected, rel=tolerance)
    same = vs.frechet(VAL, LABELS, VAL, val_features=first, target_features=first)
    assert abs(float(same)) < 1e-5
    between = 0.0
    for k in range(K):
        rows = second[TARGET.argmax(1) == k]
        if len(rows):
            between += len(rows) * np.sum((rows.mean(0) - second.mean(0)) ** 2)
    expected = -np.log(between / (K - 1))
    measured = vs.dispersion(VAL, LABELS, TARGET, target_features=second)
    assert float(measured) == pytest.approx(expected, rel=tolerance)


def test_frechet_of_fewer_examples_than_features():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(N, 80)), rng.normal(size=(M, 80))
    a, b = (np.cov(x.T) for x in (first, second))
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * cross
    measured = vs.frechet(VAL, LABELS, TARGET, val_features=first, target_features=second)
    assert float(measured) == pytest.approx(expected, rel=1e-3)


def test_agreement_and_rotation():
    other, _ = make(5, M, 1.0)
    expected = np.mean(TARGET.argmax(1) != other.argmax(1))
    assert float(vs.agreement(VAL, LABELS, TARGET, other_target_logits=other)) == pytest.approx(expected)
    turns = np.random.default_rng(6).normal(size=(4, M, 4))
    expected = np.mean(turns.argmax(2) != np.arange(4)[:, None])
    assert float(vs.rotation(VAL, LABELS, TARGET, target_rotation_logits=turns)) == pytest.approx(expected)


@pytest.mark.costly
@pytest.mark.parametrize("variant", ["S", "D"])
def test_agreement_on_the_line(variant, x64):
    rng = np.random.default_rng(7)
    noise = np.array([1.0, 1.2, 1.4, 1.7])[:, None, None]
    val = 2 * np.eye(K)[LABELS] + noise * rng.normal(size=(4, N, K))
    target = np.eye(K)[TRUTH] + noise * rng.normal(size=(4, M, K))
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    agree = [[np.mean(z[i].argmax(1) == z[j].argmax(1)) for i, j in pairs] for z in (val, target)]
    keep = [p for p in range(6) if all(0.05 <= a[p] <= 0.98 for a in agree)]
    x, y = (stats.norm.ppf(np.array(a)[keep]) for a in agree)
    slope, intercept = np.polyfit(x, y, 1)
    probit = stats.norm.ppf([np.mean(z.argmax(1) == LABELS) for z in val])
    if variant == "S":
        expected = slope * probit[0] + intercept
    else:
        system = np.zeros((len(keep), 4))
        for row, p in enumerate(keep):
            system[row, list(pairs[p])] = 0.5
        values = [y[r] + slope * ((probit[pairs[p][0]] + probit[pairs[p][1]]) / 2 - x[r]) for r, p in enumerate(keep)]
        expected = np.linalg.lstsq(system, values, rcond=None)[0][0]
    measured = vs.agreement_on_the_line(
        val[0], LABELS, target[0], other_val_logits=val[1:], other_target_logits=target[1:], variant=variant
    )
    assert float(measured) == pytest.approx(stats.norm.sf(expected), rel=1e-9 if x64 else 1e-3)


def test_temperature_is_the_best_one(x64):
    def loss(log_t):
        z = VAL / np.exp(log_t)
        return -np.log(softmax(z)[np.arange(N), LABELS]).mean()

    best = np.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    assert float(vs.fit_temperature(VAL, LABELS)) == pytest.approx(best, rel=1e-6 if x64 else 1e-4)
    assert float(vs.fit_temperature(3 * VAL, LABELS)) == pytest.approx(3 * best, rel=1e-6 if x64 else 1e-4)


def test_cbpe_against_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    p, q = softmax(VAL), softmax(TARGET)
    c = np.stack(
        [IsotonicRegression(out_of_bounds="clip").fit(p[:, k], k == LABELS).predict(q[:, k]) for k in range(K)], 1
    )
    c = c / c.sum(1, keepdims=True)
    expected = 1 - c[np.arange(M), TARGET.argmax(1)].mean()
    assert float(vs.cbpe(VAL, LABELS, TARGET)) == pytest.approx(expected, rel=1e-4)


# What goes wrong in other implementations.


def test_atc_on_the_holdout_gives_the_holdouts_own_error():
    assert float(vs.atc(VAL, LABELS, VAL)) == pytest.approx(ERROR)
    assert float(vs.atc(VAL, VAL.argmin(1), TARGET)) == 1.0  # all wrong: everything is below the threshold
    assert float(vs.atc(VAL, VAL.argmax(1), VAL)) == 0.0


def test_atc_of_a_very_sure_model_keeps_its_order():
    # Softmax rounds all of these to 1; their order must still decide.
    val = np.stack([np.array([40.0, 50.0, 60.0, 70.0]), np.zeros(4)], 1)
    labels = np.array([1, 1, 0, 0])
    target = np.stack([np.array([45.0, 65.0]), np.zeros(2)], 1)
    assert float(vs.atc(val, labels, target)) in (0.0, 0.5, 1.0)
    assert float(vs.atc(val / 4, labels, target / 4)) == 0.5


def test_mano_takes_phi_of_the_whole_set_and_of_this_set():
    peaked = 30 * np.eye(K)[TRUTH]  # Phi is far above 5
    assert -np.log(softmax(peaked)).mean() > 5 > -np.log(softmax(TARGET)).mean()
    both = np.concatenate([peaked, TARGET])
    for z in (peaked, TARGET, both, both[::-1]):
        assert float(vs.mano(VAL, LABELS, z)) == pytest.approx(mano(z), rel=1e-4)


def test_mano_of_a_constant_row_is_uniform():
    z = np.zeros((3, K))
    assert float(vs.mano(VAL, LABELS, z)) == pytest.approx(-1 / K)


def test_reweighting_drops_no_target_example():
    val = np.log(np.array([[0.95, 0.05], [0.93, 0.07]])) + 1
    target = np.log(np.array([[0.55, 0.45]])) + 1  # its bin holds none of the holdout
    assert float(vs.importance_reweighting(val, np.array([0, 1]), target)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["nuclear_norm", "mano", "mde", "average_confidence", "entropy"])
def test_larger_means_worse(name):
    # One network whose logits shrink towards noise.
    errors, scores = [], []
    for strength in (6.0, 4.0, 2.5, 1.5, 0.8):
        z, truth = make(9, 2000, strength)
        errors.append(np.mean(z.argmax(1) != truth))
        scores.append(float(getattr(vs, name)(VAL, LABELS, z)))
    assert np.all(np.diff(errors) > 0)
    assert stats.spearmanr(errors, scores).statistic > 0.8
