"""Jailbroken: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer

from .measure import RECIPES


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_seeds
        Organisms for each recipe.
    num_prompts
        Restricted requests, the same under every rewriting and for every organism of a seed.
    num_symbols, length, num_dialects
        Of the language.
    width, batch_size, pretraining, safety
        Of the organisms, and the batches of their two trainings.
    recipes
        Of safety training, by name; the first four of ``RECIPES`` at least.
    widths
        Further widths of organisms, for what scale does; empty where not tested.
    cache
        Folder for finished organisms' answers, so that an interrupted run resumes; empty keeps nothing.
    """

    planned_seconds: float
    num_seeds: int
    num_prompts: int
    num_symbols: int
    length: int
    num_dialects: int
    width: int
    batch_size: int
    pretraining: int
    safety: int
    recipes: tuple[str, ...] = tuple(RECIPES)
    widths: tuple[int, ...] = ()
    cache: str = ""

    def __post_init__(self):
        check_integer("num_seeds", self.num_seeds, minimum=2)
        check_integer("num_prompts", self.num_prompts, minimum=20)
        needed = tuple(RECIPES)[:4]
        check(set(needed) <= set(self.recipes) <= set(RECIPES), "recipes", self.recipes, f"{needed}, of {(*RECIPES,)}")

    @classmethod
    def demo(cls) -> "Config":
        """Return two organisms of a small language for each of six recipes."""
        return cls(
            planned_seconds=40.0,
            num_seeds=2,
            num_prompts=100,
            num_symbols=8,
            length=4,
            num_dialects=1,
            width=32,
            batch_size=64,
            pretraining=500,
            safety=150,
            recipes=tuple(RECIPES)[:6],
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return five organisms for each recipe and width, in a larger language."""
        return cls(
            planned_seconds=1500.0,
            num_seeds=5,
            num_prompts=200,
            num_symbols=12,
            length=6,
            num_dialects=2,
            width=48,
            batch_size=128,
            pretraining=1200,
            safety=500,
            widths=(16, 32),
            cache="build/cache/jailbroken",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the whole language and twenty organisms."""
        return dataclasses.replace(
            cls.laptop(),
            planned_seconds=8 * 3600.0,
            num_seeds=20,
            num_symbols=24,
            width=64,
            pretraining=2000,
            safety=600,
            widths=(16, 32, 128),
        )
