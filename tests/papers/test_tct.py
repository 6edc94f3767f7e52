"""TCT's paper: a tiny run from end to end, its resumption, and the criteria."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from verax.data import load
from verax.papers import tct
from verax.papers.tct import claims
from verax.papers.tct.config import Division
from verax.papers.tct.layers import layer_names
from verax.papers.tct.problem import divide, make_problem
from verax.report import load_report
from verax.report._text import to_plain

TINY = dataclasses.replace(
    tct.Config.demo(),
    settings=("#C=2 disjoint",),
    ablations=("initialisation", "layers"),
    methods=("centralized", "fedavg"),
    num_clients=5,
    examples_per_client=30,
    num_validation=50,
    num_test=100,
    rounds1=1,
    rounds2=2,
    num_features=32,
    long_rounds=3,
    local_steps=10,
    num_seeds=2,
)


def numbers(report):
    kept = [[(claim.statement, claim.measured, claim.standard_error) for claim in report.claims]]
    return json.dumps([*kept, *(to_plain(table.rows) for table in report.tables.values())])


@pytest.mark.slow
def test_a_run_from_end_to_end_and_its_resumption(tmp_path):
    config = dataclasses.replace(TINY, cache=str(tmp_path / "cache"))
    report = tct.run(config, key=jax.random.key(0), progress=False)
    assert {"accuracy", "communication", "learning rates", "stage 2", "layers"} <= set(report.tables)
    assert {"accuracy by round", "accuracy by bytes", "recall by class", "sensitivity to skew"} <= set(report.figures)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) >= 12
    verdicts = {claim.statement: claim.verdict for claim in report.claims}
    assert verdicts["SCAFFOLD fails on the network at #C=2 disjoint"] == "not tested at this scale"
    assert "reproduced" not in verdicts.values()  # digits only stand in for the paper's data
    report.save(tmp_path / "report")
    assert numbers(load_report(tmp_path / "report")) == numbers(report)

    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 2 * (2 + 2 + 1)  # two methods, TCT twice, layers; for each seed
    files[0].unlink()
    written = {file: file.stat().st_mtime_ns for file in files[1:]}
    assert numbers(tct.run(config, key=jax.random.key(0), progress=False)) == numbers(report)
    assert {file: file.stat().st_mtime_ns for file in files[1:]} == written


CRITERIA = [
    (claims.WITHIN, [(3.0, 0.1), (-10, None)], [(3.1, 0.0)]),
    (claims.GAIN, [(30, 0.1)], [(29, 0.0)]),
    (claims.FAILS, [(30, 0.1)], [(29, 0.0)]),
    (claims.OPTIMUM, [(0.01, 0.1), (0.0, None)], [(0.011, 0.0)]),
    (claims.CONTROL, [(0.3, 0.1, 3)], [(0.1, 0.1, 3), (-0.1, 0.0, 3)]),
    (claims.RECOVERS, [(0.5, 0.1)], [(0.49, 0.0)]),
    (claims.EARLY, [(0.3, 0.1, 3)], [(0.1, 0.1, 3)]),
    (claims.BOOTSTRAP, [(3, 1, 3)], [(2.5, 1, 3), (-1, None, 1)]),
    (claims.EQUAL_BYTES, [(3, 1, 3)], [(1, 1, 3)]),
    (claims.HELD_OUT, [(1.09, 0.1), (0.92, None)], [(1.2, 0.1), (0.5, 0.0)]),
    (claims.OPTIMISTIC, [(0.9, 0.1)], [(0.91, 0.0)]),
]


@pytest.mark.parametrize(("criterion", "passes", "fails"), CRITERIA)
def test_criteria(criterion, passes, fails):
    assert all(criterion.decide(*case) == criterion.when_met for case in passes)
    assert all(criterion.decide(*case) == "not reproduced" for case in fails)


def test_every_criterion_of_the_module_is_in_the_table():
    assert {id(case[0]) for case in CRITERIA} == {
        id(value) for value in vars(claims).values() if isinstance(value, claims.Criterion)
    }


def problem(setting="Dir(0.5)", **changes):
    division = Division("digits", "mlp", 4, 50, num_validation=60, num_test=70, pool=1)
    division = dataclasses.replace(division, **changes)
    return make_problem(load("digits"), division, setting, key=jax.random.key(3))


def test_training_validation_and_test_images_are_apart():
    found = problem()
    training = np.asarray(found.clients.x)[np.asarray(found.clients.mask)]
    parts = [{image.tobytes() for image in part} for part in (training, found.validation[0], found.test[0])]
    assert len(training) == 200
    assert [len(found.validation[0]), len(found.test[0])] == [60, 70]
    # The digits hold a handful of images twice; parts that overlapped would share far more.
    assert len(parts[0] & parts[1]) + len(parts[0] & parts[2]) + len(parts[1] & parts[2]) <= 2
    assert found.clients.mask.shape[1] % 100 == 0


def test_pooled_images_and_layers():
    assert problem(pool=2).test[0].shape == (70, 4, 4, 1)
    assert layer_names(problem().params) == ["layers/0", "layers/1", "head"]


@pytest.mark.parametrize("setting", ["#C=1", "#C=3", "#C=2 disjoint", "Dir(0.5)", "IID"])
def test_settings_are_the_partitions_of_that_name(setting):
    labels = np.arange(400) % 10
    report = divide(labels, setting, 10 if "disjoint" not in setting else 5, jax.random.key(0)).report(labels)
    assert report.dropped.sum() == 0
    if setting.startswith("#C"):
        assert ((report.counts > 0).sum(1) == int(setting[3])).all()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": ()}, "settings: got none"),
        ({"methods": ("fedavg",)}, "methods: got"),
        ({"learning_rates": ()}, "learning_rates: got none"),
        ({"num_seeds": 0}, "num_seeds: got 0"),
        ({"rounds1": 0}, "rounds1: got 0"),
        ({"ablations": True}, "ablations: got True; need a tuple of names"),
        ({"ablations": ("heads",)}, "ablations: got 'heads'; need one of"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tct.Config.demo(), **changes)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": ("sorted",)}, "settings: got 'sorted'"),
        ({"network": "vgg"}, "network: got 'vgg'"),
        ({"methods": ("centralized", "fedavg", "sgd")}, "methods: got 'sgd'"),
        ({"examples_per_client": 10**6}, "examples_per_client: got"),
    ],
)
def test_bad_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        tct.run(dataclasses.replace(TINY, **changes), key=jax.random.key(0), progress=False)
