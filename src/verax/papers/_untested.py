"""Claims without a measurement: those that a scale does not test, and those that nothing public can test."""

from collections.abc import Sequence

from verax.report import Claim, Criterion

_VERDICT = "not tested at this scale"


def not_testable(statement: str, source: str, criterion: Criterion) -> Claim:
    """Return a claim about recorded data that are not public."""
    return Claim(statement, source, None, None, None, 0, "real data", criterion, "not testable here")


def gather_untested(claims: Sequence[Claim], subject: str) -> list[Claim]:
    """Replace two or more claims that this scale does not test by one that counts them and names their subject.

    Examples
    --------
    >>> rule = Criterion("at least 1", lambda measured, standard_error: measured >= 1)
    >>> untested = [
    ...     Claim(f"Claim {i}", "abstract", None, None, None, 0, "synthetic", rule, "not tested at this scale")
    ...     for i in range(3)
    ... ]
    >>> [claim.statement for claim in gather_untested(untested, "larger markets")]
    ['3 claims on larger markets']
    """
    untested = [claim for claim in claims if claim.verdict == _VERDICT]
    if len(untested) < 2:
        return list(claims)
    first = untested[0]
    sources = "; ".join(dict.fromkeys(claim.source for claim in untested))
    criterion = Criterion("a criterion for each, fixed in the module of the claims")
    statement = f"{len(untested)} claims on {subject}"
    gathered = Claim(statement, sources, None, None, None, 0, first.evidence, criterion, _VERDICT)
    return [*(claim for claim in claims if claim.verdict != _VERDICT), gathered]
