"""Audit by simulation: each interval covers, and each p-value is valid, from one prompt on and at rates of 0 and 1.

A limit of [0, 1] or a status other than OK counts as covering: it claims nothing.
"""

import numpy as np
import pytest

import verax.evals as ve
from verax.evals import JudgeError, OutcomeTable, Status

pytestmark = pytest.mark.statistical

NUMBERS, RATES, REPEATS = (1, 2, 3, 5, 20, 50), (0.0, 0.01, 0.5, 1.0), 1000
SLACK = 3 * np.sqrt(0.95 * 0.05 / REPEATS)
CELLS = [(n, p) for n in NUMBERS for p in RATES]


def covered(found, truth, where):
    """Assert that limits, one repetition along the first axis, cover often enough."""
    lower, upper, status = (np.asarray(part).reshape(-1) for part in (found.lower, found.upper, found.status))
    assert not np.isnan([lower, upper]).any(), where
    inside = ((lower <= truth + 1e-12) & (truth <= upper + 1e-12)) | (status != Status.OK)
    share, number = inside.mean(), len(inside)
    assert share >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / number), f"{where}: coverage {share:.3f}"


def valid(p_values, where, level=0.05):
    """Assert that a true hypothesis is rejected seldom enough."""
    p_values = np.asarray(p_values).reshape(-1)
    share = (p_values <= level).mean()
    assert share <= level + 3 * np.sqrt(level * (1 - level) / len(p_values)), f"{where}: {share:.3f} rejected"


def draws(rng, n, p, samples, kind, attacks=1, repeats=REPEATS):
    """Labels [repeats, attack, n, samples] of rate p: of equal prompts, or of prompts that always or never succeed."""
    shape = (repeats, attacks, n, samples)
    if kind == "equal":
        return (rng.random(shape) < p).astype(int)
    return np.broadcast_to(rng.random((*shape[:3], 1)) < p, shape).astype(int)


