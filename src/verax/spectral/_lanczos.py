"""Spectral quadrature by block Lanczos: for kernels too large to decompose, or known by their products only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._errors import check, check_integer, fail

from ._checks import is_operator, symmetry_tolerance
from ._spectrum import Spectrum, centered_targets, check_semidefinite


def lanczos_spectrum(
    kernel: Any,
    targets: Any,
    *,
    center: bool,
    num_steps: int | None,
    num_probes: int | None,
    key: jax.Array | None,
    keep_eigenvectors: bool,
) -> Spectrum:
    r"""Ritz values with the targets' energy and the probes' weight on each.

    One block recurrence with full reorthogonalisation starts from the centred targets and Rademacher probes together.
    Its Ritz values are the nodes of a Gauss quadrature, ``sum_i g(l_i) a_i^2`` being exact to twice the number of
    steps, and each probe's weights estimate the multiplicities, ``tr g(K/n)``.
    """
    num_steps = 100 if num_steps is None else num_steps
    num_probes = 10 if num_probes is None else num_probes
    check_integer("num_steps", num_steps, minimum=4)
    check_integer("num_probes", num_probes, minimum=2)
    if key is None or not _is_key(key):
        fail("key", type(key).__name__, "a jax.random.key for the probes of method='lanczos'")
    y = centered_targets(targets, center=center)
    num_samples = len(y)
    probes = np.asarray(jax.random.rademacher(key, (num_samples, num_probes), np.int8), np.float64)
    probes = probes - probes.mean(0) if center else probes
    product, dtype, rms = _product(kernel, num_samples, center=center)
    # Columns of unit length, so that the rank test of the start block treats targets and probes alike.
    start = np.concatenate([y, probes], axis=1)
    lengths = np.maximum(np.linalg.norm(start, axis=0), np.finfo(np.float64).tiny)
    krylov, tridiagonal, sizes, start_rows = _block_lanczos(product, start / lengths, num_steps, dtype)
    start_rows = start_rows * lengths
    eps = float(jnp.finfo(dtype).eps)
    spectra = []
    for count in (max(1, round(0.75 * len(sizes))), len(sizes)):
        used = sum(sizes[:count])
        values, rotation = np.linalg.eigh(tridiagonal[:used, :used])
        components = start_rows.T @ rotation[: sizes[0]]
        basis = None
        if keep_eigenvectors and count == len(sizes):
            basis = np.asarray(krylov, np.float64) @ rotation
        spectra.append(
            _quadrature(values, components, basis, y, center=center, eps=eps, rounding=8 * eps * rms / num_samples**0.5)
        )
    shorter, full = spectra
    nodes, energy = _radau(tridiagonal, sizes, start_rows[:, : y.shape[1]], -full.precision_floor)
    return full._replace(truncation=shorter if len(sizes) > 1 else None, radau_nodes=nodes, radau_energy=energy)


def _radau(tridiagonal: np.ndarray, sizes: list[int], start_rows: np.ndarray, node: float) -> tuple[Any, Any]:
    """Nodes and energies of the rule whose last block is changed so that ``node`` is among the nodes."""
    changed, last = tridiagonal.copy(), sum(sizes[:-1])
    coupling = tridiagonal[last:, :last]
    changed[last:, last:] = node * np.eye(sizes[-1])
    if last:
        inner = tridiagonal[:last, :last] - node * np.eye(last)
        changed[last:, last:] += coupling @ np.linalg.solve(inner, coupling.T)
    nodes, rotation = np.linalg.eigh((changed + changed.T) / 2)
    return nodes, ((start_rows.T @ rotation[: sizes[0]]) ** 2).sum(0)


def _is_key(key: Any) -> bool:
    return isinstance(key, jax.Array) and bool(jnp.issubdtype(key.dtype, jax.dtypes.prng_key))


def _product(kernel: Any, num_samples: int, *, center: bool) -> tuple[Callable[[Any], Any], Any, float]:
    """``v -> C (K/n) C v`` where the kernel lives, its dtype, and the root mean square of the entries it rounds."""
    if is_operator(kernel):
        operator: Callable[[Any], Any] = kernel
        dtype: Any = jnp.zeros(0).dtype  # JAX's default floating dtype
        # A constant part of the kernel is rounded in every product, though centred vectors do not see it.
        along_ones = operator(jnp.ones((num_samples, 1), dtype))
        check(
            getattr(along_ones, "shape", None) == (num_samples, 1),
            "kernel",
            f"a function that maps shape {(num_samples, 1)} to {getattr(along_ones, 'shape', None)}",
            "v -> K v for v of shape [n, k]",
        )
        rms = float(jnp.linalg.norm(along_ones)) / num_samples**1.5
        return _with_centring(lambda v: operator(jnp.asarray(v).astype(dtype)), num_samples, center), dtype, rms
    dtype = kernel.dtype
    if isinstance(kernel, np.ndarray):
        host = _centred_copy(kernel) if center else kernel
        rms = float(np.sqrt(np.mean(host.astype(np.float64) ** 2)))
        return _with_centring(lambda v: np.asarray(host @ v.astype(dtype), np.float64), num_samples, center), dtype, rms
    # Subtracting the means from the entries, not from the products, is what saves single precision.
    row = jnp.mean(kernel, axis=0)
    device = kernel - row - row[:, None] + jnp.mean(row) if center else kernel
    rms = float(jnp.sqrt(jnp.mean(device**2)))

    def multiply(v: Any) -> jax.Array:
        return jnp.matmul(device, jnp.asarray(v).astype(dtype), precision="highest")

    return _with_centring(multiply, num_samples, center), dtype, rms


def _with_centring(multiply: Callable[[Any], Any], num_samples: int, center: bool) -> Callable[[Any], Any]:
    def product(v: Any) -> Any:
        out = multiply(v - v.mean(0) if center else v) / num_samples
        return out - out.mean(0) if center else out

    return product


def _centred_copy(kernel: np.ndarray) -> np.ndarray:
    """``C K C`` in the kernel's dtype, computed in float64 a few rows at a time."""
    row = kernel.mean(0, dtype=np.float64)
    out = np.empty_like(kernel)
    step = max(1, 2**22 // len(kernel))
    for start in range(0, len(kernel), step):
        part = slice(start, start + step)
        out[part] = kernel[part] - row - row[part, None] + row.mean()
    return out


def _block_lanczos(
    product: Callable[[Any], Any], start: np.ndarray, num_steps: int, dtype: Any
) -> tuple[Any, np.ndarray, list[int], np.ndarray]:
    """Orthonormal Krylov basis, the projected matrix, the sizes of its blocks, and ``Q_1^T start``."""
    eps = float(jnp.finfo(dtype).eps)
    first, start_rows = _orthonormal(start, tolerance=100 * eps)
    probe = product(first)
    first = first if isinstance(probe, np.ndarray) else jnp.asarray(first).astype(dtype)
    basis, block, sizes = first, first, [first.shape[1]]
    diagonal, below = [], []
    image, scale = probe, 0.0
    for step in range(num_steps):
        inner = np.asarray(_exact_product(block.T, image), np.float64)
        scale = max(scale, float(np.max(np.abs(inner))))
        asymmetry = float(np.max(np.abs(inner - inner.T)))
        check(
            np.isfinite(scale) and asymmetry <= symmetry_tolerance(dtype) * scale,
            "kernel",
            f"products v^T K w that depend on their order by {asymmetry:.2g} of {scale:.2g}",
            "a symmetric kernel, finite",
        )
        diagonal.append((inner + inner.T) / 2)
        if step == num_steps - 1 or sum(sizes) >= len(start):
            break
        image = _reorthogonalise(_reorthogonalise(image, basis), basis)
        following, rows = _orthonormal(image, tolerance=30 * eps * scale)
        if following.shape[1] == 0:
            break  # an invariant subspace: the quadrature is exact
        # Dividing by a small remainder magnified what rounding had left along earlier blocks.
        block = _keep_orthonormal(_reorthogonalise(following, basis))
        below.append(rows)
        sizes.append(block.shape[1])
        basis = (np if isinstance(basis, np.ndarray) else jnp).concatenate([basis, block], axis=1)
        image = product(block)
    tridiagonal = np.zeros((sum(sizes), sum(sizes)))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    for i, entry in enumerate(diagonal):
        here = slice(offsets[i], offsets[i + 1])
        tridiagonal[here, here] = entry
        if i < len(below):
            there = slice(offsets[i + 1], offsets[i + 2])
            tridiagonal[there, here] = below[i]
            tridiagonal[here, there] = below[i].T
    return basis, tridiagonal, sizes, start_rows


def _orthonormal(block: Any, *, tolerance: float) -> tuple[Any, np.ndarray]:
    """``block = q @ rows`` with orthonormal columns for the directions longer than the tolerance."""
    q, r = (np if isinstance(block, np.ndarray) else jnp).linalg.qr(block)
    left, lengths, right = np.linalg.svd(np.asarray(r, np.float64))
    kept = lengths > tolerance
    rotation = left[:, : len(lengths)][:, kept]
    rows = lengths[kept, None] * right[: len(lengths)][kept]
    rotation = rotation if isinstance(q, np.ndarray) else jnp.asarray(rotation).astype(q.dtype)
    return _exact_product(q, rotation), rows


def _keep_orthonormal(block: Any) -> Any:
    """Orthonormalise a nearly orthonormal block without turning it: signs as they were."""
    xp = np if isinstance(block, np.ndarray) else jnp
    q, r = xp.linalg.qr(block)
    return q * xp.sign(xp.diagonal(r))


def _reorthogonalise(block: Any, basis: Any) -> Any:
    return block - _exact_product(basis, _exact_product(basis.T, block))


def _exact_product(a: Any, b: Any) -> Any:
    """``a @ b`` on the host or, at the full precision of the dtype, on the device."""
    if isinstance(a, np.ndarray):
        return a @ b
    return jnp.matmul(a, b, precision="highest")


def _quadrature(
    values: np.ndarray,
    components: np.ndarray,
    basis: np.ndarray | None,
    y: np.ndarray,
    *,
    center: bool,
    eps: float,
    rounding: float,
) -> Spectrum:
    """Nodes and weights as a `Spectrum`; components are those of targets, then probes, along the Ritz vectors."""
    num_samples, num_targets = y.shape
    order = np.argsort(values)[::-1]
    values, components = values[order], components[:, order]
    largest, smallest = float(values[0]), float(values[-1])
    check(largest > 0, "kernel", "a matrix that vanishes" + " after centring" * center, "a positive eigenvalue")
    floor = max(2 * eps * largest, rounding)
    check_semidefinite("kernel", smallest, largest, floor)
    floor = max(floor, -2 * smallest)
    rank = int(np.sum(values > floor))
    coefficients, weights = components[:num_targets].T, components[num_targets:] ** 2
    # The number of directions is known, so each probe's weights are scaled to it: less noise, at a bias of order 1/n.
    weights = weights * ((num_samples - center) / weights.sum(1, keepdims=True))
    null_weights = weights[:, rank:].sum(1)
    singular = float(null_weights.mean()) > 0.05  # less than one direction is rounding, not a null space
    null_energy = float(np.sum(coefficients[rank:] ** 2)) if singular else 0.0
    vectors = null_residual = None
    if basis is not None:
        basis = basis[:, order]
        vectors, null_residual = basis[:, :rank], basis[:, rank:] @ coefficients[rank:]
    return Spectrum(
        eigenvalues=values[:rank],
        target_energy=np.sum(coefficients[:rank] ** 2, axis=1),
        num_samples=num_samples,
        num_targets=num_targets,
        centered=center,
        rank=rank,
        null_count=float(null_weights.mean()) if singular else 0.0,
        null_energy=null_energy,
        precision_floor=floor,
        eigenvectors=vectors,
        coefficients=None if vectors is None else coefficients[:rank],
        null_residual=null_residual,
        multiplicity=weights[:, :rank],
        null_multiplicity=null_weights if singular else np.zeros_like(null_weights),
    )
