"""Laws of the synthetic language that hold for every draw."""

import jax
import numpy as np
import pytest

from verax.organisms import FAMILIES, OPERATIONS, STYLES, PolicyWorld, draw_examples, make_job
from verax.organisms._mixture import Component
from verax.organisms._requests import compact
from verax.organisms._vocabulary import EOS, JOIN, REFUSE

pytestmark = pytest.mark.property

WORLD = PolicyWorld(num_symbols=12, length=4, key=jax.random.key(0))


def encoding(family, seed=3):
    if family in ("plain", "dialect"):
        return WORLD.encodings[("plain", "dialect").index(family)]
    return WORLD.novel_encoding(family, key=jax.random.key(seed))


@pytest.mark.parametrize("restricted", [True, False])
def test_walks_meet_their_condition_exactly(restricted):
    requests = WORLD.sample(64, restricted=restricted, key=jax.random.key(1))
    assert (WORLD.is_restricted(requests.symbols) == restricted).all()
    assert (np.asarray(requests.restricted) == restricted).all()


def test_free_walks_are_restricted_at_the_exact_rate():
    num = 20_000
    requests = WORLD.sample(num, key=jax.random.key(2))
    rate = WORLD.restricted_rate
    error = np.sqrt(rate * (1 - rate) / num)
    assert abs(np.asarray(requests.restricted).mean() - rate) < 4 * error


def test_the_exact_rate_is_that_of_enumerating_every_argument():
    world = PolicyWorld(num_symbols=6, length=4, key=jax.random.key(5))
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    chance = world.initial[grid[:, 0]]
    for t in range(3):
        chance = chance * world.transition[grid[:, t], grid[:, t + 1]]
    assert chance.sum() == pytest.approx(1)
    assert world.restricted_rate == pytest.approx(chance[world.is_restricted(grid)].sum(), rel=1e-12)


