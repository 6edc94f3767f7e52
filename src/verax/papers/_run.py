"""The list of papers, what each module must hold, and how one is run."""

import dataclasses
import importlib
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from verax._errors import check_option
from verax.report import Claim, Report, Table, environment

if TYPE_CHECKING:
    import jax

_PAPERS = (
    "gcv",
    "projection_norm",
    "tct",
    "matching_markets",
    "learning_augmented",
    "o1_system_card",
    "jailbroken",
    "covert_finetuning",
)

SCALES = ("demo", "laptop", "full")
"""45 seconds on two cores; at most an hour; hours, or a GPU."""


@runtime_checkable
class Config(Protocol):
    """Settings of a run: a frozen dataclass whose fields are numbers, words and tuples of them.

    ``planned_seconds`` is the time that the configuration should take: two CPU cores for ``demo`` and ``laptop``, the
    machine that the module names for ``full``. It includes compilation.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def planned_seconds(self) -> float:
        """The time that a run should take."""
        ...

    @classmethod
    def demo(cls) -> "Config":
        """Return the configuration for a first look, within 45 seconds on data bundled with a dependency."""
        ...

    @classmethod
    def laptop(cls) -> "Config":
        """Return the configuration for one to sixty minutes, on real data."""
        ...

    @classmethod
    def full(cls) -> "Config":
        """Return the paper's own setting, or the nearest that public data allow."""
        ...


_C = TypeVar("_C", bound=Config)


@runtime_checkable
class Paper(Protocol[_C]):
    """Contents of a module in ``verax.papers``."""

    Config: type[_C]

    def run(
        self, config: _C, *, key: "jax.Array", data: str | pathlib.Path | None = None, progress: bool = True
    ) -> Report:
        """Measure the paper's claims; ``data`` is the folder that holds the data sets the configuration names."""
        ...


def names() -> tuple[str, ...]:
    """Return the names of the papers that exist.

    Examples
    --------
    >>> "gcv" in names()
    True
    """
    return _PAPERS


def load(name: str) -> Paper[Config]:
    """Import one paper's module.

    Raises
    ------
    ValueError
        If there is no such paper; the message lists those that exist.
    """
    check_option("paper", name, _PAPERS)
    return cast(Paper[Config], importlib.import_module(f"{__package__}.{name}"))


def reproduce(
    name: str,
    *,
    scale: str = "demo",
    key: "jax.Array",
    data: str | pathlib.Path | None = None,
    progress: bool = True,
) -> Report:
    """Run one paper at one of its scales.

    Parameters
    ----------
    name
        One of ``names()``.
    scale
        ``"demo"``, ``"laptop"`` or ``"full"``.
    key
        A ``jax.random.key``; everything random in the run derives from it.
    data
        Folder of data sets; the demo needs none.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        For an unknown paper or scale, before anything is computed.
    """
    check_option("paper", name, _PAPERS)
    check_option("scale", scale, SCALES)
    paper = load(name)
    return paper.run(getattr(paper.Config, scale)(), key=key, data=data, progress=progress)


def make_report(
    title: str,
    citation: str,
    config: Config,
    seconds: float,
    claims: Sequence[Claim],
    tables: Mapping[str, tuple[Table, str]],
    figures: Mapping[str, tuple[Any, str]],
) -> Report:
    """Put a paper's results together; tables and figures come with their captions."""
    return Report(
        title=title,
        citation=citation,
        claims=list(claims),
        tables={name: table for name, (table, _) in tables.items()},
        figures={name: figure for name, (figure, _) in figures.items()},
        captions={name: caption for name, (_, caption) in {**tables, **figures}.items()},
        config=config,
        environment=environment(),
        seconds=seconds,
        planned_seconds=config.planned_seconds,
    )


class Steps:
    """The steps of a run: a clock, and a progress bar where one is wanted.

    Parameters
    ----------
    title
        Shown beside the bar.
    total
        Number of steps.
    show
        Whether anything is shown: a bar in a terminal; elsewhere, or without ``rich``, one line per step.

    Examples
    --------
    >>> with Steps("GCV", 2, show=False) as steps:
    ...     steps("kernels")
    ...     steps("risks")
    >>> steps.seconds < 1.0
    True
    """

    def __init__(self, title: str, total: int, *, show: bool = True):
        self._title, self._total, self._show = title, total, show
        self._started = time.perf_counter()
        self._stopped: float | None = None
        self._count = 0
        self._bar: Any = None
        self._task: Any = None

    @property
    def seconds(self) -> float:
        """Seconds since the start, or from start to end once the block is left."""
        return (self._stopped or time.perf_counter()) - self._started

    def __enter__(self) -> "Steps":
        if self._show:
            self._bar = _rich_bar()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, step="")
        return self

    def __call__(self, step: str) -> None:
        """Begin the next step, and so end the one before."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._count, step=step)
        elif self._show:
            print(f"{self._title} [{self._count + 1}/{self._total}] {step} ({self.seconds:.0f} s)", file=sys.stderr)
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = time.perf_counter()
        if self._bar is not None:
            if kind is None:
                self._bar.update(self._task, completed=self._total, step="done")
            self._bar.stop()


def _rich_bar() -> Any:
    try:
        import rich.console
        import rich.progress
    except ImportError:
        return None
    console = rich.console.Console(stderr=True)
    if not console.is_terminal:  # a log wants lines
        return None
    return rich.progress.Progress(
        rich.progress.TextColumn("[bold]{task.description}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[step]}"),
        console=console,
    )
