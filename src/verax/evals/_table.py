"""Outcome tables: one verdict for each model, attack, prompt and sample."""

import enum
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from verax._arrays import to_host, to_labels
from verax._errors import check, is_traced

from ._numeric import Numeric, take

_ARRAYS = ("labels", "scores", "flagged", "cluster", "weight")
_NAMES = ("model_names", "attack_names", "attack_family", "prompt_ids", "provenance")


class Outcome(enum.IntEnum):
    """A verdict on one response.

    MISSING is a response whose judgement failed: no verdict, which widens limits. NOT_RUN is a sample that was never
    planned or never run, where prompts have unequal numbers of samples: it counts nowhere.
    """

    NOT_RUN = -1
    GOOD = 0
    BAD = 1
    UNCLEAR = 2
    MISSING = 3


@jax.tree_util.register_pytree_node_class
class OutcomeTable:
    """Verdicts with named axes; a pytree whose names are static.

    Parameters
    ----------
    labels
        Integers of `Outcome`, ``[model, attack, prompt, sample]``.
    scores, flagged
        Graded harm in [0, 1] and a monitor's flags (boolean), shaped as ``labels``. Scores of samples that are MISSING
        or NOT_RUN may be NaN.
    cluster
        Clusters of the prompts, ``[prompt]``: prompts that share one are not independent. Labels of any kind, which are
        renumbered from 0; traced ones are integers from 0 to the number of prompts.
    weight
        Non-negative weights ``[prompt]``.
    model_names, attack_names, attack_family, prompt_ids
        One name per entry of the axis; names differ, families may repeat.
    provenance
        Origin of the verdicts, as a string.

    Raises
    ------
    ValueError
        For labels outside the five, or lengths that disagree with ``labels``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable
    >>> OutcomeTable(np.array([[[[0], [1]]]]))
    OutcomeTable(1 model, 1 attack, 2 prompts, 1 sample: 1 GOOD, 1 BAD)
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
        axes = ("model", "attack", "prompt", "sample")
        array = take("labels", labels, shape=axes, dtype="any", within="[-1, 3]")
        check(array.dtype.kind in "iu", "labels", f"dtype {array.dtype}", "integers: values of Outcome")
        self.labels = array.astype(np.int8)
        shape = array.shape
        self.scores = None if scores is None else _scores(scores, self.labels)
        self.flagged = None if flagged is None else take("flagged", flagged, shape=shape, dtype="bool")
        self.cluster = None if cluster is None else take_cluster(cluster, shape[2])
        self.weight = None if weight is None else take("weight", weight, shape=shape[2:3], within="[0, inf)")
        names = {"model_names": (model_names, 0), "attack_names": (attack_names, 1)}
        names |= {"attack_family": (attack_family, 1), "prompt_ids": (prompt_ids, 2)}
        for name, (value, axis) in names.items():
            setattr(self, name, None if value is None else _names(name, value, shape[axis]))
        self.provenance = provenance

    def __repr__(self) -> str:
        """Sizes of the axes and numbers of each verdict."""
        try:
            sizes = zip(self.labels.shape, ("model", "attack", "prompt", "sample"), strict=True)
            axes = ", ".join(f"{size} {name}{'s' * (size != 1)}" for size, name in sizes)
            if is_traced(self.labels):
                return f"OutcomeTable({axes})"
            numbers = {kind: int((np.asarray(self.labels) == kind).sum()) for kind in Outcome}
        except (AttributeError, TypeError, ValueError):  # leaves of a transformation
            return "OutcomeTable(...)"
        present = ", ".join(f"{number} {kind.name}" for kind, number in numbers.items() if number)
        return f"OutcomeTable({axes}: {present})"

    def with_weight(self, weight: Any) -> "OutcomeTable":
        """The same verdicts with other weights ``[prompt]``."""
        return self._with(weight=take("weight", weight, shape=self.labels.shape[2:3], within="[0, inf)"))

    def with_labels(self, labels: Any) -> "OutcomeTable":
        """Other verdicts of the same shape."""
        array = take("labels", labels, shape=self.labels.shape, dtype="any", within="[-1, 3]")
        return self._with(labels=array.astype(np.int8))

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
    several = [which] if isinstance(which, str) or np.ndim(which) == 0 else list(which)
    found = []
    for one in several:
        if isinstance(one, str):
            check(names is not None and one in names, argument, repr(one), f"one of {list(names or ())}")
            found.append(names.index(one) if names else 0)
        else:
            inside = isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < num
            check(inside, argument, repr(one), f"a name or an index below {num}")
            found.append(int(one))
    check(bool(found) and len(set(found)) == len(found), argument, repr(which), "at least one, each once")
    return np.array(found)


def _names(argument: str, value: Any, num: int) -> tuple[str, ...]:
    sound = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    check(sound, argument, f"{value!r:.60}", f"a sequence of {num} names")
    names = tuple(str(name) for name in value)
    check(len(names) == num, argument, f"{len(names)} names", f"{num} names")
    unique = argument == "attack_family" or len(set(names)) == len(names)
    check(unique, argument, "repeated names", "names that differ")
    return names


def _scores(scores: Any, labels: Numeric) -> Numeric:
    """Scores in [0, 1]; samples without a judgement need none."""
    array = take("scores", scores, labels, shape=labels.shape, finite=False)
    if not is_traced(array):
        judged = (labels != Outcome.MISSING) & (labels != Outcome.NOT_RUN)
        array = np.where(judged, array, np.nan_to_num(array))
        to_host("scores", array, within="[0, 1]")
    return array


def take_cluster(cluster: Any, num: int) -> Numeric:
    """Numbers from 0 of the clusters of ``num`` units; concrete clusters may be labels of any kind."""
    if is_traced(cluster):
        return take("cluster", cluster, shape=(num,), dtype="integer")
    codes, _ = to_labels("cluster", cluster, num=num)
    check(bool((codes >= 0).all()), "cluster", f"{int((codes < 0).sum())} missing labels", "a cluster for each unit")
    return codes
