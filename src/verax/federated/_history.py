"""Records of the rounds of a run."""

from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, check_integer
from verax._results import raise_if_failed, result

from ._state import SENTENCES


@result(SENTENCES)
class History(NamedTuple):
    """Records of a run, one entry per round (R rounds, K clients; K is 1 for `centralized`).

    Attributes
    ----------
    accuracy : [R]
        What ``evaluate`` returned under that name after the round; NaN where it was not evaluated.
    loss : [R]
        Mean training loss of the participants' batches, by weight.
    drift : [R]
        Mean squared distance that a client's model moved in the round, by weight.
    status : [R]
        `Status` of the round.
    bytes_up, bytes_down : [R]
        Bytes that all participants together sent and received.
    participated : [R, K]
        Whether a client took part.
    finite : [R, K]
        False where a participant sent non-finite numbers.
    client_loss : [R, K]
        Mean batch loss of each participant; NaN for the others.
    evaluations : dict
        Everything that ``evaluate`` returned, each ``[R, ...]`` with NaN where it was not evaluated.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    drift: np.ndarray
    status: np.ndarray
    bytes_up: np.ndarray
    bytes_down: np.ndarray
    participated: np.ndarray
    finite: np.ndarray
    client_loss: np.ndarray
    evaluations: dict[str, np.ndarray]

    raise_if_failed = raise_if_failed

    @property
    def total_bytes(self) -> np.ndarray:
        """Bytes up and down since the start, [R]: the abscissa of accuracy against communication."""
        return np.cumsum(self.bytes_up + self.bytes_down)

    def last_mean(self, name: str = "accuracy", *, rounds: int = 5) -> Any:
        """Mean of an evaluation over the last rounds in which it was made.

        Under label skew the accuracy oscillates by tens of points from round to round; a single last round says little.

        Parameters
        ----------
        name
            Key of ``evaluations``.
        rounds
            How many.

        Returns
        -------
        float or array
            The mean; of shape ``[...]`` for an evaluation ``[R, ...]``.

        Raises
        ------
        ValueError
            If there is no such evaluation, or none was made.
        """
        check(name in self.evaluations, "name", repr(name), f"one of {sorted(self.evaluations)}")
        check_integer("rounds", rounds, minimum=1)
        values = self.evaluations[name]
        made = values[np.isfinite(values.reshape(len(values), -1)).any(1)]
        check(len(made) > 0, "name", f"{name!r}, never evaluated", "at least one evaluation")
        mean = made[-rounds:].mean(0)
        return float(mean) if mean.ndim == 0 else mean


def empty_history(num_clients: int) -> History:
    """History of no rounds."""
    nothing, per_client = np.zeros(0), np.zeros((0, num_clients))
    counts = np.zeros(0, np.int64)
    return History(
        nothing,
        nothing,
        nothing,
        counts,
        counts,
        counts,
        per_client.astype(bool),
        per_client.astype(bool),
        per_client,
        {},
    )


def extended(history: History, rows: History) -> History:
    """One history after the other; an evaluation that only one of them has is NaN in the other."""
    plain = {
        name: np.concatenate([getattr(history, name), getattr(rows, name)])
        for name in History._fields
        if name != "evaluations"
    }
    evaluations = {}
    for name in {**history.evaluations, **rows.evaluations}:
        like = rows.evaluations.get(name, history.evaluations.get(name))
        assert like is not None
        parts = [
            part.evaluations.get(name, np.full((len(part.loss), *like.shape[1:]), np.nan)) for part in (history, rows)
        ]
        evaluations[name] = np.concatenate(parts)
    return History(**plain, evaluations=evaluations)


def rows_of(metrics: Any, num_clients: int, evaluation: dict[str, Any], bytes_up: int, bytes_down: int) -> History:
    """Rows for the metrics of rounds ``[R]``; the evaluation belongs to the last of them."""
    num_rounds = len(metrics.loss)
    rounds = np.arange(num_rounds)[:, None]
    chosen = np.asarray(metrics.participants)
    participated = np.zeros((num_rounds, num_clients), bool)
    participated[rounds, chosen] = True
    finite = np.ones((num_rounds, num_clients), bool)
    finite[rounds, chosen] = np.asarray(metrics.finite)
    client_loss = np.full((num_rounds, num_clients), np.nan)
    client_loss[rounds, chosen] = np.asarray(metrics.client_loss, np.float64)
    evaluations = {}
    for name, value in evaluation.items():
        value = np.asarray(value, np.float64)
        evaluations[name] = np.full((num_rounds, *value.shape), np.nan)
        evaluations[name][-1] = value
    taking_part = np.full(num_rounds, chosen.shape[1], np.int64)
    return History(
        accuracy=evaluations.get("accuracy", np.full(num_rounds, np.nan)),
        loss=np.asarray(metrics.loss, np.float64),
        drift=np.asarray(metrics.drift, np.float64),
        status=np.asarray(metrics.status, np.int64),
        bytes_up=taking_part * bytes_up,
        bytes_down=taking_part * bytes_down,
        participated=participated,
        finite=finite,
        client_loss=client_loss,
        evaluations=evaluations,
    )
