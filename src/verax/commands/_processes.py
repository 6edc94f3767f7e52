"""Several processes on one command, by JAX's own runtime."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from verax._errors import check

_Item = TypeVar("_Item")


class Place(NamedTuple):
    """Which process this is, and of how many."""

    number: int
    num_processes: int

    def share(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the items that this process works on: every n-th, so that all are taken once."""
        return list(items[self.number :: self.num_processes])

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.num_processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("verax")


@contextlib.contextmanager
def joined(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Iterator[Place]:
    """Join the other processes while the block runs; alone where nothing is given.

    ``coordinator`` is the address ``host:port`` of process 0, with both numbers; or ``"auto"``, without them, to take
    all three from Slurm, Kubernetes, Open MPI or a cloud's own variables, as ``jax.distributed.initialize`` does.
    """
    numbers = {"num_processes": num_processes, "process_id": process_id}
    given = [name for name, value in numbers.items() if value is not None]
    if coordinator is None:
        check(not given, "coordinator", f"none, with {' and '.join(given)}", "the address of process 0")
        yield Place(0, 1)
        return
    import jax

    if coordinator == "auto":
        check(not given, "coordinator", f"'auto', with {' and '.join(given)}", "'auto' alone")
        jax.distributed.initialize()
    else:
        check(len(given) == 2, "coordinator", f"{coordinator!r} without both numbers", "num_processes and process_id")
        assert num_processes is not None
        assert process_id is not None
        check(num_processes >= 1, "num_processes", num_processes, "an integer >= 1")
        check(0 <= process_id < num_processes, "process_id", process_id, f"an integer from 0 to {num_processes - 1}")
        jax.distributed.initialize(coordinator, num_processes, process_id, cluster_detection_method="deactivate")
    try:
        yield Place(jax.process_index(), jax.process_count())
    finally:
        jax.distributed.shutdown()
