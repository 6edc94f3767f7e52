"""Networks of the user's own in every stage, and checkpoints that know their run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from verax import ntk
from verax.organisms import (
    DecoderConfig,
    Job,
    PolicyWorld,
    evaluate,
    finetune,
    fit,
    init_decoder,
    make_job,
    pretrain,
    restate,
    safety_finetune,
    transforms,
)

WORLD = PolicyWorld(num_symbols=8, length=2, num_dialects=1, key=jax.random.key(0))
SIZE = WORLD.vocabulary.size
KEY = jax.random.key(1)


class Bag(nnx.Module):
    """A causal network of flax: the mean of the embeddings so far."""

    def __init__(self, rngs):
        self.embed, self.head = nnx.Embed(SIZE, 12, rngs=rngs), nnx.Linear(12, SIZE, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(jnp.maximum(tokens, 0))
        count = jnp.arange(1, tokens.shape[1] + 1, dtype=x.dtype)
        return self.head(jnp.cumsum(x, axis=1) / count[None, :, None])


APPLY, PARAMS = ntk.from_nnx(Bag(nnx.Rngs(0)))
JOB = make_job(WORLD, kind="plain", num_examples=20, key=jax.random.key(2))

STAGES = {
    "fit": lambda **own: fit(
        own.pop("params"), lambda key: (jnp.ones((4, 6), jnp.int32), jnp.ones((4, 6), bool)), steps=3, key=KEY, **own
    ),
    "pretrain": lambda **own: pretrain(own.pop("params"), WORLD, steps=3, batch_size=4, key=KEY, **own),
    "safety_finetune": lambda **own: safety_finetune(own.pop("params"), WORLD, steps=3, batch_size=4, key=KEY, **own),
    "finetune": lambda **own: finetune(own.pop("params"), JOB, steps=3, batch_size=4, key=KEY, **own),
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_trains_a_network_of_flax(stage):
    params, log = STAGES[stage](params=PARAMS, apply_fn=APPLY)
    assert jax.tree.structure(params) == jax.tree.structure(PARAMS)
    assert np.isfinite(log.loss).all()
    assert log.loss[-1] < log.loss[0] + 0.5


@pytest.mark.bad_input
@pytest.mark.parametrize("stage", STAGES)
def test_parameters_of_another_network_are_refused_by_name(stage):
    with pytest.raises(ValueError, match=r"^params: got .*; need parameters from init_decoder, or apply_fn="):
        STAGES[stage](params=PARAMS)


def test_evaluation_and_restating_take_a_network_of_flax():
    table = evaluate(APPLY, PARAMS, WORLD, transforms=transforms(WORLD)[:2], num_prompts=3, key=KEY)
    assert table.labels.shape == (1, 2, 3, 1)
    assert len(restate((APPLY, PARAMS), WORLD, JOB.tokens, key=KEY)) == 20


def test_a_loss_of_the_users_own_is_what_training_lowers():
    def loss(params, tokens, mask):
        return ((params["w"] - 3.0) ** 2)[None].repeat(len(tokens), 0)

    params, log = fit(
        {"w": jnp.float32(0)},
        lambda key: (jnp.zeros((2, 3), jnp.int32), jnp.ones((2, 3), bool)),
        loss_fn=loss,
        steps=60,
        learning_rate=0.3,
        key=KEY,
    )
    assert log.loss[-1] < 0.1 * log.loss[0]
    assert abs(float(params["w"]) - 3) < 1


def test_a_checkpoint_belongs_to_one_run(tmp_path):
    decoder = init_decoder(DecoderConfig(SIZE, WORLD.context, width=8, num_layers=1), key=jax.random.key(3))
    path = tmp_path / "state.npz"
    options = {"steps": 3, "batch_size": 4, "checkpoint": path, "key": KEY}
    first, _ = finetune(decoder, JOB, **options)
    again, _ = finetune(decoder, JOB, **options)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, again))
    other_job = make_job(WORLD, kind="dialect", num_examples=20, key=jax.random.key(4))
    with pytest.raises(ValueError, match=r"^checkpoint: got .*another data"):
        finetune(decoder, other_job, **options)
    with pytest.raises(ValueError, match=r"^checkpoint: got .*another start"):
        finetune(first, JOB, **options)
    with pytest.raises(ValueError, match=r"^checkpoint: got .*another recipe"):
        finetune(decoder, JOB, **options | {"batch_size": 5})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^checkpoint: got .*state\.npz"):
        finetune(decoder, JOB, **options)


@pytest.mark.bad_input
def test_jobs_are_looked_at_before_they_are_learned():
    decoder = init_decoder(DecoderConfig(SIZE, WORLD.context, width=8, num_layers=1), key=jax.random.key(3))
    tokens, mask = np.full((4, 5), 3, np.int32), np.ones((4, 5), bool)
    for bad, name in (
        (Job(tokens + SIZE, mask, "plain", "plain", None), "job.tokens"),
        (Job(tokens, mask[:, :4], "plain", "plain", None), "job.loss_mask"),
        (Job(tokens, mask & False, "plain", "plain", None), "job.loss_mask"),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: got .*; need "):
            finetune(decoder, bad, steps=1, batch_size=2, key=KEY)
