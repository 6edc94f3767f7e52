"""Bad input of the evaluation room."""

import jax
import numpy as np
import pytest

import verax.evals as ve
from verax.evals import Indicator, Outcome, OutcomeTable, rate

pytestmark = pytest.mark.bad_input


def plain(shape=(2, 2, 4, 2), **options):
    return OutcomeTable(np.zeros(shape, int), **options)


CARD = Indicator("c", ve.Interval(1.2, 0.0, 1.3, 0.1, 5, 0))
CALLS = {
    "label 4": (lambda: OutcomeTable(np.full((1, 1, 2, 1), 4)), "labels"),
    "two axes": (lambda: OutcomeTable(np.zeros((2, 2), int)), "labels"),
    "floats": (lambda: OutcomeTable(np.zeros((1, 1, 2, 1))), "labels: got dtype"),
    "no prompts": (lambda: plain((1, 1, 0, 1)), "labels"),
    "weights": (lambda: plain((1, 1, 2, 1), weight=np.array([1.0, -1.0])), "weight"),
    "names": (lambda: plain((1, 1, 2, 1), prompt_ids=("a", "a")), "prompt_ids"),
    "clusters": (lambda: plain((1, 1, 2, 1), cluster=np.array([0])), "cluster"),
    "scores": (lambda: plain((1, 1, 2, 1), scores=np.full((1, 1, 2, 1), np.nan)), "scores"),
    "score of 2": (lambda: plain((1, 1, 2, 1), scores=np.full((1, 1, 2, 1), 2.0)), "scores"),
    "samples": (lambda: rate(plain(), method="wilson"), "2 samples per prompt"),
    "outcome": (lambda: rate(plain(), outcome=Outcome.MISSING), "outcome"),
    "level": (lambda: rate(plain(), level=1.0), "level"),
    "method": (lambda: rate(plain(), method="wald"), "method"),
    "treatment": (lambda: rate(plain(), unclear="drop"), "unclear"),
    "no key": (lambda: rate(plain(), method="bootstrap"), "key"),
    "judge": (lambda: rate(plain(), judge=ve.JudgeError(1.2, 0.9, 10.0, 10.0)), "judge.sensitivity"),
    "confusion": (lambda: ve.fit_judge_error(np.zeros((2, 2), int)), "confusion"),
    "few labels": (lambda: ve.ppi_rate(np.ones(1), np.ones(1), np.ones(5)), "labelled"),
    "model": (lambda: ve.paired_difference(plain(), model_a="x", model_b=1), "model_a"),
    "same model": (lambda: ve.paired_difference(plain(), model_a=1, model_b=1), "model_b"),
    "mcnemar": (lambda: ve.paired_difference(plain(), model_a=0, model_b=1, test="mcnemar"), "mcnemar"),
    "margin": (lambda: ve.paired_difference(plain(), model_a=0, model_b=1, margin=-0.1), "margin"),
    "draws": (lambda: ve.any_of(plain(), draws=3), "draws"),
    "attack": (lambda: ve.any_of(plain(), attacks=[0, 0]), "attacks"),
    "axes": (lambda: ve.any_of(plain(), generalize_over=("model",)), "generalize_over"),
    "two-way key": (lambda: ve.any_of(plain(), generalize_over=("prompt", "attack")), "key"),
    "no attack": (lambda: ve.goodness_at(plain(), q=0.1, rounding="floor"), "q"),
    "q": (lambda: ve.goodness_at(plain(), q=0.0), "q"),
    "k": (lambda: ve.pass_at_k(np.zeros((3, 4), int), k=5), "k: got 5"),
    "correct": (lambda: ve.pass_hat_k(np.full((3, 4), 2), k=1), "correct"),
    "reference": (
        lambda: ve.cons_at_k(np.zeros((3, 4), int), np.zeros(2, int), k=2, key=jax.random.key(0)), "reference"
    ),
    "stream": (lambda: ve.confidence_sequence(np.array([0, 2])), "stream"),
    "prior": (lambda: ve.confidence_sequence(np.array([0, 1]), prior=(0.0, 1.0)), "prior"),
    "p0": (lambda: ve.e_value(np.array([0, 1]), p0=1.0), "p0"),
    "more hits": (lambda: ve.proportion(5, 4), "hits"),
    "grades": (lambda: ve.hallucination_metrics(np.array([0, 3])), "grades"),
    "bbq": (
        lambda: ve.bbq_metrics(*[np.ones(3, bool)], ambiguous=np.ones(3, bool), unknown=np.ones(3, bool),
                               stereotyped=np.ones(3, bool)), "stereotyped"
    ),
    "conflict": (lambda: ve.hierarchy_metrics(np.ones(2, bool), np.array([0, 5]), num_conflicts=2), "conflict"),
    "unconnected": (lambda: ve.bradley_terry(np.zeros((2, 2), int)), "wins"),
    "ties": (lambda: ve.bradley_terry(np.ones((2, 2), int) - np.eye(2, dtype=int), ties=np.array([[0, 1], [0, 0]])),
             "ties"),
    "thresholds": (lambda: ve.scorecard({"a": CARD}, thresholds={}), "thresholds"),
    "rate of 1.2": (lambda: ve.scorecard({"a": CARD}, thresholds={"a": (0.1, 0.2, 0.3)}), "indicators"),
    "empty scores": (lambda: ve.refusal_frontier(np.zeros(0), np.zeros(3)), "unsafe"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message):
        call()
