"""Reading arrays that carry PyTorch's names and layouts."""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_host
from verax._errors import check, fail

from ._layers import Statistics

_UNNEEDED = re.compile(r"(.*\.)?num_batches_tracked$")


class StateDict:
    """A mapping from names to arrays that says which name is missing, mis-shaped or left over."""

    def __init__(self, arrays: Mapping, *, ignore: tuple[str, ...] = ()):
        check(isinstance(arrays, Mapping), "arrays", type(arrays).__name__, "a mapping from names to arrays")
        self._arrays = arrays
        self._unread = {name for name in arrays if name not in ignore and not _UNNEEDED.match(name)}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take(self, name: str, *shape: int | None) -> np.ndarray:
        """Return the array of that name as float64, after checking its shape (None: any size)."""
        if name not in self._arrays:
            fail("arrays", f"no {name!r} among {len(self._arrays)} names", f"an array {name!r}")
        self._unread.discard(name)
        array = to_host(f"arrays[{name!r}]", self._arrays[name], dtype="any", finite=False, empty=True)
        described = f"{name!r} of shape {array.shape}, dtype {array.dtype}"
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        needed = ", ".join("any" if size is None else str(size) for size in shape)
        check(fits, "arrays", described, f"shape ({needed})")
        check(jnp.issubdtype(array.dtype, jnp.floating), "arrays", described, "a floating-point dtype")
        array = array.astype(np.float64)
        check(bool(np.isfinite(array).all()), "arrays", f"non-finite entries in {name!r}", "finite values")
        return array

    def convolution(self, name: str, out_channels: int | None, in_channels: int, size: int) -> dict[str, jax.Array]:
        """Kernel of a convolution without bias: PyTorch's OIHW becomes HWIO."""
        weight = self.take(f"{name}.weight", out_channels, in_channels, size, size)
        return {"kernel": jnp.asarray(weight.transpose(2, 3, 1, 0), jnp.float32)}

    def batch_norm(self, name: str, channels: int) -> tuple[dict[str, jax.Array], Statistics]:
        """Trainable scale and bias, and the running statistics."""
        weight, bias, mean, variance = (
            self.take(f"{name}.{field}", channels) for field in ("weight", "bias", "running_mean", "running_var")
        )
        check(bool((variance >= 0).all()), "arrays", f"a negative entry in '{name}.running_var'", "variances >= 0")
        affine = {"scale": jnp.asarray(weight, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        return affine, Statistics(mean, variance)

    def dense(self, name: str, width: int) -> dict[str, jax.Array]:
        """Kernel [in, out] and bias of a dense layer."""
        weight = self.take(f"{name}.weight", None, width)
        bias = self.take(f"{name}.bias", weight.shape[0])
        return {"kernel": jnp.asarray(weight.T, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}

    def count_blocks(self, layer: str) -> int:
        """How many consecutive residual blocks ``layer.0``, ``layer.1``, ... there are."""
        count = 0
        while f"{layer}.{count}.conv1.weight" in self:
            count += 1
        if count == 0:
            fail("arrays", f"no '{layer}.0.conv1.weight' among {len(self._arrays)} names", f"the blocks of {layer}")
        return count

    def finish(self) -> None:
        """Raise if an array was given that the network does not use: it would be another network."""
        if self._unread:
            names = sorted(self._unread)
            shown = ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
            fail("arrays", f"{len(names)} unknown names: {shown}", "only the arrays of this architecture")
