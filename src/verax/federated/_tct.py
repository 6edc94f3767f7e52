"""Train-Convexify-Train: federated training, then a convex problem on the features that it has learned."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from verax._errors import check, check_integer, check_option, fail, is_traced
from verax._memory import planned_memory
from verax._results import result
from verax._types import AnyArray, ApplyFn, PyTree
from verax.ntk import Coordinates, Kronecker, Rademacher, ntk_features
from verax.spectral import RiskPath, risk_path

from ._algorithm import FederatedAlgorithm, check_client_data, checked_params
from ._evaluate import evaluator
from ._head import STAGE2, LedgerEntry, checked_ridge, client_labels, fit_head
from ._history import History, empty_history, extended
from ._options import LossFn
from ._partition import ClientData, generator
from ._run import run
from ._scalar_output import Joint, draw_head, network_of
from ._standardize import Standardizer, class_targets
from ._statistics import client_statistics, statistics_spectrum, total_statistics

Sketch = Coordinates | Kronecker | Rademacher

# Gradients up to this width are features as they are; wider ones are sketched to at most that.
_WHOLE, _WIDEST = 4096, 4096


@result()
@dataclasses.dataclass(frozen=True, repr=False)
class TCT:
    """A linear classifier on standardised tangent features of a federated network.

    Attributes
    ----------
    params
        Network after stage 1, at which the features are taken.
    head
        Fresh random scalar head, or the random combination of logits.
    standardizer : Standardizer
        Standardisation of the features.
    coefficients : [m, C]
        Of stage 2.
    ridge : float
        That stage 2 used.
    sketch
        Sketch of the features; None for whole gradients.
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

    @property
    def accuracy(self) -> float:
        """Accuracy on the test examples after the last round of stage 2; NaN without any."""
        return float(self.history.accuracy[-1])

    @property
    def total_bytes(self) -> int:
        """Bytes of all steps, up and down: the abscissa beside that of the baselines' ``History.total_bytes``."""
        return sum(entry.bytes_up + entry.bytes_down for entry in self.ledger)

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
    sketch: Sketch | str | None = "auto",
    stage2: str = "scaffold",
    rounds2: int = 100,
    local_steps: int = 50,
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
        ``verax.ntk.Rademacher(m)``, ``Coordinates(m)`` or ``Kronecker(m)``; None for the whole gradient. "auto": the
        whole gradient up to 4,096 parameters, beyond it ``Rademacher(m)`` with the largest power of two up to 4,096
        that fits the memory. The paper draws 100,000 coordinates.
    stage2
        "scaffold" (the paper's), "fedavg" (without control variates), "one_shot" (sufficient statistics, one message),
        "cg" (conjugate gradients).
    rounds2
        Rounds of stage 2; "one_shot" takes one.
    local_steps
        Of "scaffold" and "fedavg"; their closed form costs the same for any number. Many local steps need many rounds:
        50 steps over 100 rounds end near the pooled optimum, 500 over 15 do not.
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
    Features cost one gradient per example, ``N m`` numbers of memory. See `scaffold_linear`, `client_statistics` and
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
    ridge = checked_ridge(ridge, stage2)
    check_option("weights", weights, ("num_examples", "uniform"))
    check(
        sketch is None or not isinstance(sketch, str) or sketch == "auto",
        "sketch",
        repr(sketch),
        "'auto', None or a sketch",
    )
    params = checked_params(params)
    check(not is_traced(clients), "clients", "traced arrays", "concrete ones: this is a host entry point")
    generator(key)
    algorithm = stage1 if isinstance(stage1, FederatedAlgorithm) else stage1(loss_fn)
    check(
        isinstance(algorithm, FederatedAlgorithm),
        "stage1",
        type(algorithm).__name__,
        "an algorithm, or a function from the loss to one",
    )
    check(algorithm.kind != "local", "stage1", algorithm.name, "an algorithm with one global model")
    check(
        algorithm.options.state in (None, "frozen"),
        "stage1",
        algorithm.name,
        "a network whose state is frozen; or train it with run, and give fit_head the features of the result",
    )
    clients = check_client_data(clients, algorithm)
    num_clients, keep = clients.num_clients, np.asarray(clients.mask)
    labels, num_classes = client_labels(clients, num_classes)
    key1, head_key, sketch_key = (jax.random.fold_in(key, number) for number in range(3))

    judge = None if test is None else evaluator(apply_fn, *test)
    if rounds1:
        params, history = run(
            algorithm,
            params,
            clients,
            rounds=rounds1,
            key=key1,
            evaluate=judge,
            evaluate_every=evaluate_every,
            mesh=mesh,
            backend=backend,
            checkpoint=checkpoint,
            progress=progress,
        )
    else:
        history = empty_history(num_clients)
    ledger = [LedgerEntry("stage 1", int(history.bytes_up.sum()), int(history.bytes_down.sum()))]

    network = network_of(apply_fn, features_fn)
    head = draw_head(apply_fn, params, clients, width, head_key)
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[keep], clients.x)
    sketch = _by_memory(params, head, keep) if isinstance(sketch, str) else sketch
    phi = _scatter(tangent_features(network, params, head, one, sketch, sketch_key, batch_size, progress), keep)
    blank = Standardizer(np.zeros(phi.shape[2]), np.ones(phi.shape[2]))
    model = TCT(
        params,
        head,
        blank,
        np.zeros((phi.shape[2], num_classes)),
        0.0,
        sketch,
        np.asarray(jax.random.key_data(sketch_key)),
        history,
        (),
        network=network,
    )
    fit = fit_head(
        ClientData(phi, labels, keep),
        stage2=stage2,
        rounds2=rounds2,
        local_steps=local_steps,
        ridge=ridge,
        step_size=step_size,
        weights=weights,
        standardize=standardize,
        num_classes=num_classes,
        test=None if test is None else (model.features(test[0], batch_size=batch_size), test[1]),
        evaluate_every=evaluate_every,
        progress=progress,
    )
    ledger += fit.ledger
    model = dataclasses.replace(model, standardizer=fit.standardizer)
    risk = None
    if held_out is not None:
        held_out = check_client_data(held_out, algorithm, "held_out")
        risk, sent = _held_out_risk(model, held_out, num_classes, batch_size)
        ledger.append(LedgerEntry("held-out statistics", sent, 0))
    return dataclasses.replace(
        model,
        coefficients=fit.coefficients,
        ridge=fit.ridge,
        history=_joined(history, fit.history, num_clients),
        ledger=tuple(ledger),
        risk=risk,
        client_features=fit.standardizer(phi) if keep_features else None,
    )


