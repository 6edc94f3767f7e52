"""The fused kernel against XLA, in Pallas's interpreter, and its compilation for GPUs that are not here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.kernels.gram_hadamard import gram_hadamard, tuning
from verax.kernels.gram_hadamard.pallas_mgpu import gram_hadamard_pallas
from verax.kernels.gram_hadamard.xla import gram_hadamard_xla

pytestmark = pytest.mark.double

mosaic = pytest.importorskip("jax.experimental.pallas.mosaic_gpu", exc_type=ImportError)
NEW = pytest.mark.skipif(not hasattr(mosaic, "force_gpu_interpret_mode"), reason="needs JAX 0.12")
SHAPES = {  # n, m, positions, width a, outputs, width b: less than a block, and more than one
    "small": (2, 3, 5, 7, 2, 9),
    "blocks": (1, 2, 70, 40, 1, 70),
}


def arrays(n, m, positions, a, outputs, b, dtype):
    rng = np.random.default_rng(0)
    shapes = ((n, positions, a), (n, positions, outputs, b), (m, positions, a), (m, positions, outputs, b))
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def reference(*arrays):
    single = (x.astype(jnp.float32) for x in arrays)
    return gram_hadamard_xla(*single, full=False, precision="highest")


@NEW
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_equals_xla(shape, dtype):
    given = arrays(*SHAPES[shape], dtype)
    with mosaic.force_gpu_interpret_mode():
        found = gram_hadamard_pallas(*given)
    expected = reference(*given)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=2e-6 * float(jnp.abs(expected).max()))


@NEW
def test_derivatives_are_those_of_xla():
    given = arrays(*SHAPES["small"], jnp.float32)

    def total(fn):
        return lambda *arrays: jnp.sum(jnp.sin(fn(*arrays)))

    with mosaic.force_gpu_interpret_mode():
        found = jax.grad(total(gram_hadamard_pallas), argnums=(0, 1, 2, 3))(*given)
    for one, other in zip(found, jax.grad(total(reference), argnums=(0, 1, 2, 3))(*given), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * float(jnp.abs(other).max()))


@NEW
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("positions", [16, 64, 256])
def test_it_compiles_for_gpus(dtype, positions):
    unchecked = [jax.export.DisabledSafetyCheck.custom_call("mosaic_gpu_v2")]
    export = jax.export.export(jax.jit(gram_hadamard_pallas), platforms=["cuda"], disabled_checks=unchecked)
    assert "mosaic_gpu_v2" in export(*arrays(4, 4, positions, 64, 10, 64, dtype)).mlir_module()


def test_nothing_is_taken_unmeasured():
    shape = tuning.Shape("a GPU that nobody has", "float32", 64, 64, 64)
    assert not tuning.pays(shape)
    assert all(speedup > 0 for speedup in tuning.measured().values())
    given = arrays(*SHAPES["small"], jnp.float32)
    np.testing.assert_array_equal(
        gram_hadamard(*given, precision="default"), gram_hadamard(*given, implementation="xla")
    )


@pytest.mark.bad_input
def test_the_kernel_by_name_says_why_not():
    given = arrays(*SHAPES["small"], jnp.float32)
    with pytest.raises(ValueError, match="implementation: got 'triton'"):
        gram_hadamard(*given, implementation="triton")
    with pytest.raises(ValueError, match="precision 'highest'"):
        gram_hadamard(*given, implementation="pallas")
    with pytest.raises(ValueError, match="needs a GPU of compute capability 9"):
        gram_hadamard(*given, implementation="pallas", precision="default")
    with pytest.raises(ValueError, match="sums over outputs"):
        gram_hadamard(*given, implementation="pallas", full=True)
