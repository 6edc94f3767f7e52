"""Ways to write symbols as tokens: the plain one, dialects, and novel encodings of four families."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from verax._errors import check_option
from verax._results import result
from verax._types import AnyArray

from ._vocabulary import Vocabulary

FAMILIES = ("substitution", "homophonic", "positional", "affix")
"""Families of encodings that pretraining never covers."""


@result()
class Encoding(NamedTuple):
    """A way to write symbols: token ``codes[position, symbol, variant]``, and perhaps a filler after each.

    Attributes
    ----------
    family
        ``"plain"``, ``"dialect"`` or one of ``FAMILIES``.
    codes
        int32 [P, S, V]: the code of a symbol depends on its position modulo ``P`` (positional) and on a variant drawn
        at random (homophonic). All entries at one position differ, so that decoding is exact.
    fillers
        int32 [F]: tokens without meaning, one drawn at random after each code (affix); empty for none.
    """

    family: str
    codes: np.ndarray
    fillers: np.ndarray

    @classmethod
    def permutation(cls, family: str, codes: Any, fillers: Any = ()) -> "Encoding":
        """One code a symbol, whatever the position."""
        return cls(family, np.asarray(codes, np.int32)[None, :, None], np.asarray(fillers, np.int32))

    @property
    def width(self) -> int:
        """Tokens a symbol."""
        return 2 if self.fillers.size else 1

    def encode(self, symbols: Int[AnyArray, "n length"], *, key: jax.Array) -> Int[jax.Array, "n tokens"]:
        """Write symbols as tokens; variants and fillers are drawn at random."""
        return _encoded(jnp.asarray(self.codes), jnp.asarray(self.fillers), jnp.asarray(symbols), key)

    def variants(self, symbols: Int[AnyArray, "n length"]) -> Int[jax.Array, "n length v"]:
        """Every code that stands for each symbol at its position."""
        return _variants(jnp.asarray(self.codes), jnp.asarray(symbols))

    def decode(self, tokens: Int[AnyArray, "n tokens"]) -> Int[np.ndarray, "n length"]:
        """Read tokens back as symbols; -1 where a token is no code at its position."""
        codes = np.asarray(tokens)[:, :: self.width]
        num_positions, num_symbols, num_variants = self.codes.shape
        size = 1 + max(int(self.codes.max()), int(codes.max(initial=0)))
        inverse = np.full((num_positions, size), -1, np.int32)
        symbol = np.broadcast_to(np.arange(num_symbols, dtype=np.int32)[:, None], (num_symbols, num_variants))
        for row, code in zip(inverse, self.codes, strict=True):
            row[code] = symbol
        found = inverse[np.arange(codes.shape[1]) % num_positions, np.maximum(codes, 0)]
        return np.where(codes < 0, -1, found)


# Compiled whole, but traced through where they are part of something larger.
@functools.partial(jax.jit, inline=True)
def _variants(codes: jax.Array, symbols: jax.Array) -> jax.Array:
    position = jnp.arange(symbols.shape[1]) % codes.shape[0]
    return codes[position, symbols]


@functools.partial(jax.jit, inline=True)
def _encoded(codes: jax.Array, fillers: jax.Array, symbols: jax.Array, key: jax.Array) -> jax.Array:
    variant_key, filler_key = jax.random.split(key)
    variants = _variants(codes, symbols)
    variant = jax.random.randint(variant_key, (*variants.shape[:2], 1), 0, variants.shape[2])
    written = jnp.take_along_axis(variants, variant, axis=2)[:, :, 0]
    if not fillers.size:
        return written
    filler = jax.random.choice(filler_key, fillers, written.shape)
    return jnp.stack([written, filler], axis=-1).reshape(len(written), -1)


def novel_encoding(family: str, vocabulary: Vocabulary, length: int, rng: Any) -> Encoding:
    """Draw an encoding of one family on the tokens that pretraining never uses.

    ``substitution``: one permutation. ``homophonic``: two codes a symbol, drawn at random at each use. ``positional``:
    another permutation at each position of the argument. ``affix``: a permutation, with a filler after each code.
    """
    check_option("family", family, FAMILIES)
    size = vocabulary.num_symbols
    block = vocabulary.novel + np.arange(2 * size, dtype=np.int32)
    if family == "homophonic":
        return Encoding(family, rng.permutation(block).reshape(1, size, 2), np.zeros(0, np.int32))
    if family == "positional":
        codes = np.stack([rng.permutation(block[:size]) for _ in range(length)])
        return Encoding(family, codes[:, :, None], np.zeros(0, np.int32))
    return Encoding.permutation(family, rng.permutation(block[:size]), block[size:] if family == "affix" else ())
