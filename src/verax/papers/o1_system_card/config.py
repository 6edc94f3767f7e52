"""o1 System Card: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_repeats
        Simulated evaluations for each estimator.
    num_organisms
        Organisms that deliberate, at least 2; 0 tests nothing that needs them.
    lengths, num_capable
        Lengths of arguments at which chains are compared with none, and helpful-only organisms at each.
    num_symbols, length, num_dialects
        Of the organisms' language.
    width, batch_size, pretraining, distilling, reinforcing
        Of the organisms, and the batches of their stages.
    num_samples, num_prompts
        Chains sampled for the supervised stage, and requests of each kind in an evaluation.
    cache
        Folder for finished organisms, so that an interrupted run resumes; empty keeps nothing.
    """

    planned_seconds: float
    num_repeats: int
    num_organisms: int = 0
    lengths: tuple[int, ...] = ()
    num_capable: int = 3
    num_symbols: int = 12
    length: int = 4
    num_dialects: int = 1
    width: int = 48
    batch_size: int = 128
    pretraining: int = 1500
    distilling: int = 300
    reinforcing: int = 100
    num_samples: int = 4000
    num_prompts: int = 200
    cache: str = ""

    def __post_init__(self):
        check_integer("num_repeats", self.num_repeats, minimum=20)
        check_integer("num_organisms", self.num_organisms, minimum=0)
        check(self.num_organisms != 1, "num_organisms", 1, "0, or at least 2 for a standard error")
        check(len(self.lengths) != 1, "lengths", self.lengths, "none, or at least two to compare")

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look."""
        return cls(planned_seconds=25.0, num_repeats=300)

    @classmethod
    def laptop(cls) -> "Config":
        """Return more repetitions, and five organisms that deliberate."""
        return cls(
            planned_seconds=3000.0,
            num_repeats=2000,
            num_organisms=5,
            lengths=(2, 4, 6),
            cache="build/cache/o1_system_card",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return more repetitions, and twenty organisms of the whole language."""
        return dataclasses.replace(
            cls.laptop(),
            planned_seconds=10 * 3600.0,
            num_repeats=10_000,
            num_organisms=20,
            lengths=(2, 4, 6, 8),
            num_symbols=24,
            length=6,
            num_dialects=2,
            width=64,
            pretraining=3000,
        )
