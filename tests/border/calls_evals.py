"""Valid calls of verax.evals."""

import json
import pathlib
import tempfile

import jax
import numpy as np

from support.border import call
from verax import evals

KEY = jax.random.key(0)
LABELS = np.random.default_rng(0).integers(0, 2, (2, 2, 6, 2))
NAMES = {"model_names": ("a", "b"), "attack_names": ("none", "poems"), "prompt_ids": tuple("pqrstu")}
TABLE = evals.OutcomeTable(LABELS, **NAMES)
FOLDER = pathlib.Path(tempfile.mkdtemp())
FLAGS = np.array([1, 0, 0, 1, 1, 0])
ANSWERS = np.array([[4, 4, 4, 7], [1, 2, 2, 2], [5, 6, 5, 5]])
FLOATS = {
    name: "labels are integers"
    for name in ("float64", "float32", "float16", "bfloat16", "JAX bfloat16", "torch bfloat16", "bool")
}


def _file(name, content):
    path = FOLDER / name
    path.write_text(content)
    return path


ATTEMPT = {"entry_type": "attempt", "status": 2, "probe_classname": "p", "detector_results": {"d": [1.0, 0.0]}}
GARAK = _file("garak.jsonl", "\n".join(json.dumps({"uuid": str(i)} | ATTEMPT) for i in range(3)))
SAMPLES = _file("samples_t.jsonl", "\n".join(json.dumps({"doc_id": i, "acc": i % 2}) for i in range(3)))
RESULTS = _file("r.json", json.dumps({"results": {"t": {"acc,none": 0.5}}, "n-samples": {"t": {"effective": 4}}}))
HARMBENCH = _file("h.json", json.dumps({"b": [{"label": 0}], "c": [{"label": 1}]}))
evals.to_inspect(TABLE, FOLDER / "log.json")
evals.save(TABLE, FOLDER / "table.npz")


def table_of(labels, scores, cluster, weight):
    return evals.rate(evals.OutcomeTable(labels, scores=scores, cluster=cluster, weight=weight))


