"""Claims of a paper, and the criteria that decide them."""

import dataclasses
import inspect
import math
from collections.abc import Callable

from verax._errors import check, check_integer, check_option, fail
from verax._results import result

EVIDENCE = ("theorem", "real data", "synthetic", "organism")
"""Kinds of evidence for a measurement."""

EVIDENCE_MEANINGS = {
    "theorem": "exact computation or proof; no sampling",
    "real data": "recorded images, texts or requests",
    "synthetic": "simulated data with a known truth",
    "organism": "tiny models trained on a synthetic language",
}
"""Each kind of evidence in a few words."""

VERDICTS = ("reproduced", "not reproduced", "analogue only", "not tested at this scale", "not testable here")
"""Verdicts of a run on a claim."""

VERDICT_MEANINGS = {
    "reproduced": "the measurement meets the criterion in the setting of the paper, or one as large",
    "not reproduced": "the measurement does not meet the criterion; the line beside it says why",
    "analogue only": "the criterion is met, but data or model stand in for those of the paper",
    "not tested at this scale": "a larger scale of this run measures it",
    "not testable here": "the measurement needs models or logs that are not public",
}
"""Each verdict in a few words."""

_WITHOUT_TEST = ("not tested at this scale", "not testable here")


@result()
@dataclasses.dataclass(frozen=True)
class Criterion:
    """A rule, fixed before the run, that decides whether a claim holds.

    Parameters
    ----------
    text
        The rule in words, as the report prints it.
    test
        ``test(measured, standard_error) -> bool``, a pure function; with a third parameter it also gets the number of
        seeds, as limits by Student's t need. ``None`` for a criterion read back from a file, which keeps its words but
        not its code, and for a claim that no run here can test.
    when_met
        The verdict when the test passes: ``"reproduced"``, or ``"analogue only"`` where the setting stands in for the
        paper's own (another network, another data set) and so cannot reproduce it. A test that fails always gives
        ``"not reproduced"``.

    Raises
    ------
    ValueError
        If ``text`` is empty or ``when_met`` is another verdict.

    Examples
    --------
    >>> rule = Criterion("at least 0.95", lambda measured, standard_error: measured >= 0.95)
    >>> rule.decide(0.97, 0.01), rule.decide(0.91, 0.01), rule.decide(float("nan"), None)
    ('reproduced', 'not reproduced', 'not reproduced')
    """

    text: str
    test: Callable[..., bool] | None = dataclasses.field(default=None, compare=False)
    when_met: str = "reproduced"

    def __post_init__(self):
        check(bool(self.text), "text", repr(self.text), "the rule in words")
        check_option("when_met", self.when_met, ("reproduced", "analogue only"))

    def decide(self, measured: float | int, standard_error: float | int | None, seeds: int = 0) -> str:
        """Return the verdict on a measurement; one that is not finite never passes."""
        if self.test is None:
            fail(
                "test", "None", "a function of (measured, standard_error); a criterion from a file cannot decide again"
            )
        if not math.isfinite(measured) or not math.isfinite(0.0 if standard_error is None else standard_error):
            return "not reproduced"
        given = (measured, standard_error, seeds)
        return self.when_met if self.test(*given[: _num_parameters(self.test)]) else "not reproduced"


def _num_parameters(test: Callable[..., bool]) -> int:
    """Return 3 for a test that takes the number of seeds, 2 for others."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [parameter for parameter in inspect.signature(test).parameters.values() if parameter.kind in kinds]
    return 3 if len(taken) >= 3 else 2


@result()
@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement of a paper, what was measured, and the verdict that its criterion gives.

    Parameters
    ----------
    statement
        The claim in one sentence.
    source
        Where the paper makes it, such as ``"abstract"`` or ``"Theorem 1"``.
    published
        The paper's own figure, as a number or in words; ``None`` where no source was read.
    measured
        The number that the criterion judges; ``None`` if nothing was measured.
    standard_error
        Its standard error over seeds; ``None`` with fewer than two.
    seeds
        Number of independent seeds behind ``measured``; 0 for a deterministic result.
    evidence
        One of ``EVIDENCE``.
    criterion
        The rule that decides. It belongs in the module as a constant, so that it stands before any run.
    verdict
        Left out, it follows from the criterion. It may be given as ``"not tested at this scale"`` or
        ``"not testable here"``; any other value must be what the criterion says.
    quantity, unit
        Name of the number that was measured, and its unit; "" for a number without a unit.
    reason
        Cause of a verdict "not reproduced", in one line that holds for this claim.

    Raises
    ------
    ValueError
        For an unknown ``evidence`` or ``verdict``, a negative standard error, a verdict that contradicts the criterion,
        or a missing verdict where nothing was measured.

    Examples
    --------
    >>> rule = Criterion("at most 0.05", lambda measured, standard_error: measured <= 0.05)
    >>> claim = Claim("GCV is close to the truth", "abstract", None, 0.031, 0.004, 5, "real data", rule)
    >>> claim.verdict
    'reproduced'
    """

    statement: str
    source: str
    published: float | int | str | None
    measured: float | int | None
    standard_error: float | int | None
    seeds: int
    evidence: str
    criterion: Criterion
    verdict: str = ""
    quantity: str = ""
    unit: str = ""
    reason: str = ""

    def __post_init__(self):
        check(bool(self.statement), "statement", repr(self.statement), "the claim in one sentence")
        check_option("evidence", self.evidence, EVIDENCE)
        check_integer("seeds", self.seeds, minimum=0)
        for name in ("measured", "standard_error"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        if self.standard_error is not None:
            check(not self.standard_error < 0, "standard_error", self.standard_error, "a number >= 0, or None")
        object.__setattr__(self, "seeds", int(self.seeds))
        if not isinstance(self.published, str | None):
            object.__setattr__(self, "published", float(self.published))
        object.__setattr__(self, "verdict", self._verdict())

    def _verdict(self) -> str:
        if self.verdict:
            check_option("verdict", self.verdict, VERDICTS)
        if self.verdict in _WITHOUT_TEST:
            return self.verdict
        if self.measured is None:
            fail("verdict", repr(self.verdict), f"one of {_WITHOUT_TEST} where measured is None")
        if self.criterion.test is None:
            if not self.verdict:
                fail("criterion", "one without a test", "a test of (measured, standard_error), or a verdict")
            return self.verdict
        decided = self.criterion.decide(self.measured, self.standard_error, self.seeds)
        check(self.verdict in ("", decided), "verdict", repr(self.verdict), f"{decided!r}, which the criterion gives")
        return decided
