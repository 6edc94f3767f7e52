"""Files, published hashes, class names and provenance of the known data sets."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class _Source:
    """File names and sources of a data set.

    ``sha256`` maps a file name to the hash of its (decompressed) contents, training files first; ``folders`` are
    searched in turn, relative to the data folder.
    """

    sha256: Mapping[str, str]
    folders: tuple[str, ...]
    num_classes: int
    class_names: tuple[str, ...]
    how_to_get: str


@dataclasses.dataclass(frozen=True)
class IdxSource(_Source):
    """Four IDX files: training images, training labels, test images, test labels, in this order."""


@dataclasses.dataclass(frozen=True)
class CifarSource(_Source):
    """Binary batches, whose records start with ``num_labels`` label bytes, the last of them the fine label."""

    num_labels: int


# The hashes of MNIST and Fashion-MNIST are of the decompressed files, so that gzip headers do not matter. MNIST's are
# those that independent projects publish for the four files of http://yann.lecun.com/exdb/mnist/; Fashion-MNIST's are
# published likewise and were recomputed from the arrays; those of CIFAR's batches come from torchvision for Ruby.
SOURCES: dict[str, IdxSource | CifarSource] = {
    "mnist": IdxSource(
        sha256={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        folders=("mnist", "MNIST/raw"),
        num_classes=10,
        class_names=tuple("0123456789"),
        how_to_get=(
            "Download the four *-ubyte.gz files from https://ossci-datasets.s3.amazonaws.com/mnist/ (a mirror of "
            "yann.lecun.com/exdb/mnist) into the sub-folder mnist, plain or gzip; or save mnist.npz with x_train, "
            "y_train, x_test, y_test."
        ),
    ),
    "fashion_mnist": IdxSource(
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        folders=("fashion_mnist", "fashion-mnist", "fashion-mnist/data/fashion", "FashionMNIST/raw"),
        num_classes=10,
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        how_to_get=(
            "Clone https://github.com/zalandoresearch/fashion-mnist into the folder (its data/fashion holds the four "
            "*-ubyte.gz files), or put them into the sub-folder fashion_mnist, plain or gzip; or save "
            "fashion_mnist.npz with x_train, y_train, x_test, y_test."
        ),
    ),
    "cifar10": CifarSource(
        sha256={
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
        folders=("cifar-10-batches-bin", "cifar10"),
        num_classes=10,
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        how_to_get=(
            "Download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it in the folder (it makes "
            "cifar-10-batches-bin); or save cifar10.npz with x_train [n, 32, 32, 3], y_train, x_test, y_test."
        ),
        num_labels=1,
    ),
    "cifar100": CifarSource(
        sha256={
            "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
            "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
        },
        folders=("cifar-100-binary", "cifar100"),
        num_classes=100,
        class_names=(),
        how_to_get=(
            "Download https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz and unpack it in the folder (it makes "
            "cifar-100-binary); or save cifar100.npz with x_train [n, 32, 32, 3], y_train, x_test, y_test."
        ),
        num_labels=2,
    ),
}
