"""The plan of a kernel computation, laid out as a table."""

import dataclasses

from verax._results import result

from ._methods import LeafPlan


@result()
@dataclasses.dataclass(frozen=True)
class NTKPlan:
    """Plan of a kernel computation; ``str(plan)`` is a table.

    Attributes
    ----------
    method : str
        "jacobian", "structured" or "vector_products".
    leaves : tuple of LeafPlan
        Path, route ("hadamard", "contraction" or "fallback"), reason, operations and bytes of each selected leaf.
    block_size : int
        Examples per block.
    resident : int
        Blocks whose factors are held in memory at once.
    formed : int
        Blocks of factors that will be formed (the number of blocks when all fit in memory).
    flops, bytes : float, int
        Operations for the whole kernel, and the estimated peak memory.
    """

    method: str
    leaves: tuple[LeafPlan, ...]
    block_size: int
    resident: int
    formed: int
    flops: float
    bytes: int

    def __str__(self) -> str:
        """Lay the plan out as a table."""
        width = max(4, *(len(leaf.path) for leaf in self.leaves))
        lines = [f"{'leaf':<{width}}  {'route':<11}  {'Gflop':>10}  {'bytes/example':>13}  reason"]
        lines += [
            f"{leaf.path:<{width}}  {leaf.route:<11}  {leaf.flops / 1e9:>10.3f}  {leaf.bytes:>13,}  {leaf.reason}"
            for leaf in self.leaves
        ]
        lines.append(
            f"{self.method}: blocks of {self.block_size}, {self.resident} held, {self.formed} formed; "
            f"{self.flops / 1e9:.3f} Gflop, {self.bytes / 2**20:.1f} MiB"
        )
        return "\n".join(lines)
