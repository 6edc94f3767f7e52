"""Recover a substitution from its text: expectation-maximisation for a hidden Markov chain with known transitions."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from verax._arrays import to_host, to_integer, to_key
from verax._errors import check
from verax._results import result
from verax.matching import solve_assignment

from ._language import Language

_RESTARTS, _SHORT, _KEPT, _LONG = 12, 12, 2, 40


@result()
class Decipherment(NamedTuple):
    """A map from code tokens to symbols.

    Attributes
    ----------
    symbol_of_code
        int32 [K].
    log_likelihood
        Log-likelihood of the decoded sequences under the language, nats a symbol.
    """

    symbol_of_code: Int[np.ndarray, " K"]
    log_likelihood: float


def decipher(
    codes: Int[np.ndarray, "n length"],
    language: Language,
    *,
    num_codes: int,
    one_to_one: bool,
    num_sequences: int = 256,
    key: jax.Array,
) -> Decipherment:
    """Find which symbol each code stands for, from the sequences alone.

    The likelihood of the codes under the language's chain with unknown emissions is maximised from several random
    starts; a bijection is then read off the expected counts by optimal assignment, a many-to-one map by their maximum.

    Parameters
    ----------
    codes
        int [n, length] in [0, num_codes).
    language
        Language of the plain tokens.
    num_codes
        Number of different codes, at most the number of symbols if ``one_to_one``.
    one_to_one
        Whether different codes stand for different symbols.
    num_sequences
        Sequences that the maximisation looks at; all are decoded.
    key
        A ``jax.random.key``.

    Raises
    ------
    ValueError
        For codes out of range, sequences shorter than 2, and more codes than symbols if ``one_to_one``.

    Notes
    -----
    About ``4 * restarts * iterations * n * length * S^2`` flops.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.audit import Language, decipher
    >>> often = np.array([[0.1, 0.8, 0.1], [0.2, 0.1, 0.7], [0.8, 0.1, 0.1]])  # 0, 1, 2, 0, ... for the most part
    >>> language = Language(np.array([5, 6, 7], np.int32), np.array([0.8, 0.1, 0.1]), often)
    >>> symbols = (np.repeat([0, 1, 2], [48, 6, 6])[:, None] + np.arange(6)) % 3
    >>> codes = np.array([2, 0, 1])[symbols]
    >>> decipher(codes, language, num_codes=3, one_to_one=True, key=jax.random.key(0)).symbol_of_code.tolist()
    [1, 2, 0]
    """
    check(isinstance(language, Language), "language", type(language).__name__, "a Language, from fit_language")
    most = language.tokens.size if one_to_one else None
    num_codes = to_integer("num_codes", num_codes, minimum=1, maximum=most)
    num_sequences = to_integer("num_sequences", num_sequences, minimum=1)
    shape, inside = ("n", "length"), f"[0, {num_codes - 1}]"
    codes = to_host("codes", codes, shape=shape, dtype="integer", within=inside)
    check(codes.shape[1] > 1, "codes", f"shape {codes.shape}", "[n, length] with length >= 2")
    key = to_key("key", key)
    seen = codes[:num_sequences]
    weight = np.zeros(num_sequences, np.float32)
    weight[: len(seen)] = 1.0
    padded = np.zeros((num_sequences, codes.shape[1]), np.int32)
    padded[: len(seen)] = seen
    counts = np.asarray(
        _expected_counts(
            jnp.asarray(padded),
            jnp.asarray(weight),
            jnp.asarray(language.initial, jnp.float32),
            jnp.asarray(language.transition, jnp.float32),
            key,
            num_codes,
        )
    )
    best: Decipherment | None = None
    for table in counts:  # [S, K]
        if one_to_one:
            matched = solve_assignment(jnp.asarray(table), allow_unmatched=False)
            mapping = np.asarray(matched.row_of_col, np.int32)
        else:
            mapping = table.argmax(axis=0).astype(np.int32)
        found = Decipherment(mapping, language.log_likelihood(mapping[codes]))
        if best is None or found.log_likelihood > best.log_likelihood:
            best = found
    assert best is not None
    return best


@functools.partial(jax.jit, static_argnames="num_codes")
def _expected_counts(
    codes: jax.Array, weight: jax.Array, initial: jax.Array, transition: jax.Array, key: jax.Array, num_codes: int
) -> jax.Array:
    """Expected counts [kept, symbol, code] at the best of several maxima."""
    num_symbols = initial.size
    onehot = jax.nn.one_hot(codes, num_codes, dtype=initial.dtype) * weight[:, None, None]

    def update(emission: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = emission.T[codes]  # [n, length, S]

        def forward(carry: jax.Array, likelihood: jax.Array):
            joint = (carry @ transition) * likelihood
            scale = joint.sum(axis=1, keepdims=True)
            return joint / scale, (joint / scale, scale[:, 0])

        joint = initial * seen[:, 0]
        scale = joint.sum(axis=1, keepdims=True)
        alpha, (alphas, scales) = jax.lax.scan(forward, joint / scale, jnp.swapaxes(seen[:, 1:], 0, 1))
        alphas = jnp.concatenate([(joint / scale)[None], alphas])
        log_likelihood = (weight * (jnp.log(scale[:, 0]) + jnp.log(scales).sum(axis=0))).sum()

        def backward(carry: jax.Array, inputs: tuple[jax.Array, jax.Array]):
            likelihood, scale = inputs
            beta = (carry * likelihood / scale[:, None]) @ transition.T
            return beta, beta

        ones = jnp.ones_like(alpha)
        _, betas = jax.lax.scan(backward, ones, (jnp.swapaxes(seen[:, 1:], 0, 1), scales), reverse=True)
        posterior = alphas * jnp.concatenate([betas, ones[None]])
        return jnp.einsum("tns,ntk->sk", posterior, onehot), log_likelihood

    def maximise(emission: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
        def step(emission: jax.Array, _: None):
            counts, log_likelihood = update(emission)
            counts = counts + 1e-2
            return counts / counts.sum(axis=1, keepdims=True), log_likelihood

        emission, log_likelihood = jax.lax.scan(step, emission, None, length=steps)
        return emission, log_likelihood[-1]

    # Starts near the codes' own frequencies, so that likelihoods are comparable from the first step on.
    frequency = onehot.sum(axis=(0, 1)) + 0.1
    noise = jax.random.gamma(key, 1.0, (_RESTARTS, num_symbols, num_codes), initial.dtype)
    start = frequency * (noise + 0.2)
    start = start / start.sum(axis=2, keepdims=True)
    emission, log_likelihood = jax.vmap(lambda e: maximise(e, _SHORT))(start)
    _, kept = jax.lax.top_k(log_likelihood, _KEPT)
    emission, _ = jax.vmap(lambda e: maximise(e, _LONG))(emission[kept])
    return jax.vmap(lambda e: update(e)[0])(emission)
