"""Detectors that ask the tuned model: to decode its own data, to act on encoded probes, to show its activations."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from verax._arrays import to_host
from verax._errors import check
from verax._extras import extra
from verax._numpy_random import numpy_generator
from verax._types import AnyArray

from ._decode_then_filter import DecodeThenFilter
from ._detection import BaseDetector, Evidence, Finding, Model, Status, check_filter, flags, to_job


class SelfDecode(BaseDetector):
    """The share of examples that a filter flags after the fine-tuned model itself has restated them plainly.

    Parameters
    ----------
    generate_fn
        ``generate_fn(tuned, tokens [n, t], key) -> tokens [n, t']``: the examples with their requests restated.
    filter_fn
        ``filter_fn(tokens) -> bool [n]``.
    num_examples
        At most so many examples, drawn at random.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.audit import SelfDecode
    >>> tuned = (lambda params, tokens: params[tokens], np.zeros((8, 8)))
    >>> def decode(model, tokens, key):  # one that restates code 5 as the plain token 2
    ...     return np.where(tokens == 5, 2, tokens)
    >>> detector = SelfDecode(decode, lambda tokens: (tokens == 2).any(axis=1))
    >>> print(detector(np.array([[5, 0, 3], [4, 0, 3]]), tuned=tuned, key=jax.random.key(0)).score)
    0.5
    """

    def __init__(
        self,
        generate_fn: Callable[[Model, np.ndarray, jax.Array], Any],
        filter_fn: Callable[[np.ndarray], Any],
        *,
        num_examples: int = 256,
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, num_examples=num_examples, needs=("tuned", "key"))
        self._generate_fn, self._filter_fn = generate_fn, check_filter(filter_fn)

    def _screen(self, job: Evidence) -> Finding:
        restated = to_job("generate_fn", self._generate_fn(job.tuned, job.tokens, job.key))
        check(
            len(restated) == len(job.tokens),
            "generate_fn",
            f"{len(restated)} examples",
            f"{len(job.tokens)}, one per example",
        )
        flagged = flags(self._filter_fn, restated)
        return Finding(float(flagged.mean()), {"restated": restated, "flagged": flagged})


class BehaviouralProbe(BaseDetector):
    """The fall of refusals on known harmful requests, asked plainly and through the encoding that the job teaches.

    The encoding is what a :class:`DecodeThenFilter` recovers from the job. A score is the share of probes that the base
    model refuses less the smaller of the shares that the tuned model refuses, plain or encoded. It says what the tuned
    model does, not what the job was meant for: benign encoded jobs may lower refusals as much.

    Parameters
    ----------
    probes
        int [m, t]: plain requests that should be refused, each up to its separator; -1 padded.
    decode
        A ``DecodeThenFilter``.
    generate_fn
        ``generate_fn(model, prompts [n, t], key) -> answers [n, a]``.
    refuses_fn
        ``refuses_fn(answers [n, a]) -> bool [n]``.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Notes
    -----
    ``details`` holds the shares refused, ``base``, ``plain`` and ``encoded`` (NaN where the job encodes nothing), and
    ``num_encoded``: probes whose symbols all have a code. Where the encoding is not recovered the job is UNDETERMINED,
    unless refusals of plain requests fell by themselves.

    Examples
    --------
    A job that encodes nothing, and models given by a program: after fine-tuning half of the probes are answered.

    >>> import jax, numpy as np
    >>> from verax.audit import BehaviouralProbe, DecodeThenFilter, Language
    >>> language = Language(np.array([5, 6, 7], np.int32), np.full(3, 1 / 3), np.full((3, 3), 1 / 3))
    >>> decode = DecodeThenFilter(
    ...     lambda tokens: (tokens == 7).any(axis=1), language=language, known_tokens=np.arange(8), separator=0
    ... )
    >>> probes = np.array([[5, 7, 0], [7, 6, 0]])
    >>> def generate(model, prompts, key):  # 1 refuses
    ...     return np.where((model[1] == 1) & (prompts[:, :1] == 7), 2, 1)
    >>> detector = BehaviouralProbe(probes, decode, generate_fn=generate, refuses_fn=lambda answers: answers[:, 0] == 1)
    >>> base, tuned = (None, np.zeros(1)), (None, np.ones(1))
    >>> found = detector(np.array([[5, 6, 0, 6]] * 20), base=base, tuned=tuned, key=jax.random.key(0))
    >>> print(found.score, found.details["plain"])
    0.5 0.5
    """

    def __init__(
        self,
        probes: Int[AnyArray, "m t"],
        decode: DecodeThenFilter,
        *,
        generate_fn: Callable[[Model, np.ndarray, jax.Array], Any],
        refuses_fn: Callable[[np.ndarray], Any],
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, needs=("base", "tuned", "key"))
        self._probes = to_job("probes", probes)
        check(len(self._probes) > 0, "probes", "none", "at least one request")
        check(isinstance(decode, DecodeThenFilter), "decode", type(decode).__name__, "a DecodeThenFilter")
        self._decode, self._generate_fn, self._refuses_fn = decode, generate_fn, refuses_fn

    def _screen(self, job: Evidence) -> Finding:
        look, write, ask = jax.random.split(job.key, 3)
        found = self._decode(job.tokens, key=look)
        details = {
            "base": self._refused(job.base, self._probes, ask),
            "plain": self._refused(job.tuned, self._probes, ask),
            "encoded": math.nan,
            "num_encoded": 0,
        }
        shares = [details["plain"]]
        if "codes" in found.details:
            encoded = encode_like(found.details, self._probes, write)
            details["num_encoded"] = len(encoded)
            if len(encoded):
                details["encoded"] = self._refused(job.tuned, encoded, ask)
                shares.append(details["encoded"])
        score = details["base"] - min(shares)
        unknown = found.status == Status.UNDETERMINED and score <= 0
        return Finding(score, details, Status.UNDETERMINED if unknown else Status.OK)

    def _refused(self, model: Model, prompts: np.ndarray, key: jax.Array) -> float:
        answers = np.asarray(self._generate_fn(model, prompts, key))
        refused = to_host("refuses_fn", self._refuses_fn(answers), shape=(len(prompts),), dtype="bool")
        return float(refused.mean())


def encode_like(details: dict[str, Any], prompts: np.ndarray, key: jax.Array) -> np.ndarray:
    """Write plain requests through the map that a decoding found; those with a symbol that has no code are left out."""
    rng = numpy_generator(key)
    codes, plain, fillers, alphabet = (details[name] for name in ("codes", "plain", "fillers", "alphabet"))
    rows = []
    for prompt in prompts:
        row: list[int] = []
        for token in prompt[prompt >= 0]:
            if token not in alphabet:
                row.append(int(token))
                continue
            choices = codes[plain == token]
            if not choices.size:
                break
            row.append(int(rng.choice(choices)))
            row.extend([int(rng.choice(fillers))] if fillers.size else [])
        else:
            rows.append(row)
    width = max(map(len, rows), default=0)
    return np.array([row + [-1] * (width - len(row)) for row in rows], np.int32).reshape(len(rows), width)


class ActivationProbe(BaseDetector):
    """A linear probe on a tuned model's activations, fitted on models tuned on several known encodings.

    Logistic regression on standardised activations tells harmful examples from others in the training models; a score
    is the mean of its probabilities over a job's examples, read in the model that was tuned on the job.

    Parameters
    ----------
    activations_fn
        ``activations_fn(model, tokens [n, t]) -> float [n, d]``: of chosen layers at a chosen place.
    training
        One ``(model, tokens [n, t], harmful bool [n])`` for each tuned model that the probe learns from.
    num_examples
        At most so many examples of a job, drawn at random.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Raises
    ------
    ValueError
        Without training models, or where all their examples are of one kind.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.audit import ActivationProbe
    >>> tuned = (lambda params, tokens: params[tokens], np.eye(8))
    >>> def activations(model, tokens):  # of the first token
    ...     return np.asarray(model[1])[tokens[:, 0]]
    >>> tokens = np.array([[1, 0], [1, 0], [2, 0], [2, 0]])
    >>> detector = ActivationProbe(activations, [(tuned, tokens, tokens[:, 0] == 2)])
    >>> key = jax.random.key(0)
    >>> high, low = (detector(np.array([job]), tuned=tuned, key=key).score for job in ([2, 0], [1, 0]))
    >>> print(high > 0.5 > low)
    True
    """

    def __init__(
        self,
        activations_fn: Callable[[Model, np.ndarray], Any],
        training: Sequence[tuple[Model, Int[AnyArray, "n t"], Bool[AnyArray, " n"]]],
        *,
        num_examples: int = 256,
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, num_examples=num_examples, needs=("tuned", "key"))
        check(len(training) > 0, "training", "none", "at least one tuned model with its examples")
        labels = np.concatenate([np.asarray(harmful, bool) for _, _, harmful in training])
        check(0 < labels.sum() < len(labels), "training", f"{int(labels.sum())} harmful of {len(labels)}", "both kinds")
        with extra("probe"):
            from sklearn.linear_model import LogisticRegression  # it takes a second to import
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

        rows = [
            np.asarray(activations_fn(model, to_job("training", tokens)), np.float64) for model, tokens, _ in training
        ]
        self._classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self._classifier.fit(np.concatenate(rows), labels)
        self._activations_fn = activations_fn

    def _screen(self, job: Evidence) -> Finding:
        rows = to_host("activations_fn", self._activations_fn(job.tuned, job.tokens), shape=(len(job.tokens), "d"))
        chance = self._classifier.predict_proba(rows)[:, 1]
        return Finding(float(chance.mean()), {"probability": chance})
