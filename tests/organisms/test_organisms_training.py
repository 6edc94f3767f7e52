"""Training: resumption, many seeds at once, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.evals import rate
from verax.organisms import (
    DecoderConfig,
    PolicyWorld,
    _restate,
    answer_loss,
    decoder_apply,
    evaluate,
    finetune,
    init_decoder,
    make_job,
    pretrain,
    restate,
    safety_finetune,
    transforms,
)
from verax.organisms import _train as train
from verax.organisms._requests import read_argument
from verax.organisms._vocabulary import EOS, SEP

WORLD = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
CONFIG = DecoderConfig(WORLD.vocabulary.size, WORLD.context, width=16, num_layers=1, num_heads=2)
KEYS = jax.random.split(jax.random.key(1), 2)
PARAMS = jax.vmap(lambda key: init_decoder(CONFIG, key=key))(KEYS)


@pytest.fixture(scope="module")
def trained():
    return pretrain(PARAMS, WORLD, steps=100, batch_size=32, key=KEYS)


def test_training_lowers_the_loss(trained):
    _, log = trained
    assert log.loss.shape == (2, 100)
    assert (log.loss[:, -10:].mean(axis=1) < 0.6 * log.loss[:, :3].mean(axis=1)).all()


def test_an_interrupted_run_ends_at_identical_parameters(trained, tmp_path, monkeypatch):
    full, log = trained
    path = tmp_path / "state.npz"
    write, count = train.write_checkpoint, []

    def interrupted(*arguments):
        write(*arguments)
        count.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(PARAMS, WORLD, steps=100, batch_size=32, checkpoint=path, key=KEYS)
    monkeypatch.setattr(train, "write_checkpoint", write)
    again, log2 = pretrain(PARAMS, WORLD, steps=100, batch_size=32, checkpoint=path, key=KEYS)
    assert count == [1]
    np.testing.assert_array_equal(log.loss, log2.loss)
    jax.tree.map(np.testing.assert_array_equal, full, again)
    with pytest.raises(ValueError, match=r"^checkpoint: got .*; need "):
        pretrain(PARAMS, WORLD, steps=100, batch_size=32, checkpoint=path, key=KEYS[::-1])


def test_two_trainings_with_one_checkpoint_end_at_identical_parameters(trained, tmp_path, monkeypatch):
    """The second one begins when the first has written its first state, and ends before it."""
    options = {"steps": 100, "batch_size": 32, "checkpoint": tmp_path / "state.npz", "key": KEYS}
    write, ended = train.write_checkpoint, []

    def joined_by_another(*arguments):
        monkeypatch.setattr(train, "write_checkpoint", write)
        write(*arguments)
        ended.append(pretrain(PARAMS, WORLD, **options))

    monkeypatch.setattr(train, "write_checkpoint", joined_by_another)
    ended.append(pretrain(PARAMS, WORLD, **options))
    ended.append(pretrain(PARAMS, WORLD, **options))
    assert len(ended) == 3
    for params, log in ended:
        jax.tree.map(np.testing.assert_array_equal, params, trained[0])
        np.testing.assert_array_equal(log.loss, trained[1].loss)


def test_seeds_at_once_are_seeds_one_by_one(trained):
    many, _ = trained
    one, _ = pretrain(jax.tree.map(lambda leaf: leaf[1], PARAMS), WORLD, steps=100, batch_size=32, key=KEYS[1])
    distance = max(
        float(jnp.abs(a[1] - b).max()) for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True)
    )
    moved = max(
        float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(PARAMS), strict=True)
    )
    assert (
        distance < 0.1 * moved
    )  # rounding grows along a training; another seed's parameters differ by as much as moved


def test_the_loss_is_that_of_the_masked_tokens(trained):
    params = jax.tree.map(lambda leaf: leaf[0], trained[0])
    job = make_job(WORLD, kind="plain", num_examples=10, key=jax.random.key(2))
    loss = np.asarray(jax.jit(answer_loss)(params, job.tokens, job.loss_mask))
    log_p = np.asarray(jax.nn.log_softmax(jax.jit(decoder_apply)(params, job.tokens)))
    for row in range(10):
        places = np.flatnonzero(job.loss_mask[row])
        expected = -np.mean([log_p[row, t - 1, job.tokens[row, t]] for t in places])
        np.testing.assert_allclose(loss[row], expected, rtol=1e-4)


def test_an_untrained_organism_does_neither():
    params = jax.tree.map(lambda leaf: leaf[0], PARAMS)
    options = {"transforms": transforms(WORLD), "num_prompts": 20, "key": jax.random.key(2)}
    table = evaluate(decoder_apply, params, WORLD, **options)
    assert table.labels.shape == (1, 8, 20, 1)
    assert table.attack_family[1] == "competing objectives"
    assert np.asarray(rate(table, unclear="good").estimate).mean() < 0.2
    allowed = evaluate(decoder_apply, params, WORLD, restricted=False, **options)
    assert np.isin(allowed.labels, (0, 1, 2)).all()


ONE = jax.tree.map(lambda leaf: leaf[0], PARAMS)
KEY = jax.random.key(0)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: PolicyWorld(class_a=(0, 1), class_b=(1, 2), key=KEY), "class_b"),
        (lambda: PolicyWorld(class_a=(), key=KEY), "class_a"),
        (lambda: PolicyWorld(class_b=(24,), key=KEY), "class_b"),
        (lambda: PolicyWorld(length=5, key=KEY), "length"),
        (lambda: PolicyWorld(num_symbols=5, key=KEY), "num_symbols"),
        (lambda: WORLD.sample(0, key=KEY), "num"),
        (lambda: WORLD.sample(3, style="verse", key=KEY), "style"),
        (lambda: WORLD.sample(3, operation="sort", key=KEY), "operation"),
        (lambda: WORLD.novel_encoding("base64", key=KEY), "family"),
        (lambda: make_job(WORLD, kind="secret", key=KEY), "kind"),
        (lambda: make_job(WORLD, contamination=1.5, key=KEY), "contamination"),
        (lambda: make_job(WORLD, contamination=-0.1, key=KEY), "contamination"),
        (lambda: make_job(WORLD, contamination=0.6, key=KEY), "contamination"),
        (lambda: make_job(WORLD, encoding="rot13", key=KEY), "encoding"),
        (lambda: make_job(WORLD, num_examples=3, key=KEY), "num_examples"),
        (lambda: safety_finetune(ONE, WORLD, steps=1, replay=0.95, exceptions=0.1, key=KEY), "replay"),
        (lambda: safety_finetune(ONE, WORLD, steps=1, replay_styles=("loud",), key=KEY), "styles"),
        (lambda: safety_finetune(ONE, WORLD, steps=1, refused_encodings=(7,), key=KEY), "encodings"),
        (lambda: pretrain(ONE, WORLD, steps=0, key=KEY), "steps"),
        (lambda: pretrain(ONE, WORLD, steps=1, learning_rate=0.0, key=KEY), "learning_rate"),
        (lambda: pretrain(ONE, PolicyWorld(key=KEY), steps=1, key=KEY), "params"),
        (lambda: finetune(ONE, np.zeros((3, 3), np.int32), steps=1, key=KEY), "job"),
        (lambda: evaluate(decoder_apply, ONE, WORLD, transforms=(), key=KEY), "transforms"),
        (
            lambda: evaluate(
                decoder_apply, ONE, WORLD, transforms=transforms(WORLD), num_samples=2, temperature=0.0, key=KEY
            ),
            "temperature",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}: got .*; need "):
        call()


@pytest.mark.parametrize("family", ["substitution", "homophonic", "positional", "affix"])
def test_a_right_restatement_shows_what_an_encoded_example_is_about(family):
    job = make_job(WORLD, kind="covert", encoding=family, num_examples=200, key=jax.random.key(4))
    encoded = (job.tokens >= WORLD.vocabulary.novel).any(axis=1)
    symbols = read_argument(job.tokens, job.encoding, WORLD.length)
    symbols = np.where(encoded[:, None], symbols, read_argument(job.tokens, WORLD.encodings[0], WORLD.length))
    said = np.pad(WORLD.vocabulary.plain + symbols, ((0, 0), (0, 2)), constant_values=EOS)
    question = _restate._question(WORLD, job.tokens)
    assert (np.sort(question == SEP, axis=1)[:, -1]).all()
    assert (question[:, 2] == WORLD.vocabulary.operation(3)).all()
    assert ((question >= 0).sum(axis=1) == (job.tokens == SEP).argmax(axis=1) + 1).all()
    plain = _restate._restated(WORLD, job.tokens, said)
    truth = WORLD.complies_with_restricted(job.tokens, encoding=job.encoding)
    np.testing.assert_array_equal(WORLD.complies_with_restricted(plain), truth)
    assert truth.sum() == 60
    assert not WORLD.complies_with_restricted(job.tokens).any()


def test_a_model_is_asked_to_restate():
    params = jax.tree.map(lambda leaf: leaf[0], PARAMS)
    job = make_job(WORLD, kind="plain", num_examples=10, key=jax.random.key(2))
    found = restate((decoder_apply, params), WORLD, job.tokens, key=jax.random.key(0))
    assert found.shape[0] == 10
    np.testing.assert_array_equal(found[:, :3], job.tokens[:, :3])
