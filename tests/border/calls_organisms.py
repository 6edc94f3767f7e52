"""Valid calls of verax.organisms."""

import jax
import jax.numpy as jnp
import numpy as np

from support.border import call
from verax import organisms

KEY = jax.random.key(0)
WORLD = organisms.PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=KEY)
V = WORLD.vocabulary
CONFIG = organisms.DecoderConfig(V.size_with_thoughts, WORLD.deliberating_context, width=8, num_layers=1, num_heads=1)
PARAMS = organisms.init_decoder(CONFIG, key=KEY)
TOKENS = np.array([[0, 11, 6, 15, 16, 1, 15, 16, 2], [0, 11, 7, 16, 15, 1, 15, 16, 2]], np.int32)
PROMPTS = TOKENS[:, :6]
MASK = np.arange(9) > 5
MASK = np.stack([MASK, MASK])
JOB = organisms.make_job(WORLD, kind="plain", num_examples=10, key=KEY)
TRANSFORMS = organisms.transforms(WORLD)[:1]


def rows(key):
    return jnp.asarray(TOKENS), jnp.asarray(MASK)


CALLS = {
    "verax.organisms.answer_loss": call(organisms.answer_loss, PARAMS, TOKENS, MASK),
    "verax.organisms.controls": call(organisms.controls, WORLD),
    "verax.organisms.decoder_activations": call(
        organisms.decoder_activations, PARAMS, TOKENS, np.array([2, 1], np.int32)
    ),
    "verax.organisms.decoder_apply": call(organisms.decoder_apply, PARAMS, TOKENS),
    "verax.organisms.deliberate": call(organisms.deliberate, PARAMS, WORLD, PROMPTS, key=KEY),
    "verax.organisms.deliberative_finetune": call(
        organisms.deliberative_finetune,
        PARAMS,
        WORLD,
        steps=1,
        num_samples=4,
        program_written=True,
        batch_size=4,
        key=KEY,
    ),
    "verax.organisms.draw_examples": call(organisms.draw_examples, WORLD, (organisms.Component(1.0),), 3, key=KEY),
    "verax.organisms.evaluate": call(
        organisms.evaluate, organisms.decoder_apply, PARAMS, WORLD, transforms=TRANSFORMS, num_prompts=2, key=KEY
    ),
    "verax.organisms.finetune": call(organisms.finetune, PARAMS, JOB, steps=1, batch_size=4, key=KEY),
    "verax.organisms.fit": call(organisms.fit, PARAMS, rows, steps=1, key=KEY),
    "verax.organisms.generate": call(
        organisms.generate, organisms.decoder_apply, PARAMS, PROMPTS, np.array([6, 5], np.int32), max_new=2, key=KEY
    ),
    "verax.organisms.init_decoder": call(organisms.init_decoder, CONFIG, key=KEY),
    "verax.organisms.make_job": call(organisms.make_job, WORLD, kind="plain", num_examples=10, key=KEY),
    "verax.organisms.pretrain": call(organisms.pretrain, PARAMS, WORLD, steps=1, batch_size=4, key=KEY),
    "verax.organisms.read_thought": call(organisms.read_thought, WORLD, TOKENS),
    "verax.organisms.refusal_margin": call(organisms.refusal_margin, organisms.decoder_apply, PARAMS, PROMPTS),
    "verax.organisms.refuses": call(organisms.refuses, TOKENS[:, 6:]),
    "verax.organisms.reinforce": call(
        organisms.reinforce, PARAMS, WORLD, steps=1, group_size=2, num_requests=2, key=KEY
    ),
    "verax.organisms.restate": call(organisms.restate, (organisms.decoder_apply, PARAMS), WORLD, TOKENS, key=KEY),
    "verax.organisms.safety_finetune": call(organisms.safety_finetune, PARAMS, WORLD, steps=1, batch_size=4, key=KEY),
    "verax.organisms.sample_deliberations": call(
        organisms.sample_deliberations, PARAMS, WORLD, num=4, program_written=True, key=KEY
    ),
    "verax.organisms.thinking_prompts": call(organisms.thinking_prompts, WORLD, PROMPTS, policy=False),
    "verax.organisms.transforms": call(organisms.transforms, WORLD),
}
