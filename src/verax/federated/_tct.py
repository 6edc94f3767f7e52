"""Train-Convexify-Train: federated training, then a convex problem on the features that it has learned."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from verax._errors import check, check_integer, check_option, fail, is_traced
from verax._types import AnyArray, ApplyFn, PyTree
from verax.ntk import Coordinates, Kronecker, Rademacher, ntk_features
from verax.spectral import RiskPath, risk_path

from ._algorithm import FederatedAlgorithm, check_client_data
from ._conjugate_gradient import conjugate_gradient_linear
from ._evaluate import evaluator
from ._history import History, empty_history, extended
from ._linear_scaffold import LinearFit, scaffold_linear
from ._options import LossFn
from ._partition import ClientData, generator
from ._run import run
from ._scalar_output import Joint, draw_head, network_of
from ._standardize import Standardizer, class_targets, fit_standardizer
from ._statistics import client_statistics, fit_ridge, statistics_spectrum, total_statistics

Sketch = Coordinates | Kronecker | Rademacher

STAGE2 = ("scaffold", "fedavg", "one_shot", "cg")


class LedgerEntry(NamedTuple):
    """Bytes that one step of the protocol moves, all clients together.

    Attributes
    ----------
    step : str
        What was sent.
    bytes_up, bytes_down : int
        To the server, from the server.
    """

    step: str
    bytes_up: int
    bytes_down: int


@dataclasses.dataclass(frozen=True)
class TCT:
    """A linear classifier on standardised tangent features of a federated network.

    Attributes
    ----------
    params
        Network after stage 1, at which the features are taken.
    head
        Fresh random scalar head, or the random combination of logits.
    standardizer : Standardizer
        Of the features.
    coefficients : [m, C]
        Of stage 2.
    ridge : float
        That stage 2 used.
    sketch
        Of the features; None for whole gradients.
    sketch_key : array of uint32
        Data of its key.
    history : History
        Rounds of both stages; ``loss`` of stage 2 is its objective.
    ledger : tuple of LedgerEntry
        Bytes of every step.
    risk : RiskPath or None
        Estimated risk on data held out of stage 1, where such were given: of a ridge regression fitted to *them*, one
        entry a ridge. Never from data that stage 1 has seen, on which it would be too small.
    client_features : [K, n, m] or None
        Standardised features of the clients' examples, where they were asked for; rows outside the mask mean nothing.
        Not stored by `save`.
    network : callable or None
        ``network(params, head, x) -> [n, 1]``; None after `load`, until `bind`.
    """

    params: Any
    head: Any
    standardizer: Standardizer
    coefficients: AnyArray
    ridge: float
    sketch: Sketch | None
    sketch_key: AnyArray
    history: History
    ledger: tuple[LedgerEntry, ...]
    risk: RiskPath | None = None
    client_features: AnyArray | None = None
    network: Callable[[Any, Any, Any], Any] | None = None

    _not_saved = ("client_features", "network")

    def features(self, x: PyTree, *, batch_size: int | None = None) -> jax.Array:
        """Standardised tangent features ``[n, m]`` of examples."""
        if self.network is None:
            fail(
                "network",
                "None",
                "tct.bind(apply_fn), or bind(features_fn=...), after loading: functions are not stored",
            )
        return self.standardizer(
            tangent_features(
                self.network,
                self.params,
                self.head,
                x,
                self.sketch,
                jax.random.wrap_key_data(jnp.asarray(self.sketch_key)),
                batch_size,
            )
        )

    def predict(self, x: PyTree, *, batch_size: int | None = None) -> jax.Array:
        """Scores ``[n, C]``; the class is their argmax.

        Parameters
        ----------
        x : array or pytree of arrays [n, ...]
            Examples.
        batch_size
            Examples that pass through the network at once.
        """
        phi = self.features(x, batch_size=batch_size)
        with jax.default_matmul_precision("highest"):
            return phi @ jnp.asarray(self.coefficients, phi.dtype)

    def bind(self, apply_fn: ApplyFn | None = None, *, features_fn: ApplyFn | None = None) -> "TCT":
        """Give a loaded model its network again: what `tct` was given."""
        return dataclasses.replace(self, network=network_of(apply_fn, features_fn))


def tct(
    apply_fn: ApplyFn,
    loss_fn: LossFn,
    params: PyTree,
    clients: ClientData,
    *,
    stage1: FederatedAlgorithm | Callable[[LossFn], FederatedAlgorithm],
    rounds1: int,
    features_fn: ApplyFn | None = None,
    width: int | None = None,
    sketch: Sketch | None = None,
    stage2: str = "scaffold",
    rounds2: int = 100,
    local_steps: int = 500,
    ridge: str | float | int | None = None,
    key: jax.Array,
    num_classes: int | None = None,
    step_size: float | int | None = None,
    weights: str = "num_examples",
    standardize: bool = True,
    held_out: ClientData | None = None,
    test: tuple[PyTree, Int[AnyArray, "n"]] | None = None,
    evaluate_every: int = 1,
    keep_features: bool = False,
    batch_size: int | None = None,
    mesh: Mesh | None = None,
    backend: str = "auto",
    checkpoint: str | None = None,
    progress: bool = False,
) -> TCT:
    r"""Train a network federatedly, convexify it at its tangent features, and train the linear model federatedly.

    1. ``rounds1`` rounds of ``stage1`` give parameters ``w``.
    2. A fresh random scalar head is put on the network's last hidden layer. Every client computes ``phi(x) = grad s(x;
       w)``, sketched by a common seed, and standardises it with the pooled mean and deviation, which are sums.
    3. The convex problem ``min sum_i omega_i ||Phi_i theta - Y_i||^2 / (2 n_i) + ridge ||theta||^2 / 2`` with
       ``Y = onehot - 1/C`` is solved over the clients.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x) -> [n, C]`` logits.
    loss_fn : callable
        ``loss_fn(params, x, y) -> [n]``; used where ``stage1`` is not yet an algorithm.
    params
        Initial parameters.
    clients
        From `gather_clients`; labels are integers.
    stage1
        A `FederatedAlgorithm`, or a function from the loss to one, such as ``functools.partial(fedavg,
        learning_rate=0.05)``.
    rounds1
        Rounds of stage 1; 0 takes the features at initialisation, the ablation that shows what stage 1 is worth.
    features_fn, width
        ``features_fn(params, x) -> [n, width]``, the input of the last layer, for the paper's fresh head. Without them
        the scalar is a random unit combination of the logits: a deviation for networks that cannot be cut.
    sketch
        ``verax.ntk.Rademacher(m)``, ``Coordinates(m)`` or ``Kronecker(m)``. The paper draws 100,000 coordinates. None:
        the whole gradient.
    stage2
        "scaffold" (the paper's), "fedavg" (without control variates), "one_shot" (sufficient statistics, one message),
        "cg" (conjugate gradients).
    rounds2
        Rounds of stage 2; "one_shot" takes one.
    local_steps
        Of "scaffold" and "fedavg"; free, by their closed form.
    ridge
        1/n-normalised, or "gcv": chosen by generalized cross-validation from the summed statistics, whose upload the
        ledger then counts. None: "gcv" for "one_shot" and "cg", 0 (the paper's) for the others.
    key
        A ``jax.random.key``.
    num_classes
        C; found from the labels by default.
    step_size
        Of "scaffold" and "fedavg"; by default from the largest eigenvalue, see `scaffold_linear`.
    weights
        "num_examples" or "uniform", for stage 2.
    standardize
        Whether to standardise the features: it acts as a preconditioner.
    held_out
        Further clients' data that stage 1 does not see: their statistics give ``risk``.
    test
        Examples and labels on which every round of both stages is evaluated.
    evaluate_every
        Rounds between evaluations, in both stages.
    keep_features
        Keep the clients' features, ``K n m`` numbers, in the result: for another second stage on them.
    batch_size
        Examples that pass through the network at once for features.
    mesh, backend
        For stage 1, see `run`.
    checkpoint
        File in which stage 1 is kept, see `run`.
    progress
        Draw progress bars.

    Returns
    -------
    TCT

    Raises
    ------
    ValueError
        For bad options, labels that are not 0..C-1, a client without data, or features that are not finite (a network
        that diverged).

    Notes
    -----
    Features cost one gradient an example, ``N m`` numbers of memory. See `scaffold_linear`, `client_statistics` and
    `conjugate_gradient_linear` for stage 2.

    Examples
    --------
    >>> import functools, jax, jax.numpy as jnp, numpy as np
    >>> from verax.federated import fedavg, gather_clients, partition_by_label_count, tct
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(90) % 3
    >>> x = (np.eye(3)[y] + 0.3 * rng.normal(size=(90, 3))).astype(np.float32)
    >>> clients = gather_clients(x, y, partition_by_label_count(y, 3, 1, key=jax.random.key(0)))
    >>> params = {"w": jnp.eye(3), "v": jnp.eye(3)}
    >>> features_fn = lambda p, x: jnp.tanh(x @ p["w"])
    >>> apply_fn = lambda p, x: features_fn(p, x) @ p["v"]
    >>> loss_fn = lambda p, x, y: -jnp.take_along_axis(jax.nn.log_softmax(apply_fn(p, x)), y[:, None], 1)[:, 0]
    >>> model = tct(
    ...     apply_fn, loss_fn, params, clients, stage1=functools.partial(fedavg, learning_rate=0.1), rounds1=2,
    ...     features_fn=features_fn, width=3, stage2="one_shot", key=jax.random.key(1),
    ... )
    >>> bool((np.argmax(model.predict(x), axis=1) == y).mean() > 0.9), [entry.step for entry in model.ledger]
    (True, ['stage 1', 'standardisation', 'statistics', 'model'])

    References
    ----------
    Yu, Wei, Karimireddy, Ma, Jordan, "TCT: Convexifying Federated Learning using Bootstrapped Neural Tangent Kernels",
    NeurIPS 2022. Sums in one message: Fed3R (Fani et al., ICML 2024) and AFL (He et al., CVPR 2025) for other features.
    """
    check_option("stage2", stage2, STAGE2)
    check_integer("rounds1", rounds1, minimum=0)
    check_integer("rounds2", rounds2, minimum=1)
    check_integer("local_steps", local_steps, minimum=1)
    check_integer("evaluate_every", evaluate_every, minimum=1)
    check((features_fn is None) == (width is None), "width", width, "given with features_fn, and not otherwise")
    ridge = ridge if ridge is not None else ("gcv" if stage2 in ("one_shot", "cg") else 0.0)
    if isinstance(ridge, str):
        check_option("ridge", ridge, ("gcv",))
    generator(key)
    algorithm = stage1 if isinstance(stage1, FederatedAlgorithm) else stage1(loss_fn)
    check(
        isinstance(algorithm, FederatedAlgorithm),
        "stage1",
        type(algorithm).__name__,
        "an algorithm, or a function from the loss to one",
    )
    check_client_data(clients, algorithm)
    check(not is_traced(clients), "clients", "traced arrays", "concrete ones: this is a host entry point")
    num_clients, keep = clients.num_clients, np.asarray(clients.mask)
    labels, num_classes = _client_labels(clients, num_classes)
    key1, head_key, sketch_key = (jax.random.fold_in(key, number) for number in range(3))

    judge = None if test is None else evaluator(apply_fn, *test)
    if rounds1:
        params, history = run(
            algorithm, params, clients, rounds=rounds1, key=key1, evaluate=judge, evaluate_every=evaluate_every,
            mesh=mesh, backend=backend, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip
    else:
        params, history = jax.tree.map(jnp.asarray, params), empty_history(num_clients)
    ledger = [LedgerEntry("stage 1", int(history.bytes_up.sum()), int(history.bytes_down.sum()))]

    network = network_of(apply_fn, features_fn)
    head = draw_head(apply_fn, params, clients, width, head_key)
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[keep], clients.x)
    phi = _scatter(tangent_features(network, params, head, one, sketch, sketch_key, batch_size, progress), keep)
    num_features, item = phi.shape[2], phi.dtype.itemsize
    standardizer = Standardizer(np.zeros(num_features), np.ones(num_features))
    if standardize:
        standardizer = fit_standardizer(phi, keep)
        two = 2 * num_clients * num_features * 8
        ledger.append(LedgerEntry("standardisation", two, two))
        phi = standardizer(phi)
    targets = class_targets(labels, num_classes, phi.dtype)
    model = TCT(
        params, head, standardizer, np.zeros((num_features, num_classes)), 0.0, sketch,
        np.asarray(jax.random.key_data(sketch_key)), history, (), network=network,
    )  # fmt: skip

    fit_path = None
    if isinstance(ridge, str) or stage2 == "one_shot":
        parts = client_statistics(phi, targets, keep)
        fit_path = fit_ridge(total_statistics(parts), ridge)
        ridge = fit_path.ridge
        ledger.append(LedgerEntry("statistics", num_clients * parts[0].message_bytes, 0))
    judge2 = None if test is None else _linear_judge(model, test, batch_size)
    message = num_clients * num_features * num_classes * item
    if stage2 == "one_shot":
        assert fit_path is not None
        fit = LinearFit(fit_path.coefficients, np.full(1, np.nan), float("nan"), {})
        if judge2 is not None:
            fit = fit._replace(
                evaluations={name: np.array([value]) for name, value in judge2(fit.coefficients).items()}
            )
        ledger.append(LedgerEntry("model", 0, message))
    else:
        spaced = None if judge2 is None else _every(judge2, evaluate_every, rounds2, num_classes)
        if stage2 == "cg":
            fit = conjugate_gradient_linear(
                phi, targets, keep, rounds=rounds2, ridge=ridge, weights=weights, evaluate=spaced, progress=progress
            )
            ledger.append(LedgerEntry("right-hand side", message, 0))
        else:
            fit = scaffold_linear(
                phi, targets, keep, rounds=rounds2, local_steps=local_steps, ridge=ridge, step_size=step_size,
                weights=weights, control_variates=stage2 == "scaffold", evaluate=spaced, progress=progress,
            )  # fmt: skip
            if step_size is None:
                ledger.append(LedgerEntry("step size", num_clients * 8, num_clients * 8))
        ledger.append(LedgerEntry("stage 2", rounds2 * message, rounds2 * message))
    risk = None
    if held_out is not None:
        check_client_data(held_out, algorithm)
        risk, sent = _held_out_risk(model, held_out, num_classes, batch_size)
        ledger.append(LedgerEntry("held-out statistics", sent, 0))
    return dataclasses.replace(
        model,
        coefficients=np.asarray(fit.coefficients),
        ridge=float(ridge),
        history=_with_stage2(history, fit, ledger, num_clients),
        ledger=tuple(ledger),
        risk=risk,
        client_features=phi if keep_features else None,
    )


def tangent_features(
    network: Callable[[Any, Any, Any], Any],
    params: PyTree,
    head: PyTree,
    x: PyTree,
    sketch: Sketch | None,
    key: jax.Array,
    batch_size: int | None = None,
    progress: bool = False,
) -> jax.Array:
    """Gradient features of the network's scalar output, head included, ``[n, m]``."""
    joint = jax.tree.map(jnp.asarray, {"head": head, "params": params})
    return ntk_features(
        Joint(network),
        joint,
        x,
        sketch=sketch,
        key=None if sketch is None else key,
        batch_size=batch_size,
        progress=progress,
    )


def _client_labels(clients: ClientData, num_classes: int | None) -> tuple[np.ndarray, int]:
    """Labels ``[K, n]`` after checking them, and the number of classes."""
    keep, y = np.asarray(clients.mask), np.asarray(clients.y)
    check(y.ndim == 2 and y.dtype.kind in "iu", "clients", f"labels {y.dtype}{list(y.shape)}", "integer labels [K, n]")
    low, high = int(y[keep].min()), int(y[keep].max())
    most = num_classes
    if num_classes is None:
        most = int(keep.sum())  # before a table of that width is asked for
    else:
        check_integer("num_classes", num_classes, minimum=2)
    assert most is not None
    check(low >= 0 and high < most, "clients", f"labels from {low} to {high}", f"0 to {most - 1}")
    return np.where(keep, y, 0), num_classes or max(high + 1, 2)


def _scatter(rows: jax.Array, keep: np.ndarray) -> jax.Array:
    """Rows of all examples back to ``[K, n, m]``, zeros elsewhere."""
    where = np.cumsum(keep.reshape(-1)) - 1
    padded = jnp.where(jnp.asarray(keep.reshape(-1))[:, None], rows[np.maximum(where, 0)], jnp.zeros((), rows.dtype))
    return padded.reshape(*keep.shape, -1)


def _linear_judge(model: TCT, test: tuple[PyTree, Any], batch_size: int | None) -> Callable[[Any], dict[str, Any]]:
    phi = model.features(test[0], batch_size=batch_size)
    return evaluator(_scores, phi, test[1], batch_size=len(phi))


def _scores(theta: Any, phi: Any) -> Any:
    return phi @ theta.astype(phi.dtype)


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


def _with_stage2(history: History, fit: LinearFit, ledger: list[LedgerEntry], num_clients: int) -> History:
    rounds = len(fit.objective)
    up, down = np.zeros(rounds, np.int64), np.zeros(rounds, np.int64)
    once = [entry for entry in ledger if entry.step not in ("stage 1", "stage 2", "held-out statistics")]
    up[0], down[0] = sum(entry.bytes_up for entry in once), sum(entry.bytes_down for entry in once)
    for entry in ledger:
        if entry.step == "stage 2":
            up, down = up + entry.bytes_up // rounds, down + entry.bytes_down // rounds
    everyone = np.ones((rounds, num_clients), bool)
    rows = History(
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
    if history.participated.shape[1] != num_clients:  # stage 1 was centralized
        rows = rows._replace(participated=everyone[:, :1], finite=everyone[:, :1], client_loss=rows.client_loss[:, :1])
    return extended(history, rows)


def _held_out_risk(model: TCT, held_out: ClientData, num_classes: int, batch_size: int | None) -> tuple[RiskPath, int]:
    keep = np.asarray(held_out.mask)
    labels, _ = _client_labels(held_out, num_classes)
    rows = model.features(jax.tree.map(lambda leaf: jnp.asarray(leaf)[keep], held_out.x), batch_size=batch_size)
    parts = client_statistics(_scatter(rows, keep), class_targets(labels, num_classes, rows.dtype), keep)
    return risk_path(statistics_spectrum(total_statistics(parts))), len(parts) * parts[0].message_bytes
