"""A fused kernel for Hopper GPUs: both Gram blocks stay in registers, only their product's sum is written."""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .xla import gram_hadamard_xla

_ROWS = 64  # positions of the left example in a block: those of one matrix instruction of a warp group
_STAGES = 3  # of the copies into shared memory that run ahead of the products
_SWIZZLE = 128  # bytes of a row of a block


def unsupported(a1: Array, b1: Array, *, full: bool, precision: str) -> str | None:
    """Why these arguments are not for the kernel; None if they are."""
    if full:
        return "the kernel sums over outputs"
    if a1.dtype != b1.dtype or a1.dtype not in (jnp.float32, jnp.bfloat16):
        return f"dtypes {a1.dtype} and {b1.dtype}; the kernel takes float32 or bfloat16"
    if a1.dtype == jnp.float32 and precision != "default":
        return f"precision {precision!r}; the kernel rounds float32 to TF32, which is 'default'"
    return None


def missing() -> str | None:
    """Why the kernel cannot run here; None if it can."""
    device = jax.devices()[0]
    if device.platform != "gpu" or getattr(device, "compute_capability", "") != "9.0":
        return f"device {device.device_kind}; the kernel needs a GPU of compute capability 9.0"
    try:
        _mosaic()
    except ImportError as error:
        return f"Mosaic GPU cannot be imported: {error}"
    return None


@jax.custom_vjp
def gram_hadamard_pallas(a1: Array, b1: Array, a2: Array, b2: Array) -> Array:
    """See :func:`verax.kernels.gram_hadamard.gram_hadamard`; products in TF32 or bfloat16, sums in float32."""
    columns = 64 if a2.shape[1] <= 64 else 128
    return _call(_blocked(a1, b1, _ROWS), _blocked(a2, b2, columns), columns)


def _forward(*arrays: Array) -> tuple[Array, tuple[Array, ...]]:
    return gram_hadamard_pallas(*arrays), arrays


def _backward(arrays: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
    _, pull = jax.vjp(lambda *each: gram_hadamard_xla(*each, full=False, precision="default"), *arrays)
    return pull(cotangent)


gram_hadamard_pallas.defvjp(_forward, _backward)


def _mosaic() -> ModuleType:
    # Imported when it is needed: it takes a second, and older versions of JAX want another package for it.
    from jax.experimental.pallas import mosaic_gpu

    return mosaic_gpu


def _blocked(a: Array, b: Array, size: int) -> tuple[Array, Array]:
    """Positions filled up to whole blocks and widths to whole rows of shared memory, with zeros, which add nothing."""
    step = _SWIZZLE // a.dtype.itemsize

    def filled(x: Array) -> Array:
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % size), (0, -x.shape[2] % step)))

    return filled(a), filled(b.reshape(*b.shape[:2], -1))


def _call(left: tuple[Array, Array], right: tuple[Array, Array], columns: int) -> Array:
    from jax.experimental import pallas as pl

    plgpu = _mosaic()
    dtype = left[0].dtype
    step = _SWIZZLE // dtype.itemsize
    transforms = (plgpu.TilingTransform((8, step)), plgpu.SwizzleTransform(_SWIZZLE))
    (n, rows1, _), (m, rows2, _) = left[0].shape, right[0].shape
    per_left, per_right = rows1 // _ROWS, rows2 // columns

    def gram(x: Any, y: Any, x_block: Array, y_block: Array) -> Array:
        """Products of one block of positions with another, ``[_ROWS, columns]``."""

        def scope(total: Any) -> Array:
            def multiply(_: Any, x_tile: Any, y_tile: Any) -> None:
                plgpu.wgmma(total, x_tile, y_tile.T)
                plgpu.wgmma_wait(1)  # the block before may be overwritten

            specs = [
                plgpu.BlockSpec(
                    (size, step),
                    lambda k, block=block: (block, k),
                    transforms=transforms,
                    memory_space=plgpu.SMEM,
                    delay_release=1,
                )
                for size, block in ((_ROWS, x_block), (columns, y_block))
            ]
            steps = x.shape[1] // step
            plgpu.emit_pipeline(multiply, grid=(steps,), in_specs=specs, max_concurrent_steps=min(_STAGES, steps + 1))(
                x, y
            )
            return plgpu.wgmma_accumulator_load(total)

        return pl.run_scoped(scope, plgpu.ACC((_ROWS, columns), jnp.float32))

    def body(a1: Any, b1: Any, a2: Any, b2: Any, out: Any) -> None:
        i, j = lax.axis_index("i"), lax.axis_index("j")

        def add(pair: Array, total: Array) -> Array:
            x_block, y_block = i * per_left + pair // per_right, j * per_right + pair % per_right
            product = gram(a1, a2, x_block, y_block) * gram(b1, b2, x_block, y_block)
            return total + jnp.sum(jnp.sum(product, axis=1))  # Mosaic reduces one axis at a time

        out[i, j] = lax.fori_loop(0, per_left * per_right, add, jnp.float32(0))

    run = plgpu.kernel(
        body,
        out_type=jax.ShapeDtypeStruct((n, m), jnp.float32),
        grid=(n, m),
        grid_names=("i", "j"),
    )
    return run(*(x.reshape(-1, x.shape[2]) for x in (*left, *right)))
