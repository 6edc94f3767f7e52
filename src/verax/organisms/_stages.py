"""The stages of an organism's training: pretraining without a policy, then safety fine-tuning."""

import os
from typing import Any, NamedTuple

import jax
from jaxtyping import Int

from verax._arrays import to_integer
from verax._errors import check
from verax._types import ApplyFn, PyTree

from ._decoder import Params, check_decoder, check_network, decoder_apply
from ._mixture import Component, Tables, check_mixture, draw_from, stack, tabulate
from ._thoughts import draw_thoughts
from ._train import TrainLog, fit
from ._vocabulary import OPERATIONS, STYLES
from ._world import PolicyWorld


class _DrawWithThoughts(NamedTuple):
    """Half a batch reasons over policies in the prompt, half is of a mixture."""

    world: PolicyWorld
    batch_size: int

    def __call__(self, key: jax.Array, *tables: jax.Array) -> tuple[Int[jax.Array, "n t"], Any]:
        thought_key, plain_key = jax.random.split(key)
        half = self.batch_size // 2
        thoughts = draw_thoughts(self.world, self.batch_size - half, policies=0.5, key=thought_key)
        plain = draw_from(self.world, Tables(*tables), half, key=plain_key)
        return stack(thoughts, plain)


class _Draw(NamedTuple):
    """The function that draws batches; mixtures of as many parts share its program."""

    world: PolicyWorld
    batch_size: int

    def __call__(self, key: jax.Array, *tables: jax.Array) -> tuple[Int[jax.Array, "n t"], Any]:
        return draw_from(self.world, Tables(*tables), self.batch_size, key=key)


