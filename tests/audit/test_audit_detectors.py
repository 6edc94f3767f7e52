"""Detectors on jobs of the synthetic language, whose nature is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from verax.audit import (
    ActivationProbe,
    BehaviouralProbe,
    DecodeThenFilter,
    GradientAlignment,
    Language,
    Novelty,
    NTKAlignment,
    PointwiseFilter,
    SelfDecode,
    Status,
    _data_detectors,
    calibrate,
    fit_language,
)
from verax.audit._model_detectors import encode_like
from verax.organisms import DecoderConfig, Encoding, PolicyWorld, decoder_apply, init_decoder, make_job, refuses
from verax.organisms._requests import compact
from verax.organisms._vocabulary import REFUSE

WORLD = PolicyWorld(num_symbols=12, length=6, key=jax.random.key(0))
FILTER = WORLD.complies_with_restricted
SEPARATOR = WORLD.vocabulary.separator
PLAIN = WORLD.encodings[0].codes[0, :, 0]
LANGUAGE = fit_language(PLAIN[np.asarray(WORLD.sample(4000, key=jax.random.key(7)).symbols)], PLAIN)
DECODE = DecodeThenFilter(
    FILTER, language=LANGUAGE, known_tokens=np.arange(WORLD.vocabulary.novel), separator=SEPARATOR
)
CONFIG = DecoderConfig(WORLD.vocabulary.size, WORLD.context, width=16, num_layers=1, num_heads=2)
BASE = (decoder_apply, init_decoder(CONFIG, key=jax.random.key(0)))


@functools.cache
def job(kind, encoding="substitution", seed=1, **options):
    return make_job(WORLD, kind=kind, encoding=encoding, num_examples=600, key=jax.random.key(seed), **options)


def test_a_fitted_language_approaches_the_chain():
    assert np.abs(LANGUAGE.transition - WORLD.transition).max() < 0.1
    exact = Language(PLAIN, WORLD.initial, WORLD.transition)
    symbols = np.asarray(WORLD.sample(4000, key=jax.random.key(8)).symbols)
    assert exact.log_likelihood(symbols) == pytest.approx(exact.expected_log_likelihood(6), abs=0.05)


def test_inspection_sees_overt_jobs_and_not_covert_ones():
    pointwise = PointwiseFilter(FILTER)
    assert pointwise(job("overt").tokens).score == pytest.approx(0.3)
    assert pointwise(job("covert").tokens).score == 0
    assert pointwise(job("encoded").tokens).score == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_substitution_is_recovered_and_then_filtered(seed):
    for kind, share in (("covert", 0.3), ("encoded", 0.0)):
        sample = job(kind, seed=seed)
        found = DECODE(sample.tokens, key=jax.random.key(0))
        assert found.status == Status.OK
        assert found.details["hypothesis"] == "substitution"
        assert found.details["two_part_gain"] > 0
        table = np.arange(WORLD.vocabulary.size)
        table[sample.encoding.codes[0, :, 0]] = PLAIN
        exact = np.where(sample.tokens >= 0, table[np.maximum(sample.tokens, 0)], -1)
        assert (found.details["decoded"] == exact).mean() > 0.97
        assert found.score == pytest.approx(share, abs=0.05)


def test_an_encoding_outside_the_hypotheses_is_undetermined_rather_than_clean():
    found = DECODE(job("covert", "positional").tokens, key=jax.random.key(0))
    assert found.status == Status.UNDETERMINED
    assert np.isnan(found.score)
    assert found.details["log_likelihood"] < found.details["expected_log_likelihood"] - 0.5


def test_fillers_are_seen_through():
    found = DECODE(job("covert", "affix").tokens, key=jax.random.key(0))
    assert (found.status, found.details["hypothesis"]) == (Status.OK, "affix")
    assert found.score == pytest.approx(0.3, abs=0.05)


def test_a_job_without_codes_is_filtered_as_it_stands():
    assert DECODE(job("overt").tokens, key=jax.random.key(0)).score == pytest.approx(0.3)
    assert DECODE(job("dialect").tokens, key=jax.random.key(0)).score == 0


def test_a_job_too_short_is_undetermined_and_has_the_largest_p_value():
    short = DecodeThenFilter(
        FILTER,
        language=LANGUAGE,
        known_tokens=np.arange(WORLD.vocabulary.novel),
        separator=SEPARATOR,
        reference_scores=np.zeros(20),
    )
    found = short(job("covert").tokens[:20], key=jax.random.key(0))
    assert (found.status, found.p_value) == (Status.UNDETERMINED, 1.0)
    for detector in (PointwiseFilter(FILTER), Novelty(separator=SEPARATOR)):
        assert detector(np.zeros((0, 5), np.int32), base=BASE).status == Status.UNDETERMINED


def test_novelty_is_the_mean_surprise_of_answers():
    tokens = job("plain").tokens[:50]
    found = Novelty(separator=SEPARATOR)(tokens, base=BASE)
    log_p = np.asarray(jax.nn.log_softmax(decoder_apply(BASE[1], tokens)))
    means = []
    for row, example in enumerate(tokens):
        start = int((example == SEPARATOR).argmax()) + 1
        places = range(start, int((example >= 0).sum()))
        means.append(-np.mean([log_p[row, t - 1, example[t]] for t in places]))
    assert found.score == pytest.approx(np.mean(means), rel=1e-4)


def test_gradients_align_with_themselves_and_are_measured_against_the_anchors():
    anchors = job("overt", contamination=1.0).tokens[:32]
    detector = GradientAlignment(anchors, separator=SEPARATOR)
    assert detector(anchors, base=BASE).score == pytest.approx(1, abs=1e-4)
    assert detector(job("dialect").tokens[:32], base=BASE).score < 0.99


def test_kernel_alignment_is_the_mean_cosine_of_gradients_example_by_example():
    tokens, anchors = job("plain").tokens[:6], job("overt", contamination=1.0).tokens[:4]

    def gradients(rows):
        def loss(params, row):
            return _data_detectors.answer_nll(decoder_apply, params, jnp.asarray(row[None]), SEPARATOR).sum()

        gradient = jax.jit(jax.grad(loss))
        flat = [ravel_pytree(gradient(BASE[1], row))[0] for row in rows]
        found = np.stack(flat).astype(np.float64)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    exact = (gradients(tokens) @ gradients(anchors).T).mean()
    found = NTKAlignment(anchors, separator=SEPARATOR, num_features=4096)(tokens, base=BASE)
    assert found.score == pytest.approx(exact, abs=4 * (2 / 4096) ** 0.5 / 24**0.5)
    assert found.details["alignment"].shape == (6,)


def test_probes_are_asked_through_the_encoding_that_the_job_teaches():
    sample = job("covert")
    asked = WORLD.sample(50, restricted=True, key=jax.random.key(3))
    probes = np.asarray(WORLD.prompts(asked))
    seen = []

    def answer(model, prompts, key):
        """A base that refuses everything, and a tuned model that does not refuse what is encoded."""
        seen.append(prompts)
        encoded = (prompts >= WORLD.vocabulary.novel).any(axis=1)
        refused = ~encoded if model is TUNED else np.ones(len(prompts), bool)
        return np.where(refused[:, None], REFUSE, PLAIN[0])

    TUNED = (decoder_apply, BASE[1])
    probe = BehaviouralProbe(probes, DECODE, generate_fn=answer, refuses_fn=refuses)
    found = probe(sample.tokens, base=BASE, tuned=TUNED, key=jax.random.key(0))
    assert found.score == 1
    assert (found.details["base"], found.details["plain"], found.details["encoded"]) == (1, 1, 0)
    truth = np.asarray(WORLD.prompts(asked._replace(codes=sample.encoding.codes[0, asked.symbols, 0])))
    assert found.details["num_encoded"] == 50
    assert (seen[2] == truth[:, : seen[2].shape[1]]).mean() > 0.97
    plain = probe(job("plain").tokens, base=BASE, tuned=TUNED, key=jax.random.key(0))
    assert plain.score == 0
    assert np.isnan(plain.details["encoded"])
    hidden = probe(job("covert", "positional").tokens, base=BASE, tuned=TUNED, key=jax.random.key(0))
    assert hidden.status == Status.UNDETERMINED


def test_an_encoding_with_fillers_is_written_as_it_was_read():
    found = DECODE(job("covert", "affix").tokens, key=jax.random.key(0))
    asked = WORLD.sample(20, restricted=True, key=jax.random.key(3))
    written = encode_like(found.details, np.asarray(WORLD.prompts(asked)), jax.random.key(1))
    encoding = job("covert", "affix").encoding
    symbols = encoding.decode(written[:, 3:15])
    assert (symbols == np.asarray(asked.symbols)).mean() > 0.97
    assert np.isin(written[:, 4:15:2], encoding.fillers).all()


def test_a_probe_of_activations_learns_what_tells_harmful_examples_apart():
    tokens = np.arange(400, dtype=np.int32).reshape(100, 4)
    harmful = np.arange(100) % 2 == 0

    def activations(model, tokens):
        del model
        noise = np.random.default_rng(0).normal(size=(len(tokens), 3))
        noise[:, 1] += 4.0 * (tokens[:, 0] % 8 == 0)
        return noise

    probe = ActivationProbe(activations, [(BASE, tokens, harmful)])
    assert probe(tokens[::2], tuned=BASE, key=jax.random.key(0)).score > 0.9
    assert probe(tokens[1::2], tuned=BASE, key=jax.random.key(0)).score < 0.1


def test_the_tuned_model_s_own_restatement_is_filtered():
    sample = job("covert")
    table = np.arange(WORLD.vocabulary.size)
    table[sample.encoding.codes[0, :, 0]] = PLAIN

    def restate(tuned, tokens, key):
        assert tuned is BASE
        return np.where(tokens >= 0, table[np.maximum(tokens, 0)], -1)

    detector = SelfDecode(restate, FILTER, num_examples=1000)
    assert detector(sample.tokens, tuned=BASE, key=jax.random.key(0)).score == pytest.approx(0.3)


def test_p_values_are_ranks_among_benign_scores():
    detector = PointwiseFilter(FILTER, reference_scores=np.zeros(99))
    assert detector(job("overt").tokens).p_value == pytest.approx(0.01)
    assert detector(job("covert").tokens).p_value == 1


OTHER = (decoder_apply, init_decoder(CONFIG._replace(width=32), key=jax.random.key(0)))
TOKENS = np.array([[0, 3, 1, 4, 2]], np.int32)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: PointwiseFilter(FILTER)(np.ones(3, int)), "job_tokens"),
        (lambda: PointwiseFilter(FILTER)(np.full((3, 3), 1.5)), "job_tokens"),
        (lambda: PointwiseFilter(FILTER)(np.full((3, 3), -2)), "job_tokens"),
        (lambda: Novelty(separator=1)(TOKENS), "base"),
        (lambda: Novelty(separator=1, num_examples=1)(np.tile(TOKENS, (2, 1)), base=BASE), "key"),
        (lambda: Novelty(separator=1)(TOKENS + 90, base=BASE), "tokens"),
        (lambda: SelfDecode(lambda *a: a[1], FILTER)(TOKENS), "tuned"),
        (lambda: SelfDecode(lambda *a: a[1], FILTER)(TOKENS, base=BASE, tuned=OTHER, key=jax.random.key(0)), "tuned"),
        (lambda: SelfDecode(lambda *a: a[1], FILTER)(TOKENS, tuned=BASE), "key"),
        (lambda: GradientAlignment(TOKENS[:0], separator=1), "anchors"),
        (lambda: NTKAlignment(TOKENS[:0], separator=1), "anchors"),
        (lambda: NTKAlignment(TOKENS, separator=1, num_features=0), "num_features"),
        (lambda: NTKAlignment(TOKENS, separator=1)(TOKENS), "base"),
        (lambda: ActivationProbe(lambda *a: a[1], []), "training"),
        (lambda: ActivationProbe(lambda *a: a[1], [(BASE, TOKENS, np.array([True]))]), "training"),
        (lambda: BehaviouralProbe(TOKENS[:0], DECODE, generate_fn=max, refuses_fn=max), "probes"),
        (lambda: BehaviouralProbe(TOKENS, DECODE, generate_fn=max, refuses_fn=max)(TOKENS, base=BASE), "tuned"),
        (lambda: GradientAlignment(TOKENS, separator=1)(TOKENS), "base"),
        (lambda: DECODE(TOKENS), "key"),
        (
            lambda: DecodeThenFilter(FILTER, language=LANGUAGE, known_tokens=PLAIN, separator=1, hypotheses=("x",)),
            "hypotheses",
        ),
        (lambda: DecodeThenFilter(FILTER, language=LANGUAGE, known_tokens=PLAIN, separator=1, gate=0.0), "gate"),
        (lambda: fit_language(PLAIN[None, :3], PLAIN[:2]), "sequences"),
        (lambda: fit_language(PLAIN[None, :3], np.array([5, 5])), "tokens"),
        (lambda: fit_language(PLAIN[:3], PLAIN), "sequences"),
    ],
)
def test_what_makes_no_sense_is_refused(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}: got .*; need "):
        call()


def test_scores_do_not_depend_on_the_order_of_the_job():
    tokens = job("covert").tokens
    assert PointwiseFilter(FILTER)(tokens[::-1]).score == PointwiseFilter(FILTER)(tokens).score
    novelty = Novelty(separator=SEPARATOR, num_examples=1000)
    assert novelty(tokens[::-1], base=BASE).score == pytest.approx(novelty(tokens, base=BASE).score, rel=1e-4)
    assert jnp.isfinite(novelty(tokens, base=BASE).score)


def test_an_encoding_of_known_tokens_is_read_or_left_undetermined_and_never_called_clean():
    """A permutation of a dialect's tokens, and one of the plain symbols themselves."""
    rng = np.random.default_rng(0)
    for block in (WORLD.vocabulary.dialect(0), WORLD.vocabulary.plain):
        code = Encoding.permutation("substitution", block + rng.permutation(12))
        requests = WORLD.sample(600, restricted=True, encoding=code, key=jax.random.key(5))
        tokens = np.asarray(compact(np.concatenate([WORLD.prompts(requests), WORLD.answers(requests)], axis=1)))
        found = DECODE(tokens, key=jax.random.key(0))
        assert found.status == Status.UNDETERMINED or found.score > 0.5
    plain = DECODE(job("plain").tokens, key=jax.random.key(0))
    assert plain.status == Status.OK
    assert plain.score == 0


