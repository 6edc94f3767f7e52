"""Outcome tables: one verdict for each model, attack, prompt and sample."""

import enum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_finite, is_traced

_ARRAYS = ("labels", "scores", "flagged", "cluster", "weight")
_NAMES = ("model_names", "attack_names", "attack_family", "prompt_ids", "provenance")


class Outcome(enum.IntEnum):
    """A verdict on one response; a judge that failed is MISSING, which is not a verdict."""

    GOOD = 0
    BAD = 1
    UNCLEAR = 2
    MISSING = 3


@jax.tree_util.register_pytree_node_class
class OutcomeTable:
    """Verdicts with their axes named, a pytree whose names are static.

    Parameters
    ----------
    labels
        Integers of `Outcome`, ``[model, attack, prompt, sample]``.
    scores, flagged
        Graded harm in [0, 1] (floating) and a monitor's flags (boolean), shaped as ``labels``.
    cluster
        Integers ``[prompt]``: prompts that share one are not independent. Concrete ones are renumbered from 0; traced
        ones have to lie in 0 to the number of prompts.
    weight
        Non-negative weights ``[prompt]``.
    model_names, attack_names, attack_family, prompt_ids
        One unique name an entry of the axis (families may repeat).
    provenance
        Where the verdicts came from, as a string.

    Raises
    ------
    ValueError
        For labels outside the four, or lengths that disagree with ``labels``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable
    >>> OutcomeTable(np.array([[[[0], [1]]]])).labels.shape
    (1, 1, 2, 1)
    """

    _fields = (*_ARRAYS, *_NAMES)  # what is written to disk

    labels: Any
    scores: Any
    flagged: Any
    cluster: Any
    weight: Any
    model_names: tuple[str, ...] | None
    attack_names: tuple[str, ...] | None
    attack_family: tuple[str, ...] | None
    prompt_ids: tuple[str, ...] | None
    provenance: str | None

    def __init__(
        self,
        labels: Any,
        *,
        scores: Any = None,
        flagged: Any = None,
        cluster: Any = None,
        weight: Any = None,
        model_names: Any = None,
        attack_names: Any = None,
        attack_family: Any = None,
        prompt_ids: Any = None,
        provenance: str | None = None,
    ):
        shape = np.shape(labels)
        check(
            len(shape) == 4 and 0 not in shape, "labels", f"shape {shape}", "non-empty [model, attack, prompt, sample]"
        )
        self.labels = labels if isinstance(labels, jax.Array) else np.asarray(labels)
        check(jnp.issubdtype(self.labels.dtype, jnp.integer), "labels", f"dtype {self.labels.dtype}", "integers")
        if not is_traced(labels):
            values = np.unique(np.asarray(labels))
            check(set(values.tolist()) <= {0, 1, 2, 3}, "labels", values.tolist(), "values of Outcome: 0, 1, 2 or 3")
        self.labels = jnp.asarray(self.labels, jnp.int8)
        given = {"scores": (scores, shape), "flagged": (flagged, shape)}
        given |= {"cluster": (cluster, shape[2:3]), "weight": (weight, shape[2:3])}
        for name, (value, need) in given.items():
            if value is not None:
                check(np.shape(value) == need, name, f"shape {np.shape(value)}", f"shape {need}")
                check_finite(name, value)
                value = jnp.asarray(value)
            setattr(self, name, value)
        if scores is not None and not is_traced(scores):
            low, high = float(np.min(np.asarray(scores))), float(np.max(np.asarray(scores)))
            check(low >= 0 and high <= 1, "scores", f"values {low:g} to {high:g}", "harm in [0, 1]")
        if cluster is not None:
            check(jnp.issubdtype(self.cluster.dtype, jnp.integer), "cluster", f"dtype {self.cluster.dtype}", "integers")
            if not is_traced(self.cluster):
                self.cluster = jnp.asarray(np.unique(np.asarray(self.cluster), return_inverse=True)[1], jnp.int32)
        if weight is not None and not is_traced(weight):
            least = float(np.min(np.asarray(weight)))
            check(least >= 0, "weight", f"a weight of {least}", "weights >= 0")
        names = {"model_names": (model_names, 0), "attack_names": (attack_names, 1)}
        names |= {"attack_family": (attack_family, 1), "prompt_ids": (prompt_ids, 2)}
        for name, (value, axis) in names.items():
            if value is not None:
                value = tuple(value)
                check(len(value) == shape[axis], name, f"{len(value)} names", f"{shape[axis]} names")
                unique = name == "attack_family" or len(set(value)) == len(value)
                check(unique, name, "repeated names", "names that differ")
            setattr(self, name, value)
        self.provenance = provenance

    def with_weight(self, weight: Any) -> "OutcomeTable":
        """The same verdicts with other weights ``[prompt]``."""
        return self._with(weight=weight)

    def with_labels(self, labels: Any) -> "OutcomeTable":
        """Other verdicts of the same shape."""
        return self._with(labels=labels)

    def _with(self, **changes: Any) -> "OutcomeTable":
        leaves, names = self.tree_flatten()
        arrays = dict(zip(_ARRAYS, leaves, strict=True)) | changes
        return self.tree_unflatten(names, tuple(arrays[name] for name in _ARRAYS))

    def models(self, which: Any = None, *, argument: str = "models") -> np.ndarray:
        """Indices of models given as an index, a name, or several of either; all for None."""
        return _indices(which, self.model_names, self.labels.shape[0], argument)

    def attacks(self, which: Any = None, *, argument: str = "attacks") -> np.ndarray:
        """Indices of attacks given as an index, a name, or several of either; all for None."""
        return _indices(which, self.attack_names, self.labels.shape[1], argument)

    def tree_flatten(self):
        """Arrays as leaves, names as static data."""
        return tuple(getattr(self, n) for n in _ARRAYS), tuple(getattr(self, n) for n in _NAMES)

    @classmethod
    def tree_unflatten(cls, names, arrays):
        """The table again, without checks: transformations pass leaves of other shapes through here."""
        table = object.__new__(cls)
        for name, value in zip(_ARRAYS + _NAMES, (*arrays, *names), strict=True):
            setattr(table, name, value)
        return table


def _indices(which: Any, names: tuple[str, ...] | None, num: int, argument: str) -> np.ndarray:
    if which is None:
        return np.arange(num)
    several = which if isinstance(which, list | tuple | np.ndarray) else [which]
    found = []
    for one in several:
        if isinstance(one, str):
            check(names is not None and one in names, argument, repr(one), f"one of {names}")
            found.append(names.index(one) if names else 0)
        else:
            inside = isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < num
            check(inside, argument, repr(one), f"a name or an index below {num}")
            found.append(int(one))
    check(bool(found) and len(set(found)) == len(found), argument, repr(which), "at least one, each once")
    return np.array(found)
