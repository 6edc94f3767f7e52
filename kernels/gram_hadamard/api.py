"""Public entry: validation and choice of implementation."""

import jax
from jax import Array

from .pallas_mgpu import gram_hadamard_pallas, missing, unsupported
from .tuning import Shape, pays
from .xla import gram_hadamard_xla

IMPLEMENTATIONS = ("auto", "xla", "pallas")


def gram_hadamard(
    a1: Array,
    b1: Array,
    a2: Array,
    b2: Array,
    *,
    full: bool = False,
    precision: str = "highest",
    implementation: str = "auto",
) -> Array:
    r"""Kernel tile of a layer whose per-example gradient is a sum of outer products.

    .. math:: K_{ij} = \sum_{s,t} (a_{is} \cdot a'_{jt}) \sum_o (b_{iso} \cdot b'_{jto})

    which is ``<G_i, G'_j>`` for ``G_i = sum_s a_is b_is^T``, without forming any ``G``.

    Parameters
    ----------
    a1, a2 : array, shape [n, S, a] and [m, S, a], or integer [n, S] and [m, S]
        Layer inputs at S positions. Integers stand for rows of an identity matrix (a table lookup), negative ones for
        zero.
    b1, b2 : array, shape [n, S, O, b] and [m, S, O, b]
        Derivatives of the O outputs with respect to the layer's results.
    full : bool
        Keep both output axes: ``[n, m, O, O]`` instead of the sum over equal outputs.
    precision
        Precision of the matrix products: "highest", "high" or "default".
    implementation
        "xla", on every device and in every precision; "pallas", one fused kernel for GPUs of compute capability 9.0, in
        bfloat16 or, with the precision "default", TF32; "auto", the kernel where `tuning.json` holds a measurement on
        this GPU, for these widths, that shows it at least 1.3 times faster. **No such measurement has been made yet**,
        nor has the kernel run on a GPU: it is tested in Pallas's interpreter, and that it compiles for CUDA.

    Returns
    -------
    array, shape [n, m] (or [n, m, O, O])

    Raises
    ------
    ValueError
        For shapes that do not fit, and for "pallas" where it cannot run.

    Notes
    -----
    ``2 n m S^2 (a + O b)`` operations (``O^2`` for full). XLA forms the Grams ``[n S, m S]`` by rows of at most 32 MiB;
    the kernel keeps blocks of them in registers and fills up S to whole blocks of 64.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.kernels.gram_hadamard import gram_hadamard
    >>> a, b = jnp.ones((2, 1, 3)), 2 * jnp.ones((2, 1, 1, 4))
    >>> float(gram_hadamard(a, b, a, b)[0, 1])
    48.0
    """
    for name, x, ndim in (("b1", b1, 4), ("b2", b2, 4)):
        if x.ndim != ndim:
            raise ValueError(f"{name}: got shape {x.shape}; need [n, S, O, b]")
    if a1.ndim != a2.ndim or a1.ndim not in (2, 3):
        raise ValueError(f"a1, a2: got shapes {a1.shape} and {a2.shape}; need both [n, S, a] or both integer [n, S]")
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation: got {implementation!r}; need one of {', '.join(map(repr, IMPLEMENTATIONS))}")
    if implementation != "xla":
        named = implementation == "pallas"
        why_not = unsupported(a1, b1, full=full, precision=precision)
        if why_not is None and (named or _pays(a1, b1)):
            why_not = missing()
            if why_not is None:
                return gram_hadamard_pallas(a1, b1, a2, b2)
        if named:
            raise ValueError(f"implementation: got 'pallas' for {why_not}; need 'xla' or 'auto'")
    return gram_hadamard_xla(a1, b1, a2, b2, full=full, precision=precision)


def _pays(a: Array, b: Array) -> bool:
    device = jax.devices()[0].device_kind
    return pays(Shape(device, a.dtype.name, a.shape[1], a.shape[2], b.shape[2] * b.shape[3]))
