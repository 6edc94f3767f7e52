"""Generalized cross-validation for the average of fits to subsets."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._arrays import to_array, to_host
from verax._errors import check, is_traced
from verax._types import AnyArray

from ._checks import check_center, check_kernel, check_ridge, check_targets
from ._gcv import gcv
from ._ridge_regression import kernel_ridge_fit
from ._solve import align, check_solved, keep_double, resolve


@keep_double("kernel", "targets", "ridge")
def ensemble_gcv(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n *C"],
    ridge: int | float | Float[AnyArray, ""],
    subsets: Int[AnyArray, "M k"] | Sequence[Int[AnyArray, "_"]],
    *,
    center: bool = True,
) -> Float[AnyArray, ""]:
    r"""Corrected generalized cross-validation of an ensemble: the mean of ridge regressions on subsets of the sample.

    .. math::
        \hat R = \frac{\lVert y - \bar f \rVert^2 / n}{(1 - d)^2}
                 - \frac{d^2}{(1 - d)^2} \frac1{M^2} \sum_m \Bigl(\frac{n}{k_m} - 1\Bigr) \mathrm{GCV}_m,
        \qquad d = \frac1M \sum_m \frac{\mathrm{df}_m}{n}

    Plain GCV of the averaged predictor, the first term, is inconsistent: no member has seen all samples. The features
    must be independent of these labels.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix of the whole sample, not divided by ``n``.
    targets : [n] or [n, C]
        Real targets.
    ridge
        Normalised by each subset's own size: member m solves ``(K_m + k_m ridge I) a = y_m``.
    subsets
        ``[M, k]`` indices, or a sequence of index arrays of any sizes; each without repeats.
    center
        Fit an unpenalised intercept in each member.

    Returns
    -------
    scalar
        Estimated risk of the mean predictor on a fresh sample, label noise included, summed over targets.
        Differentiable in kernel, targets and ridge. Float64 for a float64 NumPy kernel, even with x64 off.

    Raises
    ------
    ValueError
        For bad input, indices out of range or repeated, and where a member's kernel plus ridge is not positive
        definite; under ``jit`` the result is then NaN.

    Notes
    -----
    ``3 sum_m k_m^3`` flops. Every sample should be in some subset: the first term averages over all ``n``.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> features = np.random.default_rng(0).normal(size=(40, 100))
    >>> kernel, targets = features @ features.T, features[:, 0]
    >>> everything = np.arange(40)[None]  # one member on all samples is ordinary GCV
    >>> bool(np.isclose(vs.ensemble_gcv(kernel, targets, 0.5, everything), vs.gcv(kernel, targets, 0.5)))
    True

    References
    ----------
    Bellec, Du, Koriyama, Patil, Tan, "Corrected generalized cross-validation for finite ensembles of penalized
    estimators" (2023). The formula is checked against simulations here, not against the paper's text.
    """
    num_samples = check_kernel(kernel)
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    check_ridge(ridge)
    members = check_subsets(subsets, num_samples, smallest=2 if center else 1)
    k, y, lam = align(kernel, targets, ridge)
    y = y[:, None] if y.ndim == 1 else y
    predictions, dimension, variance = jnp.zeros_like(y), jnp.zeros((), k.dtype), jnp.zeros((), k.dtype)
    for member in members:
        size = member.shape[0]
        own_kernel, own_targets = k[member][:, member], y[member]
        model = kernel_ridge_fit(own_kernel, own_targets, lam, center=center)
        predictions += model.predict(k[:, member]) / len(members)
        untouched = lam * jnp.trace(resolve(own_kernel, own_targets, lam, bool(center)).inverse)
        dimension += (size - untouched) / (num_samples * len(members))
        if size < num_samples:
            variance += (num_samples / size - 1) * gcv(own_kernel, own_targets, lam, center=center) / len(members) ** 2
    if len(members) == 1 and members[0].shape[0] == num_samples:
        return gcv(k, y, lam, center=center)  # the same number, and finite at ridge 0
    risk = (jnp.sum((y - predictions) ** 2) / num_samples - dimension**2 * variance) / (1 - dimension) ** 2
    check_solved(risk, "the precision of the kernel")
    return risk


def check_subsets(subsets: Any, num_samples: int, *, smallest: int) -> list[jax.Array]:
    """Return index arrays once known to be integers in range without repeats."""
    if not (isinstance(subsets, list | tuple) or is_traced(subsets)):
        subsets = to_host("subsets", subsets, shape=("M", "k"), dtype="integer")
    check(len(subsets) > 0, "subsets", "no subsets", "at least one")
    members = []
    for subset in subsets:
        if is_traced(subset):
            members.append(to_array("subsets", subset, shape=("k",), dtype="integer"))
            continue
        values = to_host("subsets", subset, shape=("k",), dtype="integer")
        need = f"indices from 0 to {num_samples - 1}, at least {smallest} in each subset, without repeats"
        check(len(values) >= smallest, "subsets", f"a subset of {len(values)}", need)
        low, high = int(values.min()), int(values.max())
        check(low >= 0 and high < num_samples, "subsets", f"indices from {low} to {high}", need)
        check(len(np.unique(values)) == len(values), "subsets", "a subset with repeated indices", need)
        members.append(jnp.asarray(values.astype(np.int32)))
    return members