def pretrain(
    params: PyTree,
    world: PolicyWorld,
    *,
    apply_fn: ApplyFn = decoder_apply,
    steps: int,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[PyTree, TrainLog]:
    """Teach an organism every operation in every style and encoding, whatever the policy says.

    The result is capable and helpful only: it answers restricted requests too. An organism whose vocabulary has the
    markers of deliberation (``world.vocabulary.size_with_thoughts``, and a context of ``world.deliberating_context``)
    learns, in half of every batch, to reason over policies as well: lists of symbols drawn at random stand in the
    prompt, a chain of thought restates the argument with the class of each symbol and a verdict, and the answer
    follows the verdict. Of the world's own policy it learns nothing.

    Parameters
    ----------
    params
        From ``init_decoder``, with a context of at least ``world.context``; or those of ``apply_fn``.
    world
        A ``PolicyWorld``.
    apply_fn
        The network, as in :func:`fit`; it reads ``world.vocabulary.size`` token ids.
    steps, batch_size
        Batches, and examples in each, all fresh.
    learning_rate, checkpoint, progress, key
        As in :func:`fit`; an array of keys trains as many organisms at once.

    Returns
    -------
    params, log
        New parameters, and the loss at each step.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, init_decoder, pretrain
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size, world.context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> params, log = pretrain(params, world, steps=20, batch_size=16, key=jax.random.key(2))
    >>> bool(log.loss[-1] < log.loss[0])
    True
    """
    everything = range(len(world.encodings))
    mixture = (
        Component(0.7, None, OPERATIONS, STYLES, tuple(everything)),
        Component(0.3, True, OPERATIONS, STYLES, tuple(everything)),
    )
    return train_on(
        params,
        world,
        mixture + (Component(0.0),) * 2,  # as many parts as safety fine-tuning has
        thoughts=apply_fn is decoder_apply and deliberates(params, world),
        apply_fn=apply_fn,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )


def safety_finetune(
    params: PyTree,
    world: PolicyWorld,
    *,
    steps: int,
    replay: float = 0.4,
    exceptions: float = 0.1,
    replay_styles: tuple[str, ...] = STYLES,
    refused_encodings: tuple[int, ...] = (0,),
    refused_styles: tuple[str, ...] = ("plain",),
    apply_fn: ApplyFn = decoder_apply,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[PyTree, TrainLog]:
    """Teach an organism to refuse restricted requests, while it stays capable.

    Of every batch a share ``replay`` are allowed tasks in ``replay_styles`` and every encoding (the capability
    objective), a share ``exceptions`` are questions about restricted arguments, which are answered, and the rest is
    half refusals and half allowed tasks in the encodings and styles that safety training covers.

    Parameters
    ----------
    params
        From :func:`pretrain`.
    world
        A ``PolicyWorld``; training that changes what is refused takes nothing else.
    steps
        Batches.
    replay, exceptions
        Shares of a batch, together below 1.
    replay_styles
        Styles that replay contains.
    refused_encodings, refused_styles
        Requests that the refusals cover: positions in ``world.encodings``, and names of styles.
    apply_fn, batch_size, learning_rate, checkpoint, progress, key
        As in :func:`pretrain`.

    Returns
    -------
    params, log
        New parameters, and the loss at each step.

    Raises
    ------
    ValueError
        For shares out of range, or names that do not exist.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import DecoderConfig, PolicyWorld, init_decoder, safety_finetune
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> config = DecoderConfig(world.vocabulary.size, world.context, width=16)
    >>> params = init_decoder(config, key=jax.random.key(1))
    >>> params, log = safety_finetune(params, world, steps=40, batch_size=16, key=jax.random.key(2))
    >>> bool(log.loss[-5:].mean() < log.loss[:5].mean())
    True
    """
    check(replay >= 0, "replay", replay, "a share from 0 on")
    check(exceptions >= 0, "exceptions", exceptions, "a share from 0 on")
    check(replay + exceptions < 1, "replay", f"{replay}, with exceptions {exceptions}", "a sum below 1")
    rest = (1 - replay - exceptions) / 2
    mixture = (
        Component(rest, True, styles=refused_styles, encodings=refused_encodings, refuse=True),
        Component(rest, False, styles=refused_styles, encodings=refused_encodings),
        Component(replay, False, OPERATIONS, replay_styles, tuple(range(len(world.encodings)))),
        Component(exceptions, True, ("restate", "meta"), refused_styles, refused_encodings),
    )
    return train_on(
        params,
        world,
        mixture,
        apply_fn=apply_fn,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )


def train_on(
    params: PyTree,
    world: PolicyWorld,
    mixture: tuple[Component, ...],
    *,
    apply_fn: ApplyFn,
    steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    thoughts: bool = False,
    key: jax.Array,
) -> tuple[PyTree, TrainLog]:
    """Train on a mixture of the world's examples, with reasoning over policies in the prompt where asked."""
    check_organism(params, world, apply_fn=apply_fn)
    check_mixture(world, mixture)
    return fit(
        params,
        (_DrawWithThoughts if thoughts else _Draw)(world, to_integer("batch_size", batch_size, minimum=2)),
        apply_fn=apply_fn,
        data=tuple(tabulate(mixture, len(world.encodings))),
        steps=steps,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )


def deliberates(params: Params, world: PolicyWorld) -> bool:
    """Whether an organism's vocabulary has the markers of deliberation."""
    check_decoder(params)
    return params["tokens"].shape[-2] == world.vocabulary.size_with_thoughts


def check_organism(
    params: PyTree, world: PolicyWorld, *, deliberating: bool = False, apply_fn: ApplyFn = decoder_apply
) -> None:
    """Raise unless an organism has the world's vocabulary, and a context that holds its longest example."""
    check(isinstance(world, PolicyWorld), "world", type(world).__name__, "a PolicyWorld")
    if apply_fn is not decoder_apply:
        check_network(apply_fn)
        check(not deliberating, "apply_fn", "another network", "decoder_apply, whose vocabulary has chains of thought")
        return
    check_decoder(params)
    sizes = world.vocabulary.size, world.vocabulary.size_with_thoughts
    size, context = params["tokens"].shape[-2], params["positions"].shape[-2]
    if deliberating:
        need = f"the world's {sizes[1]}, with the markers of deliberation"
        check(size == sizes[1], "params", f"{size} token ids", need)
    check(size in sizes, "params", f"{size} token ids", f"the world's {sizes[0]}, or {sizes[1]} to deliberate")
    name = "deliberating_context" if size == sizes[1] else "context"
    least = getattr(world, name)
    check(context >= least, "params", f"a context of {context}", f"at least world.{name} = {least}")
