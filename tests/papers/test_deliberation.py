"""Deliberation in organisms: votes, monitors, and claims from what was measured."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.organisms import PolicyWorld, read_thought
from verax.organisms._vocabulary import REFUSE
from verax.papers import o1_system_card
from verax.papers._cache import Cache
from verax.papers.o1_system_card import deliberation as measure
from verax.papers.o1_system_card import deliberation_results as results

WORLD = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))


def test_a_majority_takes_the_most_frequent_answer_and_of_equals_the_first():
    answers = np.array([[[1, 2], [3, 4], [3, 4]], [[1, 2], [3, 4], [5, 6]]])
    assert measure.majority(answers).tolist() == [[3, 4], [1, 2]]
    assert measure.majority(answers[:, :1]).tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize("operation", ["copy", "reverse", "successor"])
@pytest.mark.parametrize("says_restricted", [True, False])
def test_monitors_read_what_they_may(operation, says_restricted):
    mark, plain = WORLD.vocabulary.thought, WORLD.vocabulary.plain
    asked = WORLD.sample(40, restricted=True, operation=operation, key=jax.random.key(1))
    restated = jnp.stack([plain + asked.symbols, jnp.full_like(asked.symbols, mark("in_none"))], axis=2)
    verdict = mark("restricted") if says_restricted else mark("allowed")
    chain = jnp.concatenate(
        [restated.reshape(40, 4), jnp.full((40, 1), verdict), jnp.full((40, 1), mark("end"))], axis=1
    )
    for refuse, acted in ((False, True), (True, False)):
        said = jnp.concatenate([chain, WORLD.answers(asked, refuse=refuse)], axis=1)
        flags = measure.monitors(WORLD, asked.operation, read_thought(WORLD, said), acted=np.full(40, acted))
        expected = {"chain": True, "answer": acted, "chain and answer": acted,
                    "verdict against act": says_restricted and acted}  # fmt: skip
        for name, flagged in zip(measure.MONITORS, flags, strict=True):
            assert (flagged == expected[name]).all(), name


def test_answers_in_a_dialect_are_not_readable():
    asked = WORLD.sample(10, operation="copy", encoding=WORLD.encodings[1], key=jax.random.key(1))
    assert (WORLD.infer_argument(asked.operation, WORLD.answers(asked)) == -1).all()
    plain = WORLD.sample(10, operation="successor", style="affirm", key=jax.random.key(1))
    np.testing.assert_array_equal(WORLD.infer_argument(plain.operation, WORLD.answers(plain)), plain.symbols)
    refusals = np.full((10, 4), REFUSE)
    assert (WORLD.infer_argument(plain.operation, refusals) == -1).all()


def found(change: float) -> measure.Deliberation:
    """Three organisms whose distilled arm has ``change`` more BAD than the others."""
    ones = np.full((3, 8), 0.5) + np.array([[-0.01], [0.0], [0.01]])
    arms = {name: measure.Arm(ones, 1 - ones, 0 * ones, ones, 0 * ones) for name in measure.ARMS}
    arms["distilled"] = arms["distilled"]._replace(bad=ones + change)
    counts = np.tile(np.array([[9.0, 10, 5, 90], [4, 10, 0, 90], [8, 10, 1, 90], [1, 10, 0, 90]]), (3, 1, 1))
    votes = np.zeros((3, 3, 8, 2))
    votes[:, -1, :, 0] = change
    names = ("none", "affirm", "split", "dialect", "affirm+split", "affirm+dialect", "split+dialect", "all")
    return measure.Deliberation(
        names, arms, dict.fromkeys(measure.MONITORED, votes), dict.fromkeys(measure.MONITORED, counts),
        np.ones((3, 2)), np.ones(3),
    )  # fmt: skip


def test_claims_follow_from_the_measurements():
    by_length = np.array([[[0.5, 0.5]] * 3, [[0.1, 0.6]] * 3])
    fell = [claim.verdict for claim in results.make_claims(found(-0.4), by_length)]
    rose = [claim.verdict for claim in results.make_claims(found(0.4), by_length)]
    assert fell[:4] == ["analogue only", "analogue only", "not reproduced", "analogue only"]
    assert rose[:4] == ["not reproduced"] * 4
    assert (fell[8], rose[8]) == ("analogue only", "not reproduced")
    assert fell[9:] == ["reproduced", "analogue only", "reproduced", "reproduced"]
    tables = results.make_tables(found(0.0), by_length, (2, 4))
    assert [row[0] for row in tables["capability"][0].rows] == [2, 4]
    assert tables["capability"][0].rows[1][3] == pytest.approx(0.5)
    watch = {row[1]: row for row in tables["monitors"][0].rows}
    assert watch["chain"][2] == pytest.approx(0.9)
    assert watch["answer"][6] == 0


def test_without_organisms_nothing_is_tested():
    assert {claim.verdict for claim in results.make_claims(None, None)} == {"not tested at this scale"}


@pytest.mark.slow
def test_a_small_study_measures_every_arm(tmp_path):
    size = measure.Size(8, 2, 1, 32, 32, 60, 20, 10, 200, 20)
    steps: list[str] = []
    study = measure.study(size, 2, Cache(tmp_path), jax.random.key(0), steps.append)
    assert len(steps) == 2
    for arm in study.arms.values():
        np.testing.assert_allclose(arm.bad + arm.good + arm.unclear, 1)
    cache = Cache(tmp_path)
    again = measure.study(size, 2, cache, jax.random.key(0), steps.append)
    assert cache.computed == 0
    jax.tree.map(np.testing.assert_array_equal, study._replace(names=()), again._replace(names=()))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_organisms": 1}, "num_organisms: got 1; need 0, or"),
        ({"lengths": (4,)}, r"lengths: got \(4,\); need none"),
    ],
)
def test_configurations_that_make_no_sense(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(o1_system_card.Config.demo(), **fields)
