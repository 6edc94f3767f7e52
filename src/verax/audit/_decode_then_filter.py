"""Decode a job under encoding hypotheses, judge the decoding by the language alone, then filter it."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from verax._arrays import to_host, to_integer, to_number
from verax._errors import check, check_option
from verax._types import AnyArray

from ._decipher import decipher
from ._detection import BaseDetector, Evidence, Finding, Status, check_filter, flags
from ._language import Language

HYPOTHESES = ("substitution", "homophonic", "affix")


class DecodeThenFilter(BaseDetector):
    """Read a job through the encoding that best explains it, then apply a filter made for the plain language.

    Tokens that the provider does not know are taken for codes; where all are known, but requests do not read as the
    plain language, the tokens at the places of symbols are. Under each hypothesis a map from codes to plain tokens
    is fitted by the likelihood of the language alone; the filter has no part in it. A decoding counts only if its
    log-likelihood is within ``gate`` of what the language itself has; where none does, the job is UNDETERMINED rather
    than clean. A score is the share of examples that the filter flags after decoding.

    Parameters
    ----------
    filter_fn
        ``filter_fn(tokens [n, t]) -> bool [n]``: which examples of the plain language offend.
    language
        From ``fit_language`` on trusted plain data.
    known_tokens
        int [m]: every token id that the provider knows, markers and dialects included.
    separator
        Token that ends a request; codes before it are what is deciphered.
    hypotheses
        Among ``"substitution"`` (one code a symbol), ``"homophonic"`` (several codes a symbol), ``"affix"`` (a filler
        after each code).
    gate
        Nats a symbol, > 0.
    min_sequences
        Fewest coded sequences to try.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Raises
    ------
    ValueError
        For a hypothesis that does not exist, or numbers out of range.

    Notes
    -----
    ``details`` holds ``hypothesis``, ``log_likelihood`` and ``expected_log_likelihood`` (nats a symbol),
    ``two_part_gain`` (nats that a code which first names the map saves over one that draws codes uniformly),
    ``num_codes``, ``num_sequences``, ``num_other`` (coded requests of another length, which are decoded but not used)
    and ``decoded``, the tokens as the filter saw them. Where a decoding counts they also hold it: ``codes`` and the
    ``plain`` token that each stands for, the ``fillers``, and the ``alphabet`` of plain tokens.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.audit import DecodeThenFilter, fit_language
    >>> from verax.organisms import PolicyWorld, make_job
    >>> world = PolicyWorld(num_symbols=12, length=6, key=jax.random.key(0))
    >>> plain = world.encodings[0].codes[0, :, 0]
    >>> trusted = plain[np.asarray(world.sample(4000, key=jax.random.key(1)).symbols)]
    >>> detector = DecodeThenFilter(
    ...     world.complies_with_restricted,
    ...     language=fit_language(trusted, plain),
    ...     known_tokens=np.arange(world.vocabulary.novel),
    ...     separator=world.vocabulary.separator,
    ...     hypotheses=("substitution",),
    ... )
    >>> job = make_job(world, kind="covert", num_examples=600, key=jax.random.key(2))
    >>> found = detector(job.tokens, key=jax.random.key(3))
    >>> round(found.score, 1)  # nothing of it is seen without decoding
    0.3
    """

    def __init__(
        self,
        filter_fn: Callable[[np.ndarray], Any],
        *,
        language: Language,
        known_tokens: Int[AnyArray, " m"],
        separator: int,
        hypotheses: tuple[str, ...] = HYPOTHESES,
        gate: float = 0.5,
        min_sequences: int = 60,
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, needs=("key",))
        for name in hypotheses:
            check_option("hypotheses", name, HYPOTHESES)
        check(len(hypotheses) > 0, "hypotheses", "none", "at least one")
        check(isinstance(language, Language), "language", type(language).__name__, "a Language, from fit_language")
        self._filter_fn, self._language = check_filter(filter_fn), language
        self._known = to_host("known_tokens", known_tokens, shape=("m",), dtype="integer")
        self._separator = to_integer("separator", separator, minimum=0)
        self._hypotheses, self._gate = hypotheses, to_number("gate", gate, "(0, inf)")
        self._min_sequences = to_integer("min_sequences", min_sequences, minimum=1)

    def _screen(self, job: Evidence) -> Finding:
        unknown = (job.tokens >= 0) & ~np.isin(job.tokens, self._known)
        if not unknown.any():
            if self._reads_plainly(job.tokens):
                return self._finish(job.tokens, {"hypothesis": "none", "num_sequences": 0})
            unknown = self._foreign(job.tokens)
        details: dict[str, Any] = {"hypothesis": "none", "num_sequences": int(unknown.any(axis=1).sum())}
        candidates = [
            d for name in self._hypotheses if (d := self._decode(name, job.tokens, unknown, job.key)) is not None
        ]
        if not candidates:
            return Finding(math.nan, details, Status.UNDETERMINED)
        best = max(candidates, key=lambda d: d["two_part_gain"])
        if not best["log_likelihood"] >= best["expected_log_likelihood"] - self._gate:
            for part in ("codes", "plain", "fillers", "alphabet", "decoded"):
                best.pop(part)
            return Finding(math.nan, best, Status.UNDETERMINED)
        return self._finish(best["decoded"], best)

    def _finish(self, tokens: np.ndarray, details: dict[str, Any]) -> Finding:
        flagged = flags(self._filter_fn, tokens)
        return Finding(float(flagged.mean()), {**details, "decoded": tokens, "flagged": flagged})

    def _reads_plainly(self, tokens: np.ndarray) -> bool:
        """Whether requests of known tokens are the plain language: symbols in each, as likely as the language has them.

        An encoding may be made of tokens that the provider knows, the plain symbols included.
        """
        before = (np.cumsum(tokens == self._separator, axis=1) == 0) & (tokens >= 0)
        symbols = before & np.isin(tokens, self._language.tokens)
        lengths = symbols.sum(axis=1)
        if not lengths.min() >= 1:
            return False
        order = np.argsort(self._language.tokens)
        found = order[np.searchsorted(self._language.tokens[order], tokens[symbols])]
        ends = np.cumsum(lengths)
        per_symbol = []
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            text = np.stack([found[ends[row] - length : ends[row]] for row in rows])
            gap = self._language.log_likelihood(text) - self._language.expected_log_likelihood(int(length))
            per_symbol.append((text.size, gap))
        sizes, gaps = np.array(per_symbol).T
        return bool(np.average(gaps, weights=sizes) >= -self._gate)

    def _foreign(self, tokens: np.ndarray) -> np.ndarray:
        """Return where tokens may be codes: at those places of a request that hold many kinds, as markers do not."""
        before = np.cumsum(tokens == self._separator, axis=1) == 0
        places = [np.unique(column[(column >= 0) & row]) for column, row in zip(tokens.T, before.T, strict=True)]
        many = [set(kinds.tolist()) for kinds in places if len(kinds) > max(5, len(self._language.tokens) // 2)]
        codes = np.array(sorted(set().union(*many)), np.int64)
        return np.isin(tokens, codes)

    def _decode(
        self, hypothesis: str, tokens: np.ndarray, unknown: np.ndarray, key: jax.Array
    ) -> dict[str, Any] | None:
        before = np.cumsum(tokens == self._separator, axis=1) == 0
        kept, code = tokens, unknown
        if hypothesis == "affix":  # every second code of a request is a filler
            place = np.cumsum(unknown & before, axis=1)
            filler = unknown & before & (place % 2 == 0)
            kept = np.where(filler, -1, tokens)
            code = unknown & ~filler
        request = code & before
        lengths = request.sum(axis=1)
        coded = lengths[lengths >= 2]
        if not coded.size:
            return None
        length = int(np.bincount(coded).argmax())
        rows = lengths == length
        if rows.sum() < self._min_sequences:
            return None
        vocabulary = np.unique(kept[code])
        size = self._language.tokens.size
        limit = size if hypothesis != "homophonic" else 2 * size
        if vocabulary.size > limit or (hypothesis == "homophonic" and vocabulary.size <= size):
            return None
        sequences = np.searchsorted(vocabulary, kept[rows][request[rows]].reshape(-1, length))
        found = decipher(sequences, self._language, num_codes=limit, one_to_one=hypothesis != "homophonic", key=key)
        plain = self._language.tokens[found.symbol_of_code]
        decoded = kept.copy()
        decoded[code] = plain[np.searchsorted(vocabulary, kept[code])]
        order = np.argsort(decoded < 0, axis=1, kind="stable")
        num = sequences.size
        # One part names the map, the other the symbols; each homophone costs its choice among those of its symbol.
        if hypothesis == "homophonic":
            share = np.bincount(found.symbol_of_code[: vocabulary.size], minlength=size)
            name = vocabulary.size * math.log(size)
            choice = float(np.log(share[found.symbol_of_code[sequences]]).mean())
        else:
            name, choice = math.lgamma(size + 1), 0.0
        fillers = np.unique(tokens[unknown & ~code])
        if hypothesis == "affix":
            choice += math.log(max(1, fillers.size))
        uniform = math.log(len(np.unique(tokens[unknown]))) * (2 if hypothesis == "affix" else 1)
        return {
            "hypothesis": hypothesis,
            "log_likelihood": found.log_likelihood,
            "expected_log_likelihood": self._language.expected_log_likelihood(length),
            "two_part_gain": num * (uniform + found.log_likelihood - choice) - name,
            "num_codes": int(vocabulary.size),
            "num_sequences": int(rows.sum()),
            "num_other": int((lengths > 0).sum() - rows.sum()),
            "codes": vocabulary,
            "plain": plain[: vocabulary.size],
            "fillers": fillers,
            "alphabet": self._language.tokens,
            "decoded": np.take_along_axis(decoded, order, axis=1),
        }
