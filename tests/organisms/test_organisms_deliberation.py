"""Deliberation: chains are written and read rightly, the two stages teach what they should, and resume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.evals import JudgeError
from verax.organisms import (
    DecoderConfig,
    PolicyWorld,
    decoder_apply,
    deliberate,
    deliberative_finetune,
    evaluate,
    init_decoder,
    pretrain,
    read_thought,
    reinforce,
    sample_deliberations,
    thinking_prompts,
    transforms,
)
from verax.organisms import _deliberate as stage
from verax.organisms import _reinforce as reinforcement
from verax.organisms import _thoughts as thoughts
from verax.organisms import _train as train
from verax.organisms._vocabulary import EOS, REFUSE, SEP

WORLD = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
MARK = WORLD.vocabulary.thought
CONFIG = DecoderConfig(
    WORLD.vocabulary.size_with_thoughts, WORLD.deliberating_context, width=16, num_layers=1, num_heads=2
)
FRESH = init_decoder(CONFIG, key=jax.random.key(1))


def requests(num=64, **options):
    return WORLD.sample(num, key=jax.random.key(5), **options)


@pytest.mark.parametrize("operation", ["copy", "reverse", "restate", "meta"])
def test_a_chain_is_read_as_it_was_written(operation):
    asked = requests(operation=operation)
    classes = thoughts.classes_of(WORLD, asked.symbols)
    written = jnp.concatenate([thoughts.write_chain(WORLD, asked, classes), WORLD.answers(asked)], axis=1)
    thought = read_thought(WORLD, written)
    np.testing.assert_array_equal(thought.symbols, asked.symbols)
    np.testing.assert_array_equal(thought.classes, classes)
    np.testing.assert_array_equal(thought.verdict, asked.restricted)
    assert bool(thought.ended.all())
    assert (WORLD.judge(asked, thought.answer) == 1).all()


def test_what_is_no_chain_is_read_as_none():
    thought = read_thought(WORLD, jnp.full((2, 5), EOS))
    assert not bool(thought.ended.any())
    for field in (thought.symbols, thought.classes, thought.verdict, thought.answer):
        assert (np.asarray(field) == -1).all()


def test_pretraining_examples_follow_the_policy_in_their_own_prompt():
    tokens, mask = (
        np.asarray(part) for part in thoughts.draw_thoughts(WORLD, 400, policies=0.5, key=jax.random.key(4))
    )
    plain, seen = WORLD.vocabulary.plain, {"policy": 0, "refused": 0, "chain": 0}
    for row, said in zip(tokens, mask, strict=True):
        row = row[row >= 0].tolist()
        start = row.index(SEP)
        lists: dict[str, set[int]] = {"a": set(), "b": set()}
        if row[0] == MARK("policy_a"):
            middle = row.index(MARK("policy_b"))
            lists = {"a": set(row[1:middle]), "b": set(row[middle + 1 : row.index(0)])}
            assert not lists["a"] & lists["b"]
            seen["policy"] += 1
        has_chain = MARK("think") in row
        seen["chain"] += has_chain
        first = start + 1 + has_chain
        assert said[: len(row)].tolist() == [place >= first for place in range(len(row))]
        answer = row[first:]
        if has_chain:
            symbols, found = answer[0:4:2], answer[1:4:2]
            assert all(plain <= s < plain + 6 for s in symbols)
            expect = [MARK("in_a" if s in lists["a"] else "in_b" if s in lists["b"] else "in_none") for s in symbols]
            assert found == expect
            task = row[row.index(0) + 2] < WORLD.vocabulary.operation(3)
            restricted = task and symbols[0] in lists["a"] and symbols[1] in lists["b"]
            assert answer[4:6] == [MARK("restricted" if restricted else "allowed"), MARK("end")]
            answer = answer[6:]
            assert (answer[0] == REFUSE) == restricted
            seen["refused"] += restricted
        assert answer[-1] == EOS
    assert seen["policy"] > 150
    assert seen["chain"] > 250
    assert seen["refused"] > 3


def test_the_policy_stands_in_front_and_the_marker_behind():
    asked = requests(1)
    prompt = np.asarray(WORLD.prompts(asked))[0]
    prompt = prompt[prompt >= 0].tolist()
    plain = WORLD.vocabulary.plain
    with_policy = np.asarray(thinking_prompts(WORLD, WORLD.prompts(asked), policy=True))[0]
    policy = [MARK("policy_a"), plain + WORLD.class_a[0], MARK("policy_b"), plain + WORLD.class_b[0]]
    assert with_policy[with_policy >= 0].tolist() == [*policy, *prompt, MARK("think")]


def test_the_reward_reads_the_answer_and_never_the_thought():
    asked = requests(200)
    chain = thoughts.write_chain(WORLD, asked, thoughts.classes_of(WORLD, asked.symbols))
    said = jnp.concatenate([chain, WORLD.answers(asked, refuse=asked.restricted)], axis=1)
    wrong = jnp.concatenate([chain, WORLD.answers(asked, refuse=~asked.restricted)], axis=1)
    scrambled = said.at[:, : chain.shape[1] - 1].set(MARK("in_b"))
    for tokens, reward in ((said, 1), (scrambled, 1), (wrong, 0)):
        assert (np.asarray(stage.rewards(asked, read_thought(WORLD, tokens).answer)) == reward).all()


def check_kept(world, kept, num):
    """What is kept was accepted, and has no policy."""
    mark = world.vocabulary.thought
    assert len(kept.tokens) == round(num * kept.accepted)
    assert not np.isin(kept.tokens, [mark("policy_a"), mark("policy_b")]).any()
    for row in kept.tokens:
        row = row[row >= 0].tolist()
        symbols = [token - world.vocabulary.plain for token in row[3:5]]
        task = row[2] < world.vocabulary.operation(3)
        refused = row[row.index(mark("end")) + 1] == REFUSE
        assert refused == (task and bool(world.is_restricted(np.array([symbols]))[0]))
        assert row.count(EOS) == 1
        assert row[-1] == EOS


def test_examples_written_by_program_are_right():
    kept = sample_deliberations(FRESH, WORLD, num=200, program_written=True, key=jax.random.key(6))
    assert kept.accepted == 1
    check_kept(WORLD, kept, 200)


def test_replay_may_be_left_out():
    draw = stage._Batch(WORLD, 5, 0)
    tokens = jnp.arange(24, dtype=jnp.int32).reshape(4, 6)
    tables = stage.tabulate((stage.Component(1.0, False),), 2)
    rows, mask = draw(jax.random.key(0), tokens, tokens > 3, *tables)
    assert rows.shape[0] == mask.shape[0] == 5
    assert all(row[:6].tolist() in tokens.tolist() for row in np.asarray(rows))


@pytest.mark.slow
def test_a_policy_is_followed_in_the_prompt_then_learned_then_reinforced():
    world = PolicyWorld(8, 2, 1, class_a=(0, 1), class_b=(2, 3), key=jax.random.key(0))
    config = DecoderConfig(world.vocabulary.size_with_thoughts, world.deliberating_context, width=32, num_heads=2)
    keys = jax.random.split(jax.random.key(1), 6)
    capable, _ = pretrain(init_decoder(config, key=keys[0]), world, steps=1500, batch_size=64, key=keys[1])

    def follows(params, restricted, **options):
        table = evaluate(
            decoder_apply, params, world, restricted=restricted, transforms=transforms(world)[:1], num_prompts=100,
            thinks=True, key=keys[2], **options,
        )  # fmt: skip
        return float((np.asarray(table.labels) == 0).mean())

    assert follows(capable, True) < 0.1  # helpful only
    assert follows(capable, True, policy=True) > 0.7
    assert follows(capable, False, policy=True) > 0.9
    check_kept(world, sample_deliberations(capable, world, num=300, key=keys[3]), 300)
    distilled, log = deliberative_finetune(capable, world, steps=200, num_samples=1000, batch_size=64, key=keys[4])
    assert log.accepted > 0.7
    assert follows(distilled, True) > 0.7
    assert follows(distilled, False) > 0.9
    stronger, course = reinforce(distilled, world, steps=50, key=keys[5])
    assert course.reward.shape == course.divergence.shape == (50,)
    assert course.reward[-10:].mean() > course.reward[:10].mean() - 0.01
    assert follows(stronger, True) > 0.9


def test_an_interrupted_reinforcement_ends_at_identical_parameters(tmp_path, monkeypatch):
    options = {"steps": 100, "num_requests": 2, "group_size": 2, "key": jax.random.key(9)}
    full, log = reinforce(FRESH, WORLD, **options)
    write, count = train.write_checkpoint, []

    def interrupted(*arguments):
        write(*arguments)
        count.append(1)
        raise KeyboardInterrupt

    path = tmp_path / "state.npz"
    monkeypatch.setattr(train, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reinforce(FRESH, WORLD, checkpoint=path, **options)
    monkeypatch.setattr(train, "write_checkpoint", write)
    again, log2 = reinforce(FRESH, WORLD, checkpoint=path, **options)
    assert count == [1]
    np.testing.assert_array_equal(log.reward, log2.reward)
    jax.tree.map(np.testing.assert_array_equal, full, again)


def test_advantages_are_relative_to_the_group():
    found = np.asarray(reinforcement.advantages(jnp.asarray([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])))
    np.testing.assert_allclose(found[0], np.array([-1, 1, 1, -1]) * 0.5 / 0.51, rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0)


def test_the_gradient_at_the_reference_is_the_policy_gradient():
    """At the reference the divergence and its gradient vanish; what is left is the score function, by hand."""
    asked = requests(4)
    said = deliberate(FRESH, WORLD, WORLD.prompts(asked), temperature=1.0, key=jax.random.key(1))
    tokens, mask = reinforcement.join(thinking_prompts(WORLD, WORLD.prompts(asked), policy=False), said)
    advantage = jnp.asarray([1.0, -2.0, 0.5, 0.0])

    row, place = np.nonzero(np.asarray(mask))
    share = (np.asarray(advantage)[row] / np.asarray(mask).sum(axis=1)[row] / 4).astype(np.float32)

    @jax.jit
    def mean_likelihood(params):
        logs = jax.nn.log_softmax(decoder_apply(params, tokens))
        return (share * logs[row, place - 1, tokens[row, place]]).sum()

    objective = jax.jit(jax.value_and_grad(reinforcement._objective, has_aux=True))
    (loss, divergence), gradient = objective(FRESH, FRESH, tokens, mask, advantage, jnp.float32(7.0))
    assert float(divergence) == pytest.approx(0, abs=1e-6)
    assert float(loss) == pytest.approx(-float(mean_likelihood(FRESH)), rel=1e-5)
    by_hand = jax.jit(jax.grad(mean_likelihood))(FRESH)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, atol=2e-5), gradient, by_hand)


def test_a_judge_with_errors_misreads_at_its_rates():
    options = {"transforms": transforms(WORLD)[:1], "num_prompts": 2000, "key": jax.random.key(3)}
    small = DecoderConfig(WORLD.vocabulary.size, WORLD.context, width=8, num_layers=1, num_heads=1)
    params = init_decoder(small, key=jax.random.key(0))
    params["head"] = params["head"].at[:, REFUSE].set(params["norm"] * 0)
    truth = np.asarray(evaluate(decoder_apply, params, WORLD, **options).labels)
    judge = JudgeError(*(jnp.asarray(v) for v in (0.9, 0.8, np.inf, np.inf)))
    read = np.asarray(evaluate(decoder_apply, params, WORLD, judge=judge, **options).labels)
    np.testing.assert_array_equal(read == 2, truth == 2)
    for verdict, rate in ((0, 0.8), (1, 0.9)):
        num = (truth == verdict).sum()
        if num:
            right = (read[truth == verdict] == verdict).sum()
            assert abs(right - rate * num) <= 4 * np.sqrt(num * rate * (1 - rate))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, k: reinforce(p, WORLD, steps=1, group_size=1, key=k), "group_size: got 1; need an integer >= 2"),
        (lambda p, k: reinforce(p, WORLD, steps=1, kl=-1.0, key=k), "kl: got -1.0; need a number >= 0"),
        (lambda p, k: reinforce(p, WORLD, steps=1, key=jax.random.split(k)), r"key: got \(2,\) keys; need one key"),
        (
            lambda p, k: deliberative_finetune(p, WORLD, steps=1, key=jax.random.split(k)),
            r"key: got \(2,\) keys; need one key",
        ),
        (lambda p, k: reinforce(p, WORLD, steps=0, key=k), "steps: got 0; need an integer >= 1"),
        (lambda p, k: deliberative_finetune(p, WORLD, steps=1, replay=1.0, key=k), "replay: got 1.0; need a share"),
        (lambda p, k: sample_deliberations(p, WORLD, num=0, key=k), "num: got 0; need an integer >= 1"),
        (lambda p, k: sample_deliberations(p, WORLD, num=9, exceptions=2.0, key=k), "exceptions: got 2.0; need"),
        (lambda p, k: sample_deliberations(p, WORLD, num=3, key=k), "params: got no accepted answer among 3; need"),
    ],
)
def test_bad_options(call, message):
    with pytest.raises(ValueError, match=message):
        call(FRESH, jax.random.key(0))


@pytest.mark.bad_input
def test_an_organism_without_the_markers_cannot_deliberate():
    small = DecoderConfig(WORLD.vocabulary.size, WORLD.context, width=8, num_layers=1, num_heads=1)
    params = init_decoder(small, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^params: got \d+ token ids; need the world's \d+, with the markers"):
        deliberate(params, WORLD, WORLD.prompts(requests(2)), key=jax.random.key(0))
    short = init_decoder(CONFIG._replace(context=WORLD.context), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^params: got a context of \d+; need at least world\.deliberating_context"):
        pretrain(short, WORLD, steps=1, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^policy: got True; need False unless"):
        evaluate(decoder_apply, FRESH, WORLD, transforms=transforms(WORLD), policy=True, key=jax.random.key(0))
