"""TCT: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer, check_option


@dataclasses.dataclass(frozen=True)
class Division:
    """Data of one experiment and the network trained on them: all that a problem is drawn from but rule and key."""

    dataset: str
    network: str
    num_clients: int
    examples_per_client: int
    num_validation: int
    num_test: int
    pool: int


@dataclasses.dataclass(frozen=True)
class Training:
    """Training of the network: all that a baseline depends on but method and learning rate."""

    rounds1: int
    rounds2: int
    local_epochs: int
    batch_size: int


@dataclasses.dataclass(frozen=True)
class SecondStage:
    """Stage 2 of TCT."""

    local_steps: int
    num_features: int
    long_rounds: int
    ridge_grid: int = 40


@dataclasses.dataclass(frozen=True)
class Config:
    """All that a run depends on.

    Attributes
    ----------
    planned_seconds
        The time that a run should take: two CPU cores for ``demo`` and ``laptop``, one GPU for ``full``.
    dataset
        "digits", "fashion_mnist", "cifar10" or "cifar100".
    network
        "mlp", "small cnn", "group-norm small cnn", "narrow resnet18" or "resnet18" (both with group norm).
    settings
        Rules of division: "#C=k", "#C=k disjoint", "Dir(alpha)", "IID".
    methods
        Baselines; "centralized" and "fedavg" are needed.
    num_clients, examples_per_client
        Clients and their mean number of images; 0 for all images.
    num_validation, num_test
        Images for tuning and for testing.
    pool
        Images are averaged over squares of so many pixels.
    rounds1, rounds2
        Rounds of TCT's stages; baselines get both.
    local_epochs, batch_size
        Of stage 1 and the baselines.
    learning_rates
        The grid for every method; chosen with the first seed on validation images.
    local_steps
        Local steps per round in the curve of stage 2 beside the baselines' curves.
    judged_steps, table_steps
        Local steps per round of the stage 2 that is judged after ``long_rounds``, and of the table.
    num_features
        Size of the sketch of the gradient.
    long_rounds
        Rounds of the stage 2 that is judged.
    num_seeds
        Draws of images, division, initial weights and heads.
    ablations
        Of "initialisation" (one-shot TCT on the features of the initial weights) and "layers" (retraining of the last
        layers, in the first setting).
    cache
        Stem of the JSON file of measurements from which an interrupted run resumes; "" for none.
    stand_in
        Whether the data are only an analogue of the paper's.
    """

    planned_seconds: float
    dataset: str
    network: str
    settings: tuple[str, ...]
    methods: tuple[str, ...]
    examples_per_client: int
    num_validation: int
    num_test: int
    rounds1: int
    rounds2: int
    learning_rates: tuple[float, ...]
    num_features: int
    num_seeds: int
    num_clients: int = 10
    pool: int = 1
    local_epochs: int = 1
    batch_size: int = 50
    local_steps: int = 500
    judged_steps: int = 50
    table_steps: tuple[int, ...] = (10, 50, 200, 500)
    long_rounds: int = 100
    ablations: tuple[str, ...] = ("initialisation", "layers")
    cache: str = ""
    stand_in: bool = False

    def __post_init__(self):
        check(bool(self.settings), "settings", "none", "at least one rule of division")
        check(
            {"centralized", "fedavg"} <= set(self.methods), "methods", self.methods, "centralized and fedavg among them"
        )
        check(bool(self.learning_rates), "learning_rates", "none", "at least one")
        check(isinstance(self.ablations, tuple), "ablations", repr(self.ablations), "a tuple of names")
        for name in self.ablations:
            check_option("ablations", name, ("initialisation", "layers"))
        for name in ("num_clients", "num_seeds", "rounds1", "rounds2", "num_features", "pool", "num_validation"):
            check_integer(name, getattr(self, name), minimum=1)
        inside = self.judged_steps in self.table_steps
        check(inside, "judged_steps", self.judged_steps, f"one of table_steps, {self.table_steps}")

    @property
    def division(self) -> Division:
        """Data and network."""
        return Division(
            dataset=self.dataset,
            network=self.network,
            num_clients=self.num_clients,
            examples_per_client=self.examples_per_client,
            num_validation=self.num_validation,
            num_test=self.num_test,
            pool=self.pool,
        )

    @property
    def training(self) -> Training:
        """Rounds and batches of stage 1 and the baselines."""
        return Training(self.rounds1, self.rounds2, self.local_epochs, self.batch_size)

    @property
    def second_stage(self) -> SecondStage:
        """Stage 2."""
        return SecondStage(self.local_steps, self.num_features, self.long_rounds)

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look at scikit-learn's digits."""
        return cls(
            planned_seconds=45.0,
            dataset="digits",
            network="mlp",
            settings=("#C=1",),
            methods=("centralized", "fedavg", "scaffold"),
            examples_per_client=100,
            num_validation=250,
            num_test=500,
            rounds1=10,
            rounds2=15,
            batch_size=20,
            learning_rates=(0.1,),
            num_features=512,
            num_seeds=2,
            long_rounds=40,
            stand_in=True,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return Fashion-MNIST with 10 clients of 600 images, averaged to 7x7 pixels to fit into an hour."""
        return cls(
            planned_seconds=3600.0,
            dataset="fashion_mnist",
            network="small cnn",
            settings=("#C=1", "#C=2", "Dir(0.1)", "Dir(0.5)", "IID"),
            methods=(
                "centralized",
                "fedavg",
                "fedprox",
                "fednova",
                "scaffold",
                "fedadam",
                "fedyogi",
                "fedavgm",
                "local only",
            ),
            examples_per_client=600,
            num_validation=1000,
            num_test=2000,
            rounds1=10,
            rounds2=15,
            pool=4,
            learning_rates=(0.05, 0.2),
            num_features=2048,
            num_seeds=3,
            cache="build/cache/tct",
        )

    @classmethod
    def headline(cls) -> "Config":
        """Return all of Fashion-MNIST at 14x14 pixels: FedAvg, centralized training, TCT with and without stage 1."""
        return cls(
            planned_seconds=2 * 3600.0,
            dataset="fashion_mnist",
            network="small cnn",
            settings=("#C=1", "#C=2"),
            methods=("centralized", "fedavg"),
            examples_per_client=0,
            num_validation=5000,
            num_test=10000,
            rounds1=10,
            rounds2=15,
            pool=2,
            learning_rates=(0.05,),
            num_features=2048,
            num_seeds=3,
            ablations=("initialisation",),
            cache="build/cache/tct",
        )

    @classmethod
    def cifar(cls) -> "Config":
        """Return what stage 1 is worth on 10,000 images of CIFAR-10 at 16x16 pixels: 5 clients of two classes."""
        return cls(
            planned_seconds=2 * 3600.0,
            dataset="cifar10",
            network="group-norm small cnn",
            settings=("#C=2 disjoint",),
            methods=("centralized", "fedavg"),
            num_clients=5,
            examples_per_client=1500,
            num_validation=500,
            num_test=2000,
            rounds1=15,
            rounds2=15,
            pool=2,
            learning_rates=(0.05, 0.2),
            num_features=4096,
            num_seeds=3,
            ablations=("initialisation",),
            cache="build/cache/tct",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return CIFAR-100 with a ResNet-18, 20 clients of five classes; a GPU, hours."""
        return cls(
            planned_seconds=24 * 3600.0,
            dataset="cifar100",
            network="resnet18",
            settings=("#C=5 disjoint",),
            methods=("centralized", "fedavg", "fedprox", "fednova", "scaffold", "fedadam"),
            num_clients=20,
            examples_per_client=0,
            num_validation=5000,
            num_test=10000,
            rounds1=100,
            rounds2=100,
            local_epochs=5,
            batch_size=64,
            learning_rates=(0.01, 0.05),
            num_features=8192,
            num_seeds=3,
            cache="build/cache/tct",
        )