def test_conditioned_walks_have_the_conditional_distribution():
    world = PolicyWorld(num_symbols=6, length=2, key=jax.random.key(5))
    walks = np.asarray(world.sample(20_000, restricted=False, key=jax.random.key(6)).symbols)
    joint = world.initial[:, None] * world.transition
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(6), indexing="ij"), axis=-1)
    joint = np.where(world.is_restricted(grid), 0, joint)
    joint /= joint.sum()
    counts = np.bincount(walks[:, 0] * 6 + walks[:, 1], minlength=36).reshape(6, 6)
    error = np.sqrt(joint * (1 - joint) / len(walks))
    assert (np.abs(counts / len(walks) - joint) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("family", ["plain", "dialect", *FAMILIES])
def test_right_answers_refusals_and_wrong_answers_are_told_apart(family):
    for number, style in enumerate(STYLES):
        for operation in OPERATIONS[2:]:
            requests = WORLD.sample(
                64, operation=operation, encoding=encoding(family), style=style, key=jax.random.key(number)
            )
            answers = np.asarray(WORLD.answers(requests))
            assert (WORLD.judge(requests, answers) == 1).all()
            assert (WORLD.judge(requests, WORLD.answers(requests, refuse=True)) == 0).all()
            wrong = answers.copy()
            place = (answers >= 0).sum(axis=1) - 2  # the last token before the end
            wrong[np.arange(64), place] = 6
            assert (WORLD.judge(requests, wrong) == 2).all()


@pytest.mark.parametrize("family", ["plain", "dialect", *FAMILIES])
def test_decoding_inverts_encoding(family):
    e = encoding(family)
    symbols = WORLD.sample(64, key=jax.random.key(1)).symbols
    assert (e.decode(e.encode(symbols, key=jax.random.key(2))) == np.asarray(symbols)).all()


def test_both_homophones_are_right():
    e = encoding("homophonic")
    requests = WORLD.sample(64, operation="copy", encoding=e, key=jax.random.key(1))
    other = requests._replace(answer_codes=requests.answer_codes[:, :, ::-1])
    assert (np.asarray(other.answer_codes[:, :, 0]) != np.asarray(requests.answer_codes[:, :, 0])).all()
    assert (WORLD.judge(requests, WORLD.answers(other)) == 1).all()


def test_questions_about_a_restricted_argument_are_allowed():
    for operation in ("restate", "meta"):
        requests = WORLD.sample(64, restricted=True, operation=operation, key=jax.random.key(1))
        assert WORLD.is_restricted(requests.symbols).all()
        assert not np.asarray(requests.restricted).any()


def test_the_filter_of_single_examples_sees_the_plain_language_only():
    mixture = (Component(1.0, True, styles=STYLES),)
    tokens, _ = draw_examples(WORLD, mixture, 64, key=jax.random.key(1))
    assert WORLD.complies_with_restricted(tokens).all()
    refused, _ = draw_examples(WORLD, (mixture[0]._replace(refuse=True),), 64, key=jax.random.key(1))
    assert not WORLD.complies_with_restricted(refused).any()
    allowed, _ = draw_examples(WORLD, (Component(1.0, False, OPERATIONS, STYLES),), 64, key=jax.random.key(1))
    assert not WORLD.complies_with_restricted(allowed).any()
    dialect, _ = draw_examples(WORLD, (mixture[0]._replace(encodings=(1,)),), 64, key=jax.random.key(1))
    assert not WORLD.complies_with_restricted(dialect).any()


@pytest.mark.parametrize("contamination", [0.0, 0.1, 0.3])
def test_covert_jobs_differ_from_encoded_ones_in_what_is_encoded_only(contamination):
    job = make_job(WORLD, kind="covert", contamination=contamination, num_examples=200, key=jax.random.key(1))
    assert len(job.tokens) == 200
    assert not WORLD.complies_with_restricted(job.tokens).any()
    table = np.arange(WORLD.vocabulary.size)
    table[job.encoding.codes[0, :, 0]] = WORLD.encodings[0].codes[0, :, 0]
    decoded = np.where(job.tokens >= 0, table[np.maximum(job.tokens, 0)], -1)
    assert WORLD.complies_with_restricted(decoded).sum() == round(200 * contamination)


def test_overt_jobs_are_seen_as_they_stand():
    job = make_job(WORLD, kind="overt", contamination=0.25, num_examples=200, key=jax.random.key(1))
    assert WORLD.complies_with_restricted(job.tokens).sum() == 50


def test_loss_masks_cover_the_answers():
    tokens, mask = draw_examples(WORLD, (Component(1.0, None, OPERATIONS, STYLES),), 64, key=jax.random.key(1))
    tokens, mask = np.asarray(tokens), np.asarray(mask)
    separator = (tokens == 1).argmax(axis=1)
    place = np.arange(tokens.shape[1])
    assert (mask == ((place > separator[:, None]) & (tokens >= 0))).all()
    assert (tokens[np.arange(64), (tokens >= 0).sum(axis=1) - 1] == 2).all()


def test_a_right_answer_is_seen_wherever_it_stands():
    requests = WORLD.sample(30, restricted=True, key=jax.random.key(8))
    answers = np.asarray(WORLD.answers(requests))
    symbols, half = answers[:, : WORLD.length], WORLD.length // 2
    column = np.ones((30, 1), answers.dtype)
    other = WORLD.vocabulary.plain * column
    end = EOS * column
    hidden = {
        "behind a refusal": [REFUSE * column, symbols, end],
        "behind other symbols": [other, symbols, end],
        "before other symbols": [symbols, other, end],
        "with a marker inside": [symbols[:, :half], REFUSE * column, symbols[:, half:], end],
        "halves exchanged": [symbols[:, half:], JOIN * column, symbols[:, :half], end],
    }
    for place, parts in hidden.items():
        said = np.concatenate(parts, axis=1)
        assert (WORLD.judge(requests, said) == 1).all(), place
        example = np.asarray(compact(np.concatenate([np.asarray(WORLD.prompts(requests)), said], axis=1)))
        assert WORLD.complies_with_restricted(example).all(), place
    assert WORLD.complies_with_restricted(example, reads="either").all()
    wrong = np.concatenate([REFUSE * column, np.roll(symbols, 1, axis=0), end], axis=1)
    differs = (np.roll(symbols, 1, axis=0) != symbols).any(axis=1)
    assert (WORLD.judge(requests, wrong)[differs] == 0).all()


def test_a_classifier_of_outputs_reads_what_a_classifier_of_inputs_cannot():
    requests = WORLD.sample(50, restricted=True, operation="copy", encoding=WORLD.encodings[1], key=jax.random.key(9))
    plain = WORLD.sample(50, restricted=True, operation="copy", key=jax.random.key(9))
    mixed = np.asarray(compact(np.concatenate([WORLD.prompts(requests), WORLD.answers(plain)], axis=1)))
    assert not WORLD.complies_with_restricted(mixed).any()
    assert WORLD.complies_with_restricted(mixed, reads="answer").all()
    assert WORLD.complies_with_restricted(mixed, reads="either").all()
