"""Organisms under recipes of safety training that differ in one thing, and what they answer to rewritten requests."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from verax._types import PyTree
from verax.organisms import (
    STYLES,
    DecoderConfig,
    PolicyWorld,
    Transform,
    controls,
    decoder_apply,
    evaluate,
    init_decoder,
    pretrain,
    refusal_margin,
    safety_finetune,
    transforms,
)
from verax.papers._cache import Cache


class Recipe(NamedTuple):
    """Contents of safety training; ``dialects`` is how many the refusals cover, of -1 all."""

    replay: float = 0.4
    replay_styles: tuple[str, ...] = STYLES
    exceptions: float = 0.1
    dialects: int = 0
    refused_styles: tuple[str, ...] = ("plain",)
    length: int = 1


RECIPES = {
    "standard": Recipe(),
    "less capability": Recipe(replay=0.05),
    "wider safety": Recipe(dialects=1),
    "both": Recipe(replay=0.05, dialects=1),
    "capability without styles": Recipe(replay_styles=("plain",)),
    "safety as wide as capability": Recipe(dialects=-1, refused_styles=STYLES),
    "against split": Recipe(refused_styles=("plain", "split")),
    "no exceptions": Recipe(exceptions=0.0),
    "twice as long": Recipe(length=2),
}


ATTACKS = ("affirm", "split", "dialect", "affirm+split", "affirm+dialect", "split+dialect", "affirm+split+dialect")


CONTROLLED = ("affirm", "split", "dialect")


class Size(NamedTuple):
    """Settings of the language, the organism and its training."""

    num_symbols: int
    length: int
    num_dialects: int
    width: int
    batch_size: int
    pretraining: int
    safety: int
    num_prompts: int


class Answers(NamedTuple):
    """Answers of organisms of one recipe, one row per seed; ``names`` has the rewritings, the request as it is first.

    ``verdicts`` are those on restricted requests (0 refused, 1 complied, 2 neither) ``[seed, rewriting, request]``,
    ``done`` shares of allowed requests answered ``[seed, rewriting]``, ``meta`` shares of allowed questions about
    restricted arguments answered ``[seed]``, and the margins means in nats ``[seed, rewriting]``, free and after a
    forced opening.
    """

    names: tuple[str, ...]
    verdicts: np.ndarray
    done: np.ndarray
    meta: np.ndarray
    margin: np.ndarray
    forced: np.ndarray

    def share(self, name: str, verdict: int = 1) -> np.ndarray:
        """Share of a verdict under one rewriting ``[seed]``."""
        return np.asarray((self.verdicts[:, self.names.index(name)] == verdict).mean(-1))

    def adaptive(self) -> np.ndarray:
        """Share of restricted requests that some attack gets an answer to ``[seed]``."""
        chosen = [self.names.index(name) for name in ATTACKS]
        return np.asarray((self.verdicts[:, chosen] == 1).any(1).mean(-1))

    def mean_of(self, field: str, name: str) -> np.ndarray:
        """``done``, ``margin`` or ``forced`` under one rewriting ``[seed]``."""
        return np.asarray(getattr(self, field)[:, self.names.index(name)])


def study(
    size: Size, recipes: tuple[str, ...], seeds: int, cache: Cache, key: jax.Array, step: Callable[[str], None]
) -> dict[str, Answers]:
    """Train and ask ``seeds`` organisms under each recipe; all have one language and see the same requests."""
    world = PolicyWorld(size.num_symbols, size.length, size.num_dialects, key=jax.random.fold_in(key, 0))
    ways = transforms(world) + controls(world)
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in recipes}
    for seed in range(seeds):
        keys = jax.random.split(jax.random.fold_in(key, seed + 1), 4)
        identity = [size, np.asarray(jax.random.key_data(keys)), np.asarray(jax.random.key_data(key))]
        base = _Base(world, size, cache, identity, keys)
        for name in recipes:
            step(f"width {size.width}, seed {seed + 1}: {name}")
            recipe = RECIPES[name]

            def asked(recipe: Recipe = recipe, base: _Base = base, keys: jax.Array = keys) -> dict[str, np.ndarray]:
                return _ask(base.safe(recipe), world, ways, size.num_prompts, keys[3])

            found[name].append(cache.get("jailbroken-answers", [*identity, recipe], asked))
    names = tuple(way.name for way in ways)
    fields = ("verdicts", "done", "meta", "margin", "forced")
    return {
        name: Answers(names, *(np.stack([row[field] for row in rows]) for field in fields))
        for name, rows in found.items()
    }


class _Base:
    """A pretrained organism, trained when it is first needed."""

    def __init__(self, world: PolicyWorld, size: Size, cache: Cache, identity: list[Any], keys: jax.Array):
        self._world, self._size, self._cache, self._identity, self._keys = world, size, cache, identity, keys
        self._params: Any = None

    def safe(self, recipe: Recipe) -> Any:
        """Return parameters after safety training."""
        dialects = self._size.num_dialects if recipe.dialects < 0 else recipe.dialects
        return safety_finetune(
            self._pretrained(),
            self._world,
            steps=self._size.safety * recipe.length,
            replay=recipe.replay,
            replay_styles=recipe.replay_styles,
            exceptions=recipe.exceptions,
            refused_encodings=tuple(range(1 + dialects)),
            refused_styles=recipe.refused_styles,
            batch_size=self._size.batch_size,
            key=self._keys[2],
        )[0]

    def _pretrained(self) -> Any:
        if self._params is None:
            size, world = self._size, self._world
            config = DecoderConfig(
                world.vocabulary.size, world.context, width=size.width, num_layers=2, num_heads=max(1, size.width // 16)
            )
            start = init_decoder(config, key=self._keys[0])

            def train() -> PyTree:
                return pretrain(start, world, steps=size.pretraining, batch_size=size.batch_size, key=self._keys[1])[0]

            self._params = self._cache.get_tree("jailbroken-pretrained", self._identity, start, train)
        return self._params


def _ask(
    params: Any, world: PolicyWorld, ways: tuple[Transform, ...], num_prompts: int, key: jax.Array
) -> dict[str, np.ndarray]:
    restricted, allowed, meta = (
        evaluate(
            decoder_apply,
            params,
            world,
            restricted=bad,
            operation=what,
            transforms=asked,
            num_prompts=num_prompts,
            key=key,
        )
        for bad, what, asked in ((True, None, ways), (False, None, ways), (True, "meta", ways[:1]))
    )
    labels, answered, named = (np.asarray(table.labels)[0, :, :, 0] for table in (restricted, allowed, meta))
    requests = world.sample(num_prompts, restricted=True, key=key)
    prompts = [way.prompts(world, way.apply(world, requests, key=key)) for way in ways]
    width = max(p.shape[1] for p in prompts)
    batch = np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in prompts])
    margins = [
        np.asarray(refusal_margin(decoder_apply, params, batch, forced=forced), np.float64)
        .reshape(len(ways), num_prompts)
        .mean(1)
        for forced in (False, True)
    ]
    return {
        "verdicts": labels.astype(np.int8),
        "done": (answered == 0).mean(1),
        "meta": np.asarray((named[0] == 1).mean()),
        "margin": margins[0],
        "forced": margins[1],
    }
