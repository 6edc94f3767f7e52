"""The decoder, and generation with and without a cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.organisms import DecoderConfig, decoder_apply, generate, init_decoder

CONFIG = DecoderConfig(vocabulary_size=40, context=16, width=16, num_layers=2, num_heads=2)
PARAMS = init_decoder(CONFIG, key=jax.random.key(0))
PROMPTS = np.array([[1, 7, 9, 3, 2], [1, 8, -1, -1, -1], [4, 5, 6, -1, -1]], np.int32)
LENGTHS = np.array([5, 2, 3])


def test_later_tokens_and_padding_change_nothing_before_them():
    tokens = np.array([[3, 1, 4, 1, 5, 9]], np.int32)
    changed = tokens.copy()
    changed[0, 4:] = -1
    np.testing.assert_allclose(
        decoder_apply(PARAMS, tokens)[:, :4], decoder_apply(PARAMS, changed)[:, :4], rtol=1e-5, atol=1e-5
    )


def test_attention_reaches_back():
    tokens = np.array([[3, 1, 4, 1, 5, 9], [2, 1, 4, 1, 5, 9]], np.int32)
    logits = decoder_apply(PARAMS, tokens)[:, -1]
    assert not np.allclose(logits[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_cache_changes_nothing(temperature):
    options = {"max_new": 8, "temperature": temperature, "key": jax.random.key(1)}
    cached = generate(decoder_apply, PARAMS, PROMPTS, LENGTHS, **options)
    plain = generate(decoder_apply, PARAMS, PROMPTS, LENGTHS, cache=False, **options)
    np.testing.assert_array_equal(cached, plain)


def test_greedy_tokens_are_the_most_likely_of_the_full_sequence():
    new = np.asarray(generate(decoder_apply, PARAMS, PROMPTS, LENGTHS, max_new=8, key=jax.random.key(1)))
    for row, (prompt, length) in enumerate(zip(PROMPTS, LENGTHS, strict=True)):
        whole = np.concatenate([prompt[:length], new[row], np.full(5 - length, -1)])[None].astype(np.int32)
        best = np.asarray(decoder_apply(PARAMS, whole)).argmax(axis=-1)[0]
        np.testing.assert_array_equal(best[length - 1 : length + 7], new[row])


def test_drawn_tokens_have_the_model_s_distribution():
    num = 4000
    prompts = np.tile(PROMPTS[:1], (num, 1))
    drawn = generate(decoder_apply, PARAMS, prompts, np.full(num, 5), max_new=1, temperature=1.0, key=jax.random.key(3))
    chance = np.asarray(jax.nn.softmax(decoder_apply(PARAMS, PROMPTS[:1])[0, -1]))
    counts = np.bincount(np.asarray(drawn)[:, 0], minlength=40)
    error = np.sqrt(chance * (1 - chance) / num)
    assert (np.abs(counts / num - chance) < 5 * error + 1e-3).all()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: decoder_apply(PARAMS, np.array([[1, 40]])), "tokens"),
        (lambda: decoder_apply(PARAMS, np.array([[1, -2]])), "tokens"),
        (lambda: decoder_apply(PARAMS, np.array([[1.5, 2.0]])), "tokens"),
        (lambda: decoder_apply(PARAMS, np.array([1, 2])), "tokens"),
        (lambda: decoder_apply(PARAMS, np.zeros((1, 17), np.int32)), "tokens"),
        (lambda: generate(decoder_apply, PARAMS, PROMPTS, LENGTHS, max_new=12, key=jax.random.key(0)), "max_new"),
        (lambda: generate(decoder_apply, PARAMS, PROMPTS, LENGTHS, max_new=0, key=jax.random.key(0)), "max_new"),
        (lambda: generate(decoder_apply, PARAMS, PROMPTS, LENGTHS[:2], max_new=2, key=jax.random.key(0)), "lengths"),
        (lambda: generate(decoder_apply, PARAMS, PROMPTS, LENGTHS + 1, max_new=2, key=jax.random.key(0)), "lengths"),
        (
            lambda: generate(
                decoder_apply, PARAMS, PROMPTS, LENGTHS, max_new=2, temperature=-1.0, key=jax.random.key(0)
            ),
            "temperature",
        ),
        (
            lambda: generate(lambda p, t: t, PARAMS, PROMPTS, LENGTHS, max_new=2, cache=True, key=jax.random.key(0)),
            "cache",
        ),
        (lambda: init_decoder(CONFIG._replace(width=15), key=jax.random.key(0)), "width"),
        (lambda: init_decoder(CONFIG._replace(context=0), key=jax.random.key(0)), "context"),
    ],
)
def test_what_cannot_be_read_is_refused(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}: got .*; need "):
        call()


def test_a_token_out_of_range_inside_jit_cannot_be_seen():
    assert jax.jit(decoder_apply)(PARAMS, jnp.array([[1, 2]])).shape == (1, 2, 40)


def test_tokens_may_be_closed_over_under_jit():
    tokens, lengths = jnp.asarray(PROMPTS), jnp.asarray(LENGTHS)

    @jax.jit
    def both(params):
        new = generate(decoder_apply, params, tokens, lengths, max_new=2, key=jax.random.key(0))
        return decoder_apply(params, tokens), new

    logits, new = both(PARAMS)
    np.testing.assert_allclose(logits, decoder_apply(PARAMS, tokens), rtol=1e-5, atol=1e-5)
    assert new.shape == (3, 2)
