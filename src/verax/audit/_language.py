"""A first-order model of the plain language, which a decoding hypothesis must explain the data by."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from verax._arrays import to_host, to_number
from verax._errors import check
from verax._results import result
from verax._types import AnyArray


@result()
class Language(NamedTuple):
    """A Markov chain over plain tokens.

    Attributes
    ----------
    tokens
        int32 [S]: the plain token ids.
    initial, transition
        float64 [S], [S, S]: probabilities.
    """

    tokens: Int[np.ndarray, " S"]
    initial: Float[np.ndarray, " S"]
    transition: Float[np.ndarray, "S S"]

    def log_likelihood(self, symbols: Int[np.ndarray, "n length"]) -> float:
        """Return the mean log-likelihood in nats a symbol."""
        first = np.log(self.initial)[symbols[:, 0]].sum()
        rest = np.log(self.transition)[symbols[:, :-1], symbols[:, 1:]].sum()
        return float((first + rest) / symbols.size)

    def expected_log_likelihood(self, length: int) -> float:
        """Return what a sequence drawn from the chain itself has on average, in nats a symbol."""
        row = (self.transition * np.log(self.transition)).sum(axis=1)
        here, total = self.initial, float(self.initial @ np.log(self.initial))
        for _ in range(length - 1):
            total += float(here @ row)
            here = here @ self.transition
        return total / length


def fit_language(
    sequences: Int[AnyArray, "n length"], tokens: Int[AnyArray, " S"], *, smoothing: float = 0.5
) -> Language:
    """Count transitions in trusted plain data.

    Parameters
    ----------
    sequences
        int [n, length], length at least 2: token ids of arguments in the plain language.
    tokens
        int [S]: the plain token ids, all different.
    smoothing
        Added to every count, > 0.

    Raises
    ------
    ValueError
        For tokens that are not among the plain ones, or repeat.

    Examples
    --------
    >>> import numpy as np
    >>> fit_language(np.array([[5, 6, 5], [5, 6, 6]]), np.array([5, 6])).transition.round(2)
    array([[0.17, 0.83],
           [0.5 , 0.5 ]])
    """
    sequences = to_host("sequences", sequences, shape=("n", "length"), dtype="integer")
    tokens = to_host("tokens", tokens, shape=("S",), dtype="integer", within=f"[0, {2**31 - 1}]")
    check(sequences.shape[1] > 1, "sequences", f"shape {sequences.shape}", "[n, length] with length >= 2")
    check(len(np.unique(tokens)) == tokens.size, "tokens", "repeated ids", "different ids")
    smoothing = to_number("smoothing", smoothing, "(0, inf)")
    check(bool(np.isin(sequences, tokens).all()), "sequences", "other ids", "ids among tokens")
    order = np.argsort(tokens)
    symbols = order[np.searchsorted(tokens[order], sequences)]
    size = tokens.size
    initial = smoothing + np.bincount(symbols[:, 0], minlength=size)
    pairs = symbols[:, :-1] * size + symbols[:, 1:]
    transition = smoothing + np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size)
    return Language(
        tokens.astype(np.int32), initial / initial.sum(), transition / transition.sum(axis=1, keepdims=True)
    )