CALLS = {
    "verax.evals.OutcomeTable": call(
        table_of, LABELS, LABELS / 4, np.array([0, 0, 1, 1, 2, 2]), np.array([1.0, 2, 0.5, 1, 1, 4]),
        exempt={"labels": FLOATS},
    ),
    "verax.evals.adaptive_rate": call(
        evals.adaptive_rate, lambda item: item % 2, np.array([0.25, 0.5, 1, 0]), budget=5, key=KEY
    ),
    "verax.evals.control_false_positives": call(
        evals.control_false_positives, np.array([-1.5, 0, 0.25, 2, 1]), alpha=0.25
    ),
    "verax.evals.time_horizon": call(
        evals.time_horizon, np.array([1.0, 0.5, 1, 0, 0.5, 0]), np.array([1.0, 2, 4, 8, 16, 32]), num_resamples=100,
        cluster=np.array([0, 1, 2, 3, 4, 4]), key=KEY,
    ),
    "verax.evals.any_of": call(evals.any_of, TABLE),
    "verax.evals.attack_table": call(evals.attack_table, TABLE),
    "verax.evals.bootstrap": call(
        evals.bootstrap, TABLE, lambda t: evals.rate(t).estimate, num_resamples=100, key=KEY
    ),
    "verax.evals.bradley_terry": call(
        evals.bradley_terry, np.array([[0, 6], [3, 0]]), ties=np.array([[0, 1], [1, 0]]), traceable=True
    ),
    "verax.evals.compare_models": call(evals.compare_models, TABLE, attack=0),
    "verax.evals.confidence_sequence": call(evals.confidence_sequence, FLAGS, traceable=True),
    "verax.evals.cons_at_k": call(evals.cons_at_k, ANSWERS, np.array([4, 1, 5]), k=3, num_resamples=10, key=KEY),
    "verax.evals.correct_for_judge": call(
        evals.correct_for_judge, evals.proportion(30, 300), judge=evals.JudgeError(0.9, 0.95, 50.0, 50.0)
    ),
    "verax.evals.dominates": call(evals.dominates, np.array([1.0, 0.5]), np.array([1.0, 0.25]), traceable=True),
    "verax.evals.e_value": call(evals.e_value, FLAGS, p0=0.25, traceable=True),
    "verax.evals.fit_judge_error": call(evals.fit_judge_error, np.array([[9, 1], [2, 8]]), traceable=True),
    "verax.evals.forecast_any_of": call(evals.forecast_any_of, TABLE, draws=4),
    "verax.evals.from_frame": call(evals.from_frame, {"id": tuple("pqrstu"), "correct": FLAGS.tolist()}),
    "verax.evals.from_garak": call(evals.from_garak, GARAK),
    "verax.evals.garak_tables": call(evals.garak_tables, GARAK),
    "verax.evals.from_harmbench": call(evals.from_harmbench, {("m", "direct"): HARMBENCH}),
    "verax.evals.from_inspect": call(evals.from_inspect, FOLDER / "log.json"),
    "verax.evals.from_lm_eval": call(evals.from_lm_eval, SAMPLES),
    "verax.evals.from_lm_eval_results": call(evals.from_lm_eval_results, RESULTS),
    "verax.evals.goodness_at": call(evals.goodness_at, TABLE, q=0.5, num_splits=2, key=KEY),
    "verax.evals.hallucination_metrics": call(
        evals.hallucination_metrics, np.array([0, 1, 2, 0]), traceable=True
    ),
    "verax.evals.bbq_metrics": call(
        evals.bbq_metrics, FLAGS == 1, ambiguous=np.ones(6, bool), unknown=FLAGS == 1,
        stereotyped=np.array([0, 1, 0, 0, 0, 0], bool), traceable=True,
    ),
    "verax.evals.hierarchy_metrics": call(
        evals.hierarchy_metrics, FLAGS == 1, np.array([0, 0, 1, 1, 1, 0]), num_conflicts=2, traceable=True
    ),
    "verax.evals.load": call(evals.load, FOLDER / "table.npz"),
    "verax.evals.paired_difference": call(evals.paired_difference, TABLE, model_a=0, model_b=1, margin=0.2),
    "verax.evals.pass_at_k": call(
        evals.pass_at_k, LABELS[0, 0], k=2, cluster=np.array([0, 0, 1, 1, 2, 2]),
        exempt={"correct": {"NaN": "an attempt that was not made"}},
    ),
    "verax.evals.pass_hat_k": call(
        evals.pass_hat_k, LABELS[0, 0], k=2, exempt={"correct": {"NaN": "an attempt that was not made"}}
    ),
    "verax.evals.ppi_rate": call(
        evals.ppi_rate, FLAGS * 1.0, np.array([1.0, 0, 0, 1, 0, 0.5]), np.array([1.0, 0, 0, 0.25]), traceable=True
    ),
    "verax.evals.prompts_needed": call(evals.prompts_needed, 0.1),
    "verax.evals.proportion": call(evals.proportion, np.array([1, 2]), np.array([4, 8]), traceable=True),
    "verax.evals.rate": call(evals.rate, TABLE),
    "verax.evals.refusal_frontier": call(
        evals.refusal_frontier, np.array([2.0, 3, 1, -1.5]), np.array([0.0, 1, 0.25])
    ),
    "verax.evals.save": call(evals.save, TABLE, FOLDER / "again.npz"),
    "verax.evals.scorecard": call(
        evals.scorecard, {"a": evals.Indicator("c", evals.proportion(1, 20))}, thresholds={"a": (0.1, 0.2, 0.5)}
    ),
    "verax.evals.stack_models": call(evals.stack_models, [TABLE, TABLE]),
    "verax.evals.to_frame": call(evals.to_frame, TABLE),
    "verax.evals.to_inspect": call(evals.to_inspect, TABLE, FOLDER / "other.json"),
    "verax.evals.unpaired_difference": call(evals.unpaired_difference, TABLE, TABLE, model_b=1),
}  # fmt: skip
