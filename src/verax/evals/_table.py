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
        Graded scores (floating) and a monitor's flags (boolean), shaped as ``labels``.
    cluster
        Integers ``[prompt]``: prompts that share one are not independent.
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
        if cluster is not None:
            check(jnp.issubdtype(self.cluster.dtype, jnp.integer), "cluster", f"dtype {self.cluster.dtype}", "integers")
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
