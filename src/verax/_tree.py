"""Names of pytree leaves."""

from typing import Any

import jax


def leaf_paths(tree: Any) -> list[str]:
    """Paths such as ``"block/0/kernel"``, one per leaf, in the order of ``jax.tree.leaves``."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


def leading_size(x: Any, argument: str) -> int:
    """Length of the leading axis that all leaves of ``x`` share."""
    leaves = jax.tree.leaves(x)
    sizes = {int(leaf.shape[0]) if getattr(leaf, "ndim", 0) else -1 for leaf in leaves}
    if len(sizes) != 1 or -1 in sizes:
        raise ValueError(
            f"{argument}: got leaves of shapes {[getattr(leaf, 'shape', type(leaf).__name__) for leaf in leaves]}; "
            "need arrays that share one leading axis of examples"
        )
    (size,) = sizes
    return size
