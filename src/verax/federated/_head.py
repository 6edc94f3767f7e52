"""A linear classifier on given features, trained over clients: the second stage of Train-Convexify-Train."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from verax._arrays import to_array, to_host
from verax._errors import check, check_integer, check_option, fail, is_traced
from verax._results import result
from verax._stats import clopper_pearson
from verax._types import AnyArray
from verax.spectral import RiskPath

from ._conjugate_gradient import conjugate_gradient_linear
from ._evaluate import evaluator
from ._history import History, empty_history, extended
from ._linear_scaffold import LinearFit, scaffold_linear
from ._partition import ClientData
from ._standardize import Standardizer, check_features, class_targets, fit_standardizer
from ._statistics import Statistics, client_statistics, fit_ridge, total_statistics

STAGE2 = ("scaffold", "fedavg", "one_shot", "cg")


@result()
class LedgerEntry(NamedTuple):
    """Bytes that one step of the protocol moves, all clients together.

    Attributes
    ----------
    step : str
        Content of the messages.
    bytes_up, bytes_down : int
        To the server, from the server.
    """

    step: str
    bytes_up: int
    bytes_down: int


@result()
class PredictedError(NamedTuple):
    """Error of a classifier on new examples of all clients, from sums over their own.

    Attributes
    ----------
    estimate : float
        Share of the examples that the model fitted to all others gets wrong (leave-one-out, exact).
    lower, upper : float
        Clopper-Pearson limits at the level asked for, with examples as independent.
    num_examples : int
        Number of examples.
    """

    estimate: float
    lower: float
    upper: float
    num_examples: int


@result()
@dataclasses.dataclass(frozen=True, repr=False)
class LinearHead:
    """A linear classifier on standardised features.

    Attributes
    ----------
    coefficients : [m, C]
        Coefficients of the standardised features, float64.
    ridge : float
        1/n-normalised.
    standardizer : Standardizer
        Standardisation of the features.
    history : History
        Rounds; ``loss`` is the objective.
    ledger : tuple of LedgerEntry
        Bytes of every step.
    path : RiskPath or None
        Estimated squared risk by ridge, where the ridge was chosen.
    predicted_error : PredictedError or None
        Error on new examples, where it was asked for.
    parts : tuple of Statistics or None
        Sums of each client, where they were asked for.
    """

    coefficients: AnyArray
    ridge: float
    standardizer: Standardizer
    history: History
    ledger: tuple[LedgerEntry, ...]
    path: RiskPath | None = None
    predicted_error: PredictedError | None = None
    parts: tuple[Statistics, ...] | None = None

    def predict(self, features: AnyArray) -> Any:
        """Scores ``[n, C]`` of features ``[n, m]``; the class is their argmax."""
        phi = self.standardizer(features)
        with jax.default_matmul_precision("highest"):
            return phi @ self.coefficients.astype(phi.dtype)

    @property
    def accuracy(self) -> float:
        """Accuracy on the test examples after the last round; NaN without any."""
        return float(self.history.accuracy[-1])

    @property
    def total_bytes(self) -> int:
        """Bytes of all steps, up and down."""
        return sum(entry.bytes_up + entry.bytes_down for entry in self.ledger)

    def without(self, clients: Any) -> "LinearHead":
        """Remove clients exactly: the ridge regression on the others' sums, at the same ridge and standardisation.

        Parameters
        ----------
        clients : sequence of int
            Clients that leave. Features that were trained on their data still hold their influence.

        Returns
        -------
        LinearHead
        """
        if self.parts is None:
            fail(
                "clients", "a head without the clients' sums", "keep_statistics=True and stage2='one_shot' in fit_head"
            )
        leaving = sorted({int(client) for client in clients})
        inside = bool(leaving) and leaving[0] >= 0 and leaving[-1] < len(self.parts)
        check(inside, "clients", leaving, f"clients from 0 to {len(self.parts) - 1}")
        total = total_statistics(list(self.parts), without=[self.parts[client] for client in leaving])
        fit = fit_ridge(total, self.ridge)
        kept = tuple(part for client, part in enumerate(self.parts) if client not in leaving)
        return dataclasses.replace(self, coefficients=fit.coefficients, parts=kept, path=None, predicted_error=None)


def fit_head(
    clients: ClientData,
    *,
    stage2: str = "one_shot",
    rounds2: int = 100,
    local_steps: int = 50,
    ridge: str | float | int | None = None,
    step_size: float | int | None = None,
    weights: str = "num_examples",
    standardize: bool = True,
    num_classes: int | None = None,
    test: tuple[Any, Any] | None = None,
    evaluate_every: int = 1,
    predict_error: bool = False,
    level: float = 0.95,
    keep_statistics: bool = False,
    progress: bool = False,
) -> LinearHead:
    r"""Train a linear classifier over clients on the features of any frozen network.

    .. math::
        \min_\theta\; \sum_i \frac{\omega_i}{2 n_i} \|\Phi_i \theta - Y_i\|_F^2 + \frac\lambda2 \|\theta\|_F^2,
        \qquad Y = \text{onehot} - 1/C

    Parameters
    ----------
    clients
        From `gather_clients`: features ``x [K, n, m]`` and integer labels ``y [K, n]``.
    stage2
        "one_shot" (sums in one message per client), "scaffold", "fedavg" (without control variates), "cg" (conjugate
        gradients).
    rounds2
        Rounds; "one_shot" takes one.
    local_steps
        Of "scaffold" and "fedavg"; their cost does not depend on it. More local steps need more rounds to agree.
    ridge
        1/n-normalised, or "gcv": chosen by generalized cross-validation from the summed statistics, whose upload the
        ledger then counts. None: "gcv" for "one_shot" and "cg", 0 for the others.
    step_size
        Of "scaffold" and "fedavg"; by default from the largest eigenvalue, see `scaffold_linear`.
    weights
        "num_examples", or "uniform": each client's examples count as ``N / (K n_i)``.
    standardize
        Whether to standardise the features by the pooled mean and deviation; it acts as a preconditioner.
    num_classes
        C; found from the labels by default.
    test
        Features ``[n, m]`` and labels on which every round is evaluated.
    evaluate_every
        Rounds between evaluations.
    predict_error
        Also predict the error on new examples, by leave-one-out: the server sends the inverse of the summed matrix,
        each client returns how many of its examples the model fitted to all others gets wrong. For "one_shot" with
        weights by examples. Too small for features of a network that was trained on these labels.
    level
        Of its limits.
    keep_statistics
        Keep each client's sums, for `LinearHead.without`.
    progress
        Draw a progress bar.

    Returns
    -------
    LinearHead

    Raises
    ------
    ValueError
        For bad options, labels that are not 0..C-1, a client without data, or features that are not finite.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.federated import fit_head, gather_clients, partition_by_label_count
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(300) % 3
    >>> features = (2 * np.eye(3)[y] + rng.normal(size=(300, 3))).astype(np.float32)
    >>> clients = gather_clients(features, y, partition_by_label_count(y, 3, 1, key=jax.random.key(0)))
    >>> head = fit_head(clients, predict_error=True, keep_statistics=True)
    >>> fresh = np.arange(30_000) % 3
    >>> new = (2 * np.eye(3)[fresh] + rng.normal(size=(30_000, 3))).astype(np.float32)
    >>> error = float(np.mean(head.predict(new).argmax(1) != fresh))
    >>> bool(head.predicted_error.lower < error < head.predicted_error.upper), head.total_bytes
    (True, 1260)
    >>> len(head.without([2]).parts)  # the regression on the sums of the other two
    2

    References
    ----------
    Yu, Wei, Karimireddy, Ma, Jordan, "TCT", NeurIPS 2022, stage 2. Sums in one message: Fed3R (Fani et al., ICML 2024)
    and AFL (He et al., CVPR 2025).
    """
    check_option("stage2", stage2, STAGE2)
    check_integer("rounds2", rounds2, minimum=1)
    check_integer("local_steps", local_steps, minimum=1)
    check_integer("evaluate_every", evaluate_every, minimum=1)
    check_option("weights", weights, ("num_examples", "uniform"))
    chosen: str | float = checked_ridge(ridge, stage2)
    one_shot = stage2 == "one_shot"
    possible = not predict_error or (one_shot and weights == "num_examples")
    check(possible, "predict_error", "True", "stage2='one_shot' with weights='num_examples'")
    check(not keep_statistics or one_shot, "keep_statistics", "True", "stage2='one_shot'")
    check(isinstance(clients, ClientData), "clients", type(clients).__name__, "ClientData, from gather_clients")
    check(not is_traced(clients), "clients", "traced arrays", "concrete ones: this is a host entry point")
    phi, keep = check_features(clients.x, clients.mask, ("clients.x", "clients.mask"))
    labels, num_classes = client_labels(clients._replace(mask=keep), num_classes)
    num_clients, num_features = len(keep), phi.shape[2]
    standardizer, ledger = Standardizer(np.zeros(num_features), np.ones(num_features)), []
    if standardize:
        standardizer = fit_standardizer(phi, keep)
        two = 2 * num_clients * num_features * 8
        ledger.append(LedgerEntry("standardisation", two, two))
        phi = standardizer(phi)
    targets = class_targets(labels, num_classes, phi.dtype)
    counts = keep.sum(1)
    fitted, parts, total = None, None, None
    if isinstance(chosen, str) or one_shot:
        parts = client_statistics(phi, targets, keep)
        if weights == "uniform":
            parts = [_scaled(part, counts.sum() / (num_clients * part.num_examples)) for part in parts]
        total = total_statistics(parts)
        fitted = fit_ridge(total, chosen)
        chosen = fitted.ridge
        ledger.append(LedgerEntry("statistics", num_clients * total.message_bytes, 0))
    judge = None if test is None else _judge(standardizer, test)
    message = num_clients * num_features * num_classes * phi.dtype.itemsize
    predicted = None
    if one_shot:
        assert total is not None
        assert fitted is not None
        fit = LinearFit(fitted.coefficients, np.full(1, np.nan), float("nan"), {})
        if judge is not None:
            found = judge(fit.coefficients)
            fit = fit._replace(evaluations={name: np.array([value]) for name, value in found.items()})
        ledger.append(LedgerEntry("model", 0, message))
        if predict_error:
            predicted = _leave_one_out(phi, labels, keep, total, np.asarray(fit.coefficients), float(chosen), level)
            ledger.append(LedgerEntry("leave-one-out", 16 * num_clients, num_clients * total.message_bytes))
    else:
        spaced = None if judge is None else _every(judge, evaluate_every, rounds2, num_classes)
        shared = {"rounds": rounds2, "ridge": chosen, "weights": weights, "evaluate": spaced, "progress": progress}
        if stage2 == "cg":
            fit = conjugate_gradient_linear(phi, targets, keep, **shared)
            ledger.append(LedgerEntry("right-hand side", message, 0))
        else:
            fit = scaffold_linear(
                phi,
                targets,
                keep,
                local_steps=local_steps,
                step_size=step_size,
                control_variates=stage2 == "scaffold",
                **shared,
            )
            if step_size is None:
                ledger.append(LedgerEntry("step size", num_clients * 8, num_clients * 8))
        ledger.append(LedgerEntry("stage 2", rounds2 * message, rounds2 * message))
    return LinearHead(
        np.asarray(fit.coefficients),
        float(chosen),
        standardizer,
        extended(empty_history(num_clients), _rows(fit, ledger, num_clients)),
        tuple(ledger),
        None if fitted is None else fitted.path,
        predicted,
        tuple(parts) if keep_statistics and parts is not None else None,
    )


def checked_ridge(ridge: Any, stage2: str) -> str | float:
    """The ridge, or "gcv", with the default of each second stage."""
    if ridge is None:
        return "gcv" if stage2 in ("one_shot", "cg") else 0.0
    if isinstance(ridge, str):
        check_option("ridge", ridge, ("gcv",))
    return ridge


def client_labels(clients: ClientData, num_classes: int | None) -> tuple[np.ndarray, int]:
    """Labels ``[K, n]`` after checking them, and the number of classes."""
    keep, y = np.asarray(clients.mask), to_host("clients.y", clients.y, dtype="any")
    need = "integer labels [K, n]: encode_labels(...).codes for others"
    good = y.shape == keep.shape and y.dtype.kind in "iu"
    check(good, "clients", f"labels {y.dtype}{list(y.shape)}", need)
    low, high = int(y[keep].min()), int(y[keep].max())
    most = num_classes
    if num_classes is None:
        most = max(int(keep.sum()), 2)  # before a table of that width is asked for
    else:
        check_integer("num_classes", num_classes, minimum=2)
    assert most is not None
    check(low >= 0 and high < most, "clients", f"labels from {low} to {high}", f"0 to {most - 1}")
    return np.where(keep, y, 0), num_classes or max(high + 1, 2)


def _scaled(part: Statistics, factor: float) -> Statistics:
    """Sums of examples that each count ``factor`` times; their number stays, so that totals are those of N examples."""
    return part._replace(gram=factor * part.gram, cross=factor * part.cross, target_square=factor * part.target_square)


def _leave_one_out(
    phi: Any, labels: np.ndarray, keep: np.ndarray, total: Statistics, theta: np.ndarray, ridge: float, level: float
) -> PredictedError:
    r"""Errors of :math:`y - (y - f) / (1 - h)` with the leverage :math:`h_i = \phi_i^T (G + N \lambda)^{-1} \phi_i`."""
    size = len(total.gram)
    inverse = scipy.linalg.pinvh(total.gram + total.num_examples * ridge * np.eye(size))
    wrong, count = 0, 0
    for client in range(len(keep)):  # each client counts its own
        rows = np.asarray(phi[client])[keep[client]].astype(np.float64)
        y = class_targets(labels[client][keep[client]], theta.shape[1], np.float64)
        leverage = np.einsum("np,pq,nq->n", rows, inverse, rows)[:, None]
        left_out = y - (y - rows @ theta) / np.maximum(1 - leverage, 1e-12)
        wrong += int((left_out.argmax(1) != labels[client][keep[client]]).sum())
        count += len(rows)
    return PredictedError(wrong / count, *clopper_pearson(wrong, count, level), count)


def _judge(standardizer: Standardizer, test: tuple[Any, Any]) -> Callable[[Any], dict[str, Any]]:
    phi = standardizer(to_array("test", test[0], shape=("n", len(standardizer.mean))))
    return evaluator(_scores, phi, test[1], batch_size=len(phi))


def _scores(theta: Any, phi: Any) -> Any:
    return jnp.matmul(phi, jnp.asarray(theta, phi.dtype), precision="highest")


def _every(
    judge: Callable[[Any], dict[str, Any]], every: int, rounds: int, num_classes: int
) -> Callable[[Any], dict[str, Any]]:
    done = [0]

    def evaluate(theta: Any) -> dict[str, Any]:
        done[0] += 1
        if done[0] % every == 0 or done[0] == rounds:
            return judge(theta)
        return {"accuracy": np.nan, "recall": np.full(num_classes, np.nan)}

    return evaluate


def _rows(fit: LinearFit, ledger: list[LedgerEntry], num_clients: int) -> History:
    rounds = len(fit.objective)
    up, down = np.zeros(rounds, np.int64), np.zeros(rounds, np.int64)
    once = [entry for entry in ledger if entry.step != "stage 2"]
    up[0], down[0] = sum(entry.bytes_up for entry in once), sum(entry.bytes_down for entry in once)
    for entry in ledger:
        if entry.step == "stage 2":
            up, down = up + entry.bytes_up // rounds, down + entry.bytes_down // rounds
    everyone = np.ones((rounds, num_clients), bool)
    return History(
        accuracy=fit.evaluations.get("accuracy", np.full(rounds, np.nan)),
        loss=fit.objective,
        drift=np.full(rounds, np.nan),
        status=np.zeros(rounds, np.int64),
        bytes_up=up,
        bytes_down=down,
        participated=everyone,
        finite=everyone,
        client_loss=np.full((rounds, num_clients), np.nan),
        evaluations=fit.evaluations,
    )
