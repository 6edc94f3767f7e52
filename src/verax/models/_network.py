"""A reference network: a pure function of ``(params, x)`` whose last layer can be taken off."""

import dataclasses
from collections.abc import Callable

import jax

from verax._errors import check
from verax._results import result
from verax._types import PyTree

from ._layers import dense


@result()
@dataclasses.dataclass(frozen=True)
class Network:
    """A network in evaluation mode, called as ``network(params, x) -> [n, num_outputs]``.

    The logits are ``features(params, x) @ params["head"]["kernel"] + params["head"]["bias"]``. A new head is a new
    entry ``params["head"]``; :func:`features_of` leaves it out.

    Attributes
    ----------
    features : callable
        ``features(params, x) -> [n, width]``, the input of the last layer; it does not read ``params["head"]``.
    width : int
        Number of features.
    num_outputs : int
        Number of logits of the head that came with the network.
    """

    features: Callable[[PyTree, PyTree], jax.Array]
    width: int
    num_outputs: int

    def __call__(self, params: PyTree, x: PyTree) -> jax.Array:
        return dense(params["head"], self.features(params, x))


def features_of(network: Network, params: PyTree) -> tuple[Callable[[PyTree, PyTree], jax.Array], PyTree, int]:
    """Penultimate features of a network, for a fresh head: ``(features_fn, body_params, width)``.

    Parameters
    ----------
    network : Network
        The first value that a constructor of this module returned.
    params : dict
        Its parameters, trained or not.

    Returns
    -------
    features_fn : callable
        ``features_fn(body_params, x) -> [n, width]``. It takes the full ``params`` as well, since it ignores the head.
    body_params : dict
        ``params`` without the head, so that no parameter of a kernel or a federated model is dead.
    width : int
        Number of features.

    Raises
    ------
    ValueError
        If ``network`` is not one of this module's networks or ``params`` has no head.

    Examples
    --------
    >>> import jax
    >>> from verax.models import features_of, small_cnn
    >>> network, params = small_cnn(10, key=jax.random.key(0))
    >>> features_fn, body, width = features_of(network, params)
    >>> features_fn(body, jax.numpy.zeros((2, 28, 28, 1))).shape, width, "head" in body
    ((2, 64), 64, False)
    """
    check(isinstance(network, Network), "network", type(network).__name__, "a network made by verax.models")
    check(isinstance(params, dict) and "head" in params, "params", "no entry 'head'", "the parameters of this network")
    return network.features, {name: value for name, value in params.items() if name != "head"}, network.width
