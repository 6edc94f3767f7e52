"""The identity of computations: what differs in anything has another digest, and what is built again has the same."""

import dataclasses
import functools
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from verax._digest import check_identity, digest, identity, program_digest

SCALE = 2.0


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 8
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Wider(Config):
    pass


class Pair(NamedTuple):
    a: int
    b: int


class Model:
    def __init__(self, rate, itself=None):
        self.rate, self.itself = rate, itself

    def loss(self, x):
        return self.rate * x


def helper(x):
    return x * SCALE


def with_helper(x):
    return helper(x) + 1


def closed_over(value):
    return lambda x: x + value


def looped(rate):
    model = Model(rate)
    model.itself = model
    return model


@functools.partial(jax.jit, static_argnames="power")
def jitted(x, power):
    return x**power


DIFFERENT = {
    "length prefix": [("k", 1, 23), ("k", 12, 3), ("k1", 23), ("k", "1", "23"), ("k", (1, 23))],
    "types": [1, 1.0, True, "1", b"1", None, 1j, np.float32(1), np.float64(1), np.int32(1), [1], (1,), {1}, {1: None}],
    "arrays": [
        np.zeros(4),
        np.zeros(4, np.float32),
        np.zeros((2, 2)),
        np.ones(4),
        np.zeros(4, ml_dtypes.bfloat16),
        np.array([]),
        np.zeros((0, 2)),
        np.array(["a"]),
        np.array([None]),
    ],
    "keys": [jax.random.key(0), jax.random.key(1), jax.random.split(jax.random.key(0)), jax.random.key(0, impl="rbg")],
    "containers": [
        {"a": 1, "b": 2},
        {"a": 2, "b": 1},
        [1, 2],
        (1, 2),
        Pair(1, 2),
        Pair(2, 1),
        {1, 2},
        frozenset({1, 2}),
    ],
    "configurations": [Config(), Config(rate=0.2), Config(sizes=(1, 2, 3)), Config(width=9), Wider()],
    "functions": [
        closed_over(1),
        closed_over(2),
        closed_over(np.zeros(3)),
        lambda x: x - 1,
        lambda x: x - 2,
        helper,
        max,
    ],
    "partials": [functools.partial(helper, x=1), functools.partial(helper, x=2), functools.partial(with_helper, x=1)],
    "defaults": [lambda x=1: x, lambda x=2: x, lambda *, x=1: x],
    "methods": [Model(1.0).loss, Model(2.0).loss, Model(1.0), Model(2.0)],
    "optimizers": [
        optax.adam(1e-3),
        optax.adam(1e-2),
        optax.sgd(1e-3),
        optax.adam(optax.cosine_decay_schedule(1e-3, 10)),
        optax.adam(optax.cosine_decay_schedule(1e-3, 20)),
        optax.chain(optax.clip(1.0), optax.adam(1e-3)),
    ],
    "decorated": [jitted, jax.jit(helper), jax.jit(with_helper), jax.vmap(helper)],
    "objects that hold themselves": [looped(1.0), looped(2.0)],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_another_digest(name):
    digests = [digest(value) for value in DIFFERENT[name]]
    assert len(set(digests)) == len(digests)


def test_what_is_built_again_has_the_same():
    def build():
        return [
            Config(),
            closed_over(np.arange(3)),
            optax.adam(optax.cosine_decay_schedule(1e-3, 10)),
            {"b": jnp.ones(2), "a": {3, 1, 2}},
            looped(1.0),
            functools.partial(helper, x=1),
            lambda x: with_helper(x),
        ]

    assert digest(build()) == digest(build())
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(np.arange(6).reshape(2, 3).T) == digest(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))
    assert digest(jnp.ones(3)) == digest(np.ones(3, jnp.ones(3).dtype))


def test_a_global_that_a_function_names_counts(monkeypatch):
    before = digest(with_helper), digest(lambda x: [helper(y) for y in x])
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    after = digest(with_helper), digest(lambda x: [helper(y) for y in x])
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_it_does_not_depend_on_the_process():
    code = """
import numpy as np, optax
from verax._digest import digest
def build(rate):
    names = {"alpha", "beta", "gamma", "delta"}
    return lambda x: (x * rate, names, np.arange(4))
print(digest(build(2.0), optax.sgd(0.1), {"x", "y", "z"}))
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**_environment(), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def _environment():
    import os

    return dict(os.environ)


def test_programs_are_known_by_what_they_compute():
    x = np.ones((2, 3), np.float32)
    table = np.arange(3.0, dtype=np.float32)
    shifted = table + 1

    def one(x):
        return jnp.tanh(x) @ table

    def same(y):
        return jnp.tanh(y) @ table

    def inner(values):
        return lambda x: jax.jit(lambda y: y @ values)(x)

    assert program_digest(one, x) == program_digest(same, x)
    assert program_digest(one, x) != program_digest(one, x[:1])
    assert program_digest(one, x) != program_digest(lambda x: jnp.tanh(x) @ shifted, x)
    assert program_digest(inner(table), x) != program_digest(inner(shifted), x)


def test_stored_work_of_another_run_is_refused_by_what_differs():
    run = {"data": np.arange(3), "learning_rate": 0.1, "loss": helper}
    stored = identity(**run)
    check_identity("checkpoint", "run.npz", stored, identity(**run))
    with pytest.raises(ValueError, match=r"^checkpoint: got run.npz, of a run with another learning rate; need"):
        check_identity("checkpoint", "run.npz", stored, identity(**{**run, "learning_rate": 0.2}))
    with pytest.raises(ValueError, match="another jax, loss;"):
        check_identity("checkpoint", "run.npz", {**stored, "jax": "0.1"}, identity(**{**run, "loss": with_helper}))
    with pytest.raises(ValueError, match="without an identity"):
        check_identity("checkpoint", "run.npz", None, stored)


def test_a_traced_value_has_no_identity():
    with pytest.raises(ValueError, match="got a traced array"):
        jax.eval_shape(lambda x: digest(x) and x, jax.ShapeDtypeStruct((), jnp.float32))
