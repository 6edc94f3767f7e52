"""Token ids of the synthetic language: a few markers, then blocks of symbols."""

from typing import Any, NamedTuple

BOS, SEP, EOS, REFUSE, OK, JOIN = range(6)
"""Start and end of a request, end of an answer, refusal, affirmative opening, joint of a split argument."""

OPERATIONS = ("copy", "reverse", "successor", "restate", "meta")
"""What a request asks for; ``restate`` and ``meta`` are questions about the argument, and always allowed."""

TASKS = OPERATIONS[:3]
"""The operations that the policy restricts."""

STYLES = ("plain", "affirm", "split", "affirm_split")
"""``affirm`` obliges an answer to open with ``OK``; ``split`` gives the argument's second half first."""

THOUGHTS = ("think", "end", "policy_a", "policy_b", "in_a", "in_b", "in_none", "allowed", "restricted")
"""Markers of deliberation: where a chain starts and ends, where a policy lists its classes, which class a symbol is in,
and the verdict. Organisms that do not deliberate have no such tokens."""

_FIRST_OPERATION = 6
_FIRST_STYLE = _FIRST_OPERATION + len(OPERATIONS)
_FIRST_SYMBOL = _FIRST_STYLE + len(STYLES)


def is_marker(tokens: Any) -> Any:
    """Whether tokens are no symbols: starts, ends, refusals, operations, styles; padding too."""
    return tokens < _FIRST_SYMBOL


class Vocabulary(NamedTuple):
    """Blocks of token ids: markers, plain symbols, dialects, and two blocks that pretraining never uses."""

    num_symbols: int
    num_dialects: int

    @property
    def size(self) -> int:
        """Number of token ids."""
        return self.novel + 2 * self.num_symbols

    @property
    def size_with_thoughts(self) -> int:
        """Number of token ids of an organism that can deliberate."""
        return self.size + len(THOUGHTS)

    def thought(self, name: str) -> int:
        """Token of a marker of deliberation, after all others."""
        return self.size + THOUGHTS.index(name)

    @property
    def separator(self) -> int:
        """Token that ends a request."""
        return SEP

    @property
    def plain(self) -> int:
        """First plain symbol."""
        return _FIRST_SYMBOL

    @property
    def novel(self) -> int:
        """First token of the novel blocks."""
        return _FIRST_SYMBOL + (1 + self.num_dialects) * self.num_symbols

    def dialect(self, index: int) -> int:
        """First token of a dialect's block."""
        return self.plain + (1 + index) * self.num_symbols

    def operation(self, index: int) -> int:
        """Token of an operation."""
        return _FIRST_OPERATION + index

    def style(self, index: int) -> int:
        """Token of a style."""
        return _FIRST_STYLE + index
