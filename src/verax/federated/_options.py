"""Options that all algorithms share, declared and checked once."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import jax
import numpy as np
import optax

from verax._arrays import to_host
from verax._errors import check, check_integer, check_option, fail

LossFn = Callable[..., Any]
"""``loss_fn(params, x, y) -> [n]``, one value per example; see `TrainingOptions` for networks with state and keys."""

Schedule = Callable[[Any], Any]
"""A learning rate as a function of the number of the round, from 0."""

STATES = ("average", "local", "frozen")


class TrainingOptions(TypedDict, total=False):
    """Keyword options of local training, accepted by every algorithm.

    The loss is ``loss_fn(params, x, y) -> [n]``, one value per example; a batch's loss is the mean over its examples.
    With a keyword argument named ``key`` it also receives a fresh random key per step, for dropout and augmentation.
    With ``state="average"`` or ``"local"`` it is ``loss_fn(params, state, x, y) -> ([n], new_state)``.

    Attributes
    ----------
    learning_rate : float or callable
        Step size of local gradient descent; a schedule such as ``optax.cosine_decay_schedule`` receives the number of
        the round. Required unless ``optimizer`` is given.
    optimizer : optax.GradientTransformation
        Local optimizer in place of gradient descent; its state is new in every round. Not for `fednova` and `scaffold`,
        whose corrections are defined for gradient descent.
    momentum : float
        ``v = momentum v + g``, ``y = y - learning_rate v``, with ``v = 0`` at the beginning of each round. Default 0.
    batch_size : int or None
        Examples per local step; None, the default, takes all examples of the client. Where a client has fewer, its
        examples repeat in turn with weight zero: a loss never sees anything but examples.
    local_epochs : int
        Passes over the client's examples in a round, 1 by default. Each is a permutation; its last batch is smaller
        where the size does not divide.
    local_steps : int or sequence of K int
        Steps in a round, in place of ``local_epochs``; one number per client for clients of different speed.
    state : str
        Treatment of the state that a network keeps beside its parameters, such as the running statistics of batch
        normalisation, given to `run` as ``Variables(params, state)``: "average" over the clients by weight after each
        round; "local", one state per client that is never sent (FedBN); "frozen", as it is. Averaging is for
        floating-point entries; others stay as they are.
    non_finite : str
        When a client's message is not finite: "refuse" the round, which leaves the state as it was (the default), or
        "exclude" the client. The status of the round tells either.
    """

    learning_rate: float | int | Schedule
    optimizer: optax.GradientTransformation
    momentum: float | int
    batch_size: int | None
    local_epochs: int | None
    local_steps: int | Sequence[int] | None
    state: str | None
    non_finite: str


class FederatedOptions(TrainingOptions, total=False):
    """Keyword options of algorithms that aggregate: those of `TrainingOptions`, and two of the aggregation.

    Attributes
    ----------
    weights : str
        ``omega_i``: "num_examples" (``n_i`` over the participants' total, the default) or "uniform".
    clients_per_round : int or None
        Number of clients drawn in each round without replacement; None, the default, for all.
    """

    weights: str
    clients_per_round: int | None


class LocalOptions(NamedTuple):
    """Checked options of local training; hashable, so that equal algorithms share compiled programs."""

    learning_rate: float | Schedule | None
    batch_size: int | None
    local_epochs: int | None
    local_steps: int | tuple[int, ...] | None
    momentum: float = 0.0
    optimizer: optax.GradientTransformation | None = None
    state: str | None = None
    takes_key: bool = False

    def rate(self, round_number: Any) -> Any:
        """Learning rate in a round."""
        if not callable(self.learning_rate):
            return self.learning_rate
        with jax.numpy_dtype_promotion("standard"):  # schedules mix dtypes
            return self.learning_rate(round_number)

    @property
    def has_equal_steps(self) -> bool:
        """Whether all clients take equally many steps, whatever their data."""
        return isinstance(self.local_steps, int) or (self.local_steps is None and self.batch_size is None)


class Aggregation(NamedTuple):
    """Checked options of the aggregation: weights, participants, and what is done about non-finite messages."""

    weights: str = "num_examples"
    clients_per_round: int | None = None
    non_finite: str = "refuse"


def checked_options(
    loss_fn: Any, options: Mapping[str, Any], *, accepted: type = FederatedOptions
) -> tuple[LocalOptions, Aggregation]:
    """Check the loss and all shared options; ``accepted`` is the ``TypedDict`` that declares them."""
    if not callable(loss_fn):
        fail("loss_fn", type(loss_fn).__name__, "a function loss_fn(params, x, y) -> [n]")
    for name in options:
        check_option("options", name, tuple(accepted.__annotations__))
    get = options.get
    weights, per_round, non_finite = (
        get("weights", "num_examples"),
        get("clients_per_round"),
        get("non_finite", "refuse"),
    )
    check_option("weights", weights, ("num_examples", "uniform"))
    check_option("non_finite", non_finite, ("refuse", "exclude"))
    if per_round is not None:
        check_integer("clients_per_round", per_round, minimum=1)
    state = get("state")
    if state is not None:
        check_option("state", state, STATES)
    local = LocalOptions(
        **_step(get("learning_rate"), get("momentum", 0.0), get("optimizer")),
        **_amount(get("batch_size"), get("local_epochs"), get("local_steps")),
        state=state,
        takes_key=_takes_key(loss_fn),
    )
    return local, Aggregation(weights, None if per_round is None else int(per_round), non_finite)


def check_gradient_descent(options: LocalOptions, name: str) -> None:
    """Raise where a method that is defined for gradient descent is given another local optimizer."""
    check(options.optimizer is None, "optimizer", "an optimizer", f"learning_rate and momentum: {name} corrects these")


def _step(learning_rate: Any, momentum: Any, optimizer: Any) -> dict[str, Any]:
    check_number("momentum", momentum, minimum=0.0, below=1.0)
    if optimizer is None:
        if not callable(learning_rate):
            check_number("learning_rate", learning_rate, above=0.0)
            learning_rate = float(learning_rate)
    else:
        check_optimizer("optimizer", optimizer)
        check(learning_rate is None, "learning_rate", repr(learning_rate), "none where an optimizer is given")
        check(float(momentum) == 0, "momentum", repr(momentum), "none where an optimizer is given")
    return {"learning_rate": learning_rate, "momentum": float(momentum), "optimizer": optimizer}


def _amount(batch_size: Any, local_epochs: Any, local_steps: Any) -> dict[str, Any]:
    if batch_size is not None:
        check_integer("batch_size", batch_size, minimum=1)
        batch_size = int(batch_size)
    check(local_epochs is None or local_steps is None, "local_steps", local_steps, "None where local_epochs is given")
    if local_steps is None:
        local_epochs = 1 if local_epochs is None else local_epochs
        check_integer("local_epochs", local_epochs, minimum=1)
        local_epochs = int(local_epochs)
    elif isinstance(local_steps, int | float | str | np.generic):
        check_integer("local_steps", local_steps, minimum=1)
        local_steps = int(local_steps)
    else:
        numbers = to_host("local_steps", local_steps, shape=("K",), dtype="integer", within=f"[1, {2**31 - 1}]")
        local_steps = tuple(numbers.tolist())
    return {"batch_size": batch_size, "local_epochs": local_epochs, "local_steps": local_steps}


def _takes_key(loss_fn: Callable[..., Any]) -> bool:
    """Whether the loss has an argument named ``key``."""
    try:
        return "key" in inspect.signature(loss_fn).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def check_optimizer(argument: str, value: Any) -> None:
    """Raise unless ``value`` is an optax optimizer."""
    is_optimizer = callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))
    check(is_optimizer, argument, type(value).__name__, "an optax optimizer")


def check_number(
    argument: str, value: Any, *, minimum: float | None = None, above: float | None = None, below: float | None = None
) -> None:
    """Raise unless ``value`` is a finite number within the bounds."""
    bounds = [(">=", minimum), (">", above), ("<", below)]
    need = "a finite number" + "".join(f" {sign} {bound:g}" for sign, bound in bounds if bound is not None)
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    good = math.isfinite(number) and (minimum is None or number >= minimum)
    check(good and (above is None or number > above) and (below is None or number < below), argument, repr(value), need)


def describe(name: str, *parts: Any, **more: Any) -> str:
    """Name and options in one line, those at their defaults left out."""
    given: dict[str, Any] = {}
    for part in parts:
        given |= {key: value for key, value in part._asdict().items() if value != part._field_defaults.get(key)}
    words = (f"{key}={_word(value)}" for key, value in {**given, **more}.items() if value is not None)
    return f"{name}({', '.join(words)})"


def _word(value: Any) -> str:
    if isinstance(value, optax.GradientTransformation) or callable(value):
        return getattr(value, "__qualname__", type(value).__name__).split(".")[0]
    return repr(value)
