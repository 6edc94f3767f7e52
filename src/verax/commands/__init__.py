"""Implementations of the commands of ``verax``; `verax.cli` holds their arguments."""

from ._processes import joined as joined
from ._run_evals import run_evals as run_evals
from ._run_probe import run_probe as run_probe