@pytest.mark.parametrize("kind", ["equal", "all or nothing"])
@pytest.mark.parametrize("samples", [1, 4])
def test_rates(samples, kind):
    rng = np.random.default_rng(0)
    for n, p in CELLS:
        labels = draws(rng, n, p, samples, kind)
        covered(ve.rate(OutcomeTable(labels)), p, (n, p))
        covered(ve.rate(OutcomeTable(labels), outcome=ve.Outcome.GOOD), 1 - p, (n, p, "good"))
        if n % 2 == 0:
            covered(ve.rate(OutcomeTable(labels, cluster=np.arange(n) // 2)), p, (n, p, "pairs"))
        scores = np.where(rng.random(labels.shape) < 0.5, labels, p)  # some samples have the rate itself as score
        covered(ve.rate(OutcomeTable(labels, scores=scores), outcome="score"), p, (n, p, "score"))


def test_any_of_two_attacks():
    rng = np.random.default_rng(1)
    for n, p in CELLS:
        for samples in (1, 3):
            labels = draws(rng, n, p, samples, "equal", attacks=2)
            covered(ve.any_of(OutcomeTable(labels)), 1 - (1 - p) ** 2, (n, p, samples))


@pytest.mark.parametrize("resample", ["problem", "attempt"])
def test_attempts(resample):
    rng = np.random.default_rng(2)
    for n, p in CELLS:
        correct = draws(rng, n, p, 4, "equal")[:, 0]
        for k in (1, 3):
            covered(ve.pass_at_k(correct, k=k, resample=resample), 1 - (1 - p) ** k, (n, p, k))
            covered(ve.pass_hat_k(correct, k=k, resample=resample), p**k, (n, p, k, "hat"))
    if resample == "attempt":  # half of the problems are always solved, the others never
        fixed = np.broadcast_to(np.repeat([1, 0], 5)[:, None], (10, 3))
        found = ve.pass_at_k(fixed, k=2, resample="attempt")
        assert found.lower < 0.45
        assert found.upper > 0.55


PAIRS = [(p, q) for p in (0.0, 0.01, 0.5, 1.0) for q in (0.0, 0.01, 0.5, 1.0)]


@pytest.mark.parametrize("samples", [1, 4])
def test_paired_differences(samples):
    rng, margin, repeats = np.random.default_rng(3), 0.2, 400 if samples == 1 else 1000
    for n in NUMBERS:
        for p, q in PAIRS:
            # Attacks are repetitions.
            labels = np.concatenate(
                [draws(rng, n, rate, samples, "equal", repeats=repeats).swapaxes(0, 1) for rate in (p, q)]
            )
            found = ve.paired_difference(
                OutcomeTable(labels), model_a=0, model_b=1, margin=max(abs(p - q), margin), adjust="none"
            )
            covered(found, p - q, (n, p, q))
            if p == q:
                valid(found.p_value, (n, p, q))
            if abs(p - q) >= margin:
                valid(found.equivalence_p_value, (n, p, q, "equivalence"))
            assert (np.asarray(found.minimum_detectable)[np.asarray(found.status) == 0] > 0).all()


def test_agreement_of_few_prompts_is_no_certainty():
    same = OutcomeTable(np.zeros((2, 1, 5, 3), int))
    found = ve.paired_difference(same, model_a=0, model_b=1, margin=0.1)
    assert found.lower[0] < -0.4
    assert found.upper[0] > 0.4
    assert found.equivalence_p_value[0] == pytest.approx(0.9**5)
    other = OutcomeTable(np.stack([np.ones((1, 3, 2), int), np.zeros((1, 3, 2), int)]))
    assert ve.paired_difference(other, model_a=0, model_b=1).p_value[0] == pytest.approx(0.25)


def test_unpaired_differences():
    rng = np.random.default_rng(4)
    for n, m in ((1, 5), (3, 3), (5, 20), (50, 20)):
        for p, q in ((0.0, 0.01), (0.01, 0.01), (0.5, 0.5), (0.5, 1.0)):
            first, second = (
                OutcomeTable(draws(rng, size, rate, 1, "equal", repeats=60).swapaxes(0, 1))
                for size, rate in ((n, p), (m, q))
            )
            found = ve.unpaired_difference(first, second)
            covered(found, p - q, (n, m, p, q))
            if p == q:
                valid(found.p_value, (n, m, p, q))


@pytest.mark.parametrize("n", [2, 5, 20, 60])
def test_prediction_powered_rates(n):
    rng = np.random.default_rng(5)
    for p in (0.0, 0.03, 0.5):
        found = []
        for _ in range(200):
            truth = (rng.random(n + 400) < p).astype(float)
            verdict = np.where(rng.random(n + 400) < 0.95, truth, 1 - truth)
            found.append(ve.ppi_rate(verdict[:n], truth[:n], verdict[n:]))
        covered(ve.Interval(*(np.array(part) for part in zip(*found, strict=True))), p, (n, p))
    clean = ve.ppi_rate(np.zeros(n), np.zeros(n), np.zeros(400))
    assert float(clean.upper) == pytest.approx(float(ve.proportion(0, n).upper))


def test_rates_after_a_judge():
    rng = np.random.default_rng(6)
    for labelled in (3, 15, 50):
        for n, p in ((20, 0.0), (50, 0.1), (400, 0.5), (50, 1.0)):
            for sensitivity, specificity in ((0.9, 0.95), (1.0, 1.0)):
                bad, good = (rng.binomial(labelled, share, REPEATS) / labelled for share in (sensitivity, specificity))
                called = rng.binomial(n, p * sensitivity + (1 - p) * (1 - specificity), REPEATS)
                judge = JudgeError(bad, good, np.full(REPEATS, labelled), np.full(REPEATS, labelled))
                covered(ve.correct_for_judge(ve.proportion(called, n), judge=judge), p, (labelled, n, p, sensitivity))


def test_sequences_hold_at_every_look():
    rng = np.random.default_rng(7)
    for p in (0.01, 0.5, 1.0):
        missed = rejected = 0
        for _ in range(100):
            stream = (rng.random(50) < p).astype(int)
            found = ve.confidence_sequence(stream)
            missed += bool(((found.lower > p) | (found.upper < p)).any())
            rejected += bool((ve.e_value(stream, p0=p) >= 20).any()) if p < 1 else 0
        assert missed <= 5 + 3 * np.sqrt(4.75)
        assert rejected <= 5 + 3 * np.sqrt(4.75)


def test_areas_under_the_frontier():
    rng = np.random.default_rng(8)
    for n in (1, 2, 3, 5, 20):
        for shift, truth in ((0.0, 0.5), (1.0, 0.76025), (3.0, 0.98305)):
            inside = [
                found.auc_lower <= truth <= found.auc_upper
                for found in (ve.refusal_frontier(rng.normal(shift, 1, n), rng.normal(0, 1, n)) for _ in range(200))
            ]
            assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200), (n, shift, np.mean(inside))


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_strengths(p):
    rng, gap = np.random.default_rng(9), np.log(p / (1 - p))
    for n in (1, 2, 5, 20):
        inside = []
        for wins in rng.binomial(n, p, 30):
            found = ve.bradley_terry(np.array([[0, wins], [n - wins, 0]]))
            error = np.sqrt(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
            inside.append(
                int(found.status) != Status.OK or abs(found.strength[0] - found.strength[1] - gap) <= 2 * error
            )
            if int(found.status) == Status.SEPARATED:
                assert np.isinf(found.standard_error).all()
        assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 30)
