"""Temperature scaling."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from verax._errors import check, fail, is_traced
from verax._types import AnyArray

from ._checks import check_labels, check_logits

# The logarithm of the inverse temperature is sought in [-_RANGE, _RANGE]; 60 halvings exhaust double precision.
_RANGE, _HALVINGS = 12.0, 60


def fit_temperature(val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"]) -> Float[AnyArray, ""]:
    r"""Temperature that makes a model's confidence right on a labelled holdout.

    .. math:: \arg\min_T\; -\frac1n\sum_i \log\operatorname{softmax}(z_i / T)_{y_i}

    Parameters
    ----------
    val_logits : [n, K]
        Logits of the holdout.
    val_labels : [n]
        Its labels.

    Returns
    -------
    scalar
        T; divide holdout and target logits by it before calling a score.

    Raises
    ------
    ValueError
        For bad shapes and values, and where no temperature in [e^-12, e^12] is best: every label has the largest logit,
        or labels carry no information. Under ``jit`` the result is then at that end.

    Notes
    -----
    The loss is convex in 1/T; its derivative is bisected. O(60 n K).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import fit_temperature
    >>> logits = np.log(np.array([[0.75, 0.25]] * 4)) * 3  # three times too sure
    >>> round(float(fit_temperature(logits, np.array([0, 0, 0, 1]))), 3)
    3.0

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
    """
    logits = check_logits("val_logits", val_logits)
    labels = check_labels("val_labels", val_labels, *logits.shape)
    if not is_traced((logits, labels)):
        never = (
            np.asarray(jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]) <= np.asarray(logits).max(1) - 999
        )
        need = "probabilities above zero for the true labels: from_probabilities(..., floor=1e-6)"
        check(not never.any(), "val_logits", f"a probability of zero for {int(never.sum())} true labels", need)
    temperature = _bisected(logits, labels)
    if not is_traced(temperature) and not abs(float(jnp.log(temperature))) < _RANGE - 0.01:
        fail("val_logits", f"a best temperature beyond e^±{_RANGE:g}", "a holdout with errors, and better than chance")
    return temperature


@jax.jit
def _bisected(logits: jax.Array, labels: jax.Array) -> jax.Array:
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    def slope(log_beta: jax.Array) -> jax.Array:
        expected = (jax.nn.softmax(jnp.exp(log_beta) * logits) * logits).sum(1)
        return (expected - picked).mean()

    def halve(_: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        rising = slope(middle) > 0
        return jnp.where(rising, low, middle), jnp.where(rising, middle, high)

    ends = jnp.asarray(-_RANGE, logits.dtype), jnp.asarray(_RANGE, logits.dtype)
    low, high = lax.fori_loop(0, _HALVINGS, halve, ends)
    return jnp.exp(-(low + high) / 2)
