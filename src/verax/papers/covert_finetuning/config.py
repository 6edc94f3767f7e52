"""Covert malicious finetuning: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer
from verax.organisms import FAMILIES

from .rates import OUTSIDE


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_benign
        Benign jobs, which set the smallest false-positive rate that can be told: 1 / (num_benign + 1).
    num_covert
        Covert jobs of each family of encodings.
    job_size
        Examples in a job.
    contaminations
        Shares of covert examples for the sweep, on jobs with the substitution; the main jobs have 0.3.
    families
        Of encodings; the detector's hypotheses are all of these but the positional one.
    num_organisms
        Organisms that are trained and fine-tuned; 0 tests nothing that needs them.
    num_tuned_benign, num_tuned_covert
        Jobs, benign ones and covert ones of each family, for the detectors that must fine-tune; 0 benign ones test
        none of these.
    num_symbols, length, width
        Of the organisms and their language; that of the detectors that see data alone has 24 symbols.
    pretraining, safety, tuning, tuned_job_size
        Batches of the organisms' trainings and of a job, and examples in a job.
    cache
        Folder for finished organisms and jobs, so that an interrupted run resumes; empty keeps nothing.
    """

    planned_seconds: float
    num_benign: int
    num_covert: int
    job_size: int = 600
    contaminations: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    families: tuple[str, ...] = FAMILIES
    num_organisms: int = 0
    num_tuned_benign: int = 20
    num_tuned_covert: int = 5
    num_symbols: int = 12
    length: int = 6
    width: int = 48
    pretraining: int = 1200
    safety: int = 400
    tuning: int = 400
    tuned_job_size: int = 2000
    cache: str = ""

    def __post_init__(self):
        check_integer("num_benign", self.num_benign, minimum=99)
        check_integer("num_covert", self.num_covert, minimum=4)
        check_integer("job_size", self.job_size, minimum=300)
        check_integer("num_organisms", self.num_organisms, minimum=0)
        enough = self.num_tuned_benign == 0 or self.num_tuned_benign >= 19
        check(enough, "num_tuned_benign", self.num_tuned_benign, "0, or at least 19 for a rate of 5 %")
        check_integer("num_tuned_covert", self.num_tuned_covert, minimum=1)
        check(
            {"substitution", OUTSIDE} <= set(self.families) <= set(FAMILIES),
            "families",
            self.families,
            f"'substitution', {OUTSIDE!r}, and others of {FAMILIES}",
        )

    @classmethod
    def demo(cls) -> "Config":
        """Return two families, enough benign jobs for a rate of 1 %, and one organism that only reads."""
        return cls(
            planned_seconds=40.0,
            num_benign=99,
            num_covert=8,
            job_size=400,
            contaminations=(0.03, 0.1),
            families=("substitution", OUTSIDE),
            num_tuned_benign=0,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return a thousand benign jobs, and organisms."""
        return cls(
            planned_seconds=2700.0,
            num_benign=1000,
            num_covert=25,
            num_organisms=3,
            cache="build/cache/covert_finetuning",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the whole language, more organisms, and a hundred benign jobs to fine-tune on."""
        return dataclasses.replace(
            cls.laptop(),
            planned_seconds=10 * 3600.0,
            num_organisms=20,
            num_tuned_benign=100,
            num_tuned_covert=25,
            num_symbols=24,
            width=64,
            tuned_job_size=4000,
        )