def _by_memory(params: PyTree, head: PyTree, keep: np.ndarray) -> Sketch | None:
    """No sketch for small networks; otherwise the widest of at most 4,096 whose features and sums fit."""
    width = sum(leaf.size for leaf in jax.tree.leaves((params, head)))
    if width <= _WHOLE:
        return None
    size, budget = _WIDEST, planned_memory()
    # Features in single and double precision, and a symmetric matrix per client with its decomposition.
    while size > 64 and size * keep.size * 12 + (len(keep) + 4) * size**2 * 8 > budget:
        size //= 2
    return Rademacher(size)


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


def _scatter(rows: jax.Array, keep: np.ndarray) -> jax.Array:
    """Rows of all examples back to ``[K, n, m]``, zeros elsewhere."""
    where = np.cumsum(keep.reshape(-1)) - 1
    padded = jnp.where(jnp.asarray(keep.reshape(-1))[:, None], rows[np.maximum(where, 0)], jnp.zeros((), rows.dtype))
    return padded.reshape(*keep.shape, -1)


def _joined(history: History, rows: History, num_clients: int) -> History:
    if history.participated.shape[1] != num_clients:  # stage 1 was centralized
        rows = rows._replace(
            participated=rows.participated[:, :1], finite=rows.finite[:, :1], client_loss=rows.client_loss[:, :1]
        )
    return extended(history, rows)


def _held_out_risk(model: TCT, held_out: ClientData, num_classes: int, batch_size: int | None) -> tuple[RiskPath, int]:
    keep = np.asarray(held_out.mask)
    labels, _ = client_labels(held_out, num_classes)
    rows = model.features(jax.tree.map(lambda leaf: jnp.asarray(leaf)[keep], held_out.x), batch_size=batch_size)
    parts = client_statistics(_scatter(rows, keep), class_targets(labels, num_classes, rows.dtype), keep)
    return risk_path(statistics_spectrum(total_statistics(parts))), len(parts) * parts[0].message_bytes
