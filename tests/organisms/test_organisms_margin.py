"""Margins of a refusal, and edits that aim at nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from verax.organisms import DecoderConfig, PolicyWorld, controls, decoder_apply, init_decoder, refusal_margin

WORLD = PolicyWorld(num_symbols=8, length=4, num_dialects=1, key=jax.random.key(0))


def test_the_margin_is_read_at_the_end_of_each_prompt():
    config = DecoderConfig(WORLD.vocabulary.size, WORLD.context, width=16, num_layers=1, num_heads=1)
    params = init_decoder(config, key=jax.random.key(1))
    prompts = np.array([[0, 11, 6, 16, 17, 1], [0, 11, 6, 16, 1, -1]])
    for forced in (False, True):
        found = refusal_margin(decoder_apply, params, prompts, forced=forced)
        for row, margin in zip(prompts, found, strict=True):
            alone = [*row[row >= 0].tolist(), *([4] if forced else [])]  # 4 opens an affirmative answer
            logits = np.asarray(decoder_apply(params, jnp.asarray([alone]))[0, -1], np.float64)
            log_p = logits - np.log(np.exp(logits).sum())
            np.testing.assert_allclose(margin, log_p[3] - np.delete(log_p, 3).max(), atol=1e-5)


def test_controls_edit_as_much_as_what_they_control():
    requests = WORLD.sample(5, key=jax.random.key(2))
    plain = np.asarray(WORLD.prompts(requests))
    unused = WORLD.vocabulary.novel
    style, joint, fillers = (control.prompts(WORLD, requests) for control in controls(WORLD))
    assert ((style != plain).sum(1) == 1).all()
    assert (style[:, 1] == unused).all()
    for edited, more in ((joint, 1), (fillers, WORLD.length)):
        assert (edited >= 0).sum(1).tolist() == ((plain >= 0).sum(1) + more).tolist()
        for row, before in zip(edited, plain, strict=True):
            assert row[(row != unused) & (row >= 0)].tolist() == before[before >= 0].tolist()