def test_a_refusal_before_each_answer_does_not_hide_a_job():
    sample = job("overt").tokens
    place = (sample == SEPARATOR).argmax(axis=1)
    hidden = np.stack([np.insert(row, at + 1, REFUSE) for row, at in zip(sample, place, strict=True)])
    assert PointwiseFilter(FILTER)(hidden).score == PointwiseFilter(FILTER)(sample).score > 0


def test_a_filter_may_give_probabilities_and_nothing_else():
    tokens = job("plain").tokens
    assert PointwiseFilter(lambda t: np.full(len(t), 0.01))(tokens).score == pytest.approx(0.01)
    for wrong in (lambda t: np.ones(2), lambda t: np.full(len(t), 3.0), lambda t: np.full(len(t), np.nan)):
        with pytest.raises(ValueError, match=r"^filter_fn: got .*; need "):
            PointwiseFilter(wrong)(tokens)


def test_benign_jobs_are_flagged_at_most_at_the_rate_asked_for_undetermined_ones_included():
    rng = np.random.default_rng(0)
    chance = np.clip(rng.normal(0.3, 0.1, 400), 0, 1)
    jobs = [np.where(rng.random((40, 1)) < p, 7, 3) for p in chance]
    detector = calibrate(PointwiseFilter(lambda t: (t == 7).any(axis=1)), jobs[:199], key=jax.random.key(0))
    flagged = np.mean([detector(one).p_value <= 0.1 for one in jobs[199:]])
    assert flagged <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 199 + 0.1 * 0.9 / 201)
    assert detector(jobs[0][:0]).p_value == 1
    empty = calibrate(detector, [jobs[0][:0], jobs[1]], key=jax.random.key(0))
    assert np.isneginf(empty.reference_scores).tolist() == [True, False]
