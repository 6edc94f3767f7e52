"""Projection Norm: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer, check_option

NETWORKS = ("mlp", "small cnn", "resnet20", "resnet32")


@dataclasses.dataclass(frozen=True)
class TargetSets:
    """Target sets: all that they depend on but the pool of images and the key."""

    size: int
    small_size: int
    severities: tuple[int, ...]
    radii: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Scores without retraining."""

    budgets: tuple[float, ...]
    num_references: int
    num_nulls: int
    num_tangent_features: int


@dataclasses.dataclass(frozen=True)
class Retraining:
    """One way to retrain: SGD with momentum 0.9 at a "constant" rate, or with a "cosine" from the rate to 0."""

    schedule: str
    learning_rate: float
    steps: int
    batch_size: int
    num_references: int
    num_nulls: int

    def __str__(self) -> str:
        return f"{self.schedule} {self.learning_rate:g}, {self.steps} steps of {self.batch_size}"


@dataclasses.dataclass(frozen=True)
class Config:
    """All that a run depends on.

    Attributes
    ----------
    planned_seconds
        The time that a run should take: two CPU cores for ``demo`` and ``laptop``, one large GPU for ``full``.
    networks
        Deployed networks: "mlp" (trained on the spot, on digits), "small cnn" (trained on the spot, on Fashion-MNIST),
        "resnet20", "resnet32" (stored weights, CIFAR-10).
    size, small_size
        Examples in a target set, and in the small sets that show the failures.
    severities
        Severities of the corruptions.
    num_holdout
        Labelled in-distribution examples for thresholds, function norm and null draws.
    num_seeds
        Draws: for networks that are trained here, of weights, splits, images and corruptions; for those with stored
        weights, of disjoint sets of images and of corruptions, under one split into holdout and pool.
    budgets
        Budgets of the closed form; the one used is chosen on the corruptions that are held out of all else.
    retrain_seeds, adversarial_seeds, tangent_seeds
        For each of the networks, for how many of the seeds Projection Norm is computed by retraining, adversarial sets
        are made, and the closed form is computed on sketched tangents of the deployed network. Networks that are
        retrained also have a closed form on features of the initialisation.
    recipes, retrain_batch
        Ways to retrain, each a schedule ("constant" or "cosine"), a rate and a number of steps; and examples per step.
        The one used is chosen, for each network and seed, on the corruptions that are held out of all else.
    other_sizes
        Further sizes of target sets for the closed form: smaller ones are parts of the sets; larger ones, multiples of
        the size, are unions over seeds, once for each network whose weights are stored.
    num_tangent_features
        Number of features of the sketched tangent kernel.
    text_seeds
        Draws of weights and sets for sentiment classifiers on text; 0 for none.
    num_references, num_nulls
        Draws of the reference and of the null.
    radii
        Of adversarial perturbations, as shares of full intensity.
    cache
        Stem of the JSON file of measurements from which an interrupted run resumes, and folder of the networks'
        outputs; "" for none.
    stand_in
        Whether data and network are only an analogue of the paper's.
    """

    planned_seconds: float
    networks: tuple[str, ...]
    size: int
    small_size: int
    severities: tuple[int, ...]
    num_holdout: int
    num_seeds: int
    retrain_seeds: tuple[int, ...]
    adversarial_seeds: tuple[int, ...]
    tangent_seeds: tuple[int, ...]
    recipes: tuple[tuple[str, float, int], ...]
    retrain_batch: int
    radii: tuple[float, ...]
    budgets: tuple[float, ...] = (0.0, 1.0, 10.0, 100.0, 1000.0)
    other_sizes: tuple[int, ...] = ()
    num_tangent_features: int = 1024
    text_seeds: int = 0
    num_references: int = 2
    num_nulls: int = 8
    cache: str = ""
    stand_in: bool = False

    def __post_init__(self):
        check(bool(self.networks), "networks", "none", "at least one")
        for name in self.networks:
            check_option("networks", name, NETWORKS)
        for name in ("retrain_seeds", "adversarial_seeds", "tangent_seeds"):
            numbers = getattr(self, name)
            check(len(numbers) == len(self.networks), name, numbers, f"one number for each of {self.networks}")
        for size in self.other_sizes:
            check_integer("other_sizes", size, minimum=10)
            most = self.num_seeds * self.size
            fits = size < self.size or (size % self.size == 0 and size <= most)
            check(fits, "other_sizes", size, f"less than the size, {self.size}, or a multiple up to {most}")
        check_integer("num_tangent_features", self.num_tangent_features, minimum=1)
        for name in ("size", "small_size", "num_holdout", "retrain_batch"):
            check_integer(name, getattr(self, name), minimum=10)
        check_integer("num_seeds", self.num_seeds, minimum=1)
        check(bool(self.recipes), "recipes", "none", "at least one")
        for schedule, rate, steps in self.recipes:
            check_option("recipes", schedule, ("constant", "cosine"))
            check(rate > 0, "recipes", rate, "a rate above 0")
            check_integer("recipes", steps, minimum=1)
        good = bool(self.severities) and set(self.severities) <= {1, 2, 3, 4, 5}
        check(good, "severities", self.severities, "some of 1 to 5")

    @property
    def target_sets(self) -> TargetSets:
        """Sizes and strengths of the sets."""
        return TargetSets(self.size, self.small_size, self.severities, self.radii)

    @property
    def scoring(self) -> Scoring:
        """Scores without retraining."""
        return Scoring(self.budgets, self.num_references, self.num_nulls, self.num_tangent_features)

    @property
    def retrainings(self) -> tuple[Retraining, ...]:
        """Ways to retrain, in the order of ``recipes``."""
        rest = self.retrain_batch, self.num_references, self.num_nulls
        return tuple(Retraining(*recipe, *rest) for recipe in self.recipes)

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look at scikit-learn's digits."""
        return cls(
            planned_seconds=40.0,
            networks=("mlp",),
            size=200,
            small_size=50,
            severities=(1, 3, 5),
            num_holdout=500,
            num_seeds=3,
            retrain_seeds=(3,),
            adversarial_seeds=(3,),
            tangent_seeds=(0,),
            recipes=(("constant", 0.05, 60), ("constant", 0.005, 60)),
            retrain_batch=64,
            radii=tuple(round(0.03 * i, 3) for i in range(1, 9)),
            stand_in=True,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return ResNets on CIFAR-10 with stored weights, a small network on Fashion-MNIST, and text."""
        return cls(
            planned_seconds=3600.0,
            networks=("small cnn", "resnet20", "resnet32"),
            size=1000,
            small_size=100,
            severities=(1, 2, 3, 4, 5),
            num_holdout=4000,
            num_seeds=5,
            retrain_seeds=(5, 1, 0),
            adversarial_seeds=(2, 1, 0),
            tangent_seeds=(0, 1, 0),
            other_sizes=(100, 5000),
            text_seeds=3,
            recipes=(("constant", 0.05, 40), ("constant", 0.05, 10), ("constant", 0.005, 40), ("cosine", 0.001, 40)),
            retrain_batch=64,
            radii=tuple(i / 255 for i in range(1, 9)),
            num_nulls=4,
            cache="build/cache/projection_norm",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the laptop's networks with five seeds and longer retraining, the authors' among it, for a GPU."""
        return dataclasses.replace(
            cls.laptop(),
            planned_seconds=6 * 3600.0,
            retrain_seeds=(5, 5, 5),
            adversarial_seeds=(5, 5, 5),
            tangent_seeds=(5, 5, 5),
            recipes=(("constant", 0.05, 40), ("constant", 0.005, 40), ("constant", 0.005, 500), ("cosine", 0.001, 500)),
            retrain_batch=128,
            num_nulls=8,
        )
