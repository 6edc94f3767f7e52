"""Claims about bounds that were proved in rational arithmetic."""

import math
from fractions import Fraction

from verax._errors import check, fail


def rounded_down(proven: Fraction) -> float:
    """The largest float, or one next to it, that does not claim more than was proved."""
    bound = float(proven)
    while Fraction(bound) > proven:
        bound = math.nextafter(bound, -math.inf)
    return bound


def slack_of(bound: float, proven: Fraction) -> float:
    """By how much more was proved than is claimed; raise if it is less."""
    check(math.isfinite(bound), "certificate", f"a bound of {bound}", "a finite number")
    if proven < Fraction(bound):
        fail("certificate", f"a bound of {bound}", f"at most {float(proven)}, which is what its weights prove")
    return float(proven - Fraction(bound))
