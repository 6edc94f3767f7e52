"""Loading data sets from files written here, from the data folder, and from scikit-learn."""

import dataclasses
import hashlib

import numpy as np
import pytest

from support.image_files import IDX_FILES, cifar_records, idx_bytes, tiny_arrays, write_idx
from verax.data import IMAGENET_MEAN, IMAGENET_STD, load, normalise
from verax.data._registry import SOURCES


def assert_holds(data, arrays):
    np.testing.assert_array_equal(data.x_train[..., 0], arrays[0])
    np.testing.assert_array_equal(data.y_train, arrays[1])
    np.testing.assert_array_equal(data.x_test[..., 0], arrays[2])
    np.testing.assert_array_equal(data.y_test, arrays[3])
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.num_classes == 10


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("subfolder", ["mnist", "MNIST/raw", "."])
def test_idx(tmp_path, rng, compress, subfolder):
    arrays = tiny_arrays(rng)
    write_idx(tmp_path / subfolder, arrays, compress=compress)
    data = load("mnist", tmp_path, verify=False)
    assert_holds(data, arrays)
    assert not data.verified
    assert data.source == str(tmp_path / subfolder)


def test_idx_with_dotted_names_and_the_environment_variable(tmp_path, rng, monkeypatch):
    arrays = tiny_arrays(rng)
    write_idx(tmp_path / "fashion_mnist", arrays, rename=lambda name: name.replace("-idx", ".idx"))
    monkeypatch.setenv("VERAX_DATA", str(tmp_path))
    data = load("fashion_mnist", verify=False)
    assert_holds(data, arrays)
    assert data.class_names[9] == "Ankle boot"


def test_published_hash_is_of_the_decompressed_contents(tmp_path, rng, monkeypatch):
    arrays = tiny_arrays(rng)
    digests = {
        name: hashlib.sha256(idx_bytes(array)).hexdigest() for name, array in zip(IDX_FILES, arrays, strict=True)
    }
    for compress in (False, True):
        write_idx(tmp_path / "mnist", arrays, compress=compress)
    monkeypatch.setitem(SOURCES, "mnist", dataclasses.replace(SOURCES["mnist"], sha256=digests))
    assert load("mnist", tmp_path).verified
    for name in IDX_FILES:
        (tmp_path / "mnist" / name).unlink()
    assert load("mnist", tmp_path).verified  # the gzip copies


def test_cifar10(tmp_path, rng):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 12)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for number, name in enumerate(names):
        batch = slice(2 * number, 2 * number + 2)
        (folder / name).write_bytes(cifar_records(images[batch], labels[batch]))
    data = load("cifar10", tmp_path, verify=False)
    np.testing.assert_array_equal(data.x_train, images[:10])
    np.testing.assert_array_equal(data.x_test, images[10:])
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_test]), labels)
    assert data.num_classes == len(data.class_names) == 10
    assert data.extra == {}


def test_cifar100_has_fine_labels_and_keeps_the_coarse_ones(tmp_path, rng):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    coarse, fine = rng.integers(0, 20, 5), rng.integers(20, 100, 5)
    (folder / "train.bin").write_bytes(cifar_records(images[:3], coarse[:3], fine[:3]))
    (folder / "test.bin").write_bytes(cifar_records(images[3:], coarse[3:], fine[3:]))
    data = load("cifar100", tmp_path, verify=False)
    np.testing.assert_array_equal(data.x_train, images[:3])
    np.testing.assert_array_equal(data.y_train, fine[:3])
    np.testing.assert_array_equal(data.y_test, fine[3:])
    np.testing.assert_array_equal(data.extra["coarse_test"], coarse[3:])
    assert data.num_classes == 100


def test_npz_of_any_name(tmp_path, rng):
    x_train, y_train, x_test, y_test = tiny_arrays(rng)
    names = np.array(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"])
    np.savez(
        tmp_path / "mine.npz",
        x_train=x_train,
        y_train=y_train.astype(np.int64)[:, None],
        x_test=x_test,
        y_test=y_test,
        class_names=names,
        mask=np.array([True, False]),
    )
    data = load("mine", tmp_path)
    assert data.num_classes == 11
    assert data.class_names == tuple(names)
    np.testing.assert_array_equal(data.x_train[..., 0], x_train)
    np.testing.assert_array_equal(data.y_train, y_train)
    np.testing.assert_array_equal(data.extra["mask"], [True, False])


def test_published_files_come_before_an_archive(tmp_path, rng):
    arrays = tiny_arrays(rng)
    write_idx(tmp_path / "mnist", arrays)
    np.savez(tmp_path / "mnist.npz", x_train=arrays[2], y_train=arrays[3], x_test=arrays[2], y_test=arrays[3])
    assert len(load("mnist", tmp_path, verify=False).x_train) == 5


def test_digits_are_all_there_once_and_always_the_same():
    from sklearn.datasets import load_digits

    data, again = load("digits"), load("digits")
    np.testing.assert_array_equal(data.x_train, again.x_train)
    assert (len(data.x_train), len(data.x_test), data.max_value) == (1297, 500, 16)
    images, labels = load_digits(return_X_y=True)
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    ours = np.concatenate([x.reshape(1797, 64), y[:, None]], axis=1)
    theirs = np.concatenate([images, labels[:, None]], axis=1).astype(np.int64)
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    # Both parts hold every class in fair shares: expected 50 a class among the 500.
    assert np.bincount(data.y_test).min() > 50 - 4 * np.sqrt(50)


def test_normalise_against_the_formula(rng):
    images = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    got = normalise(images, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    want = (images.astype(np.float64) / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_default_normalisation_has_the_training_moments(tmp_path, rng):
    x = (rng.uniform(size=(50, 4, 4, 3)) ** [1, 2, 3] * 255).astype(np.uint8)
    y = np.zeros(50, np.int32)
    np.savez(tmp_path / "mine.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    data = load("mine", tmp_path)
    train = data.normalise(data.x_train).astype(np.float64)
    np.testing.assert_allclose(train.mean(axis=(0, 1, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=(0, 1, 2)), 1.0, rtol=1e-6)
    scaled = x[:40] / 255
    moments = {"mean": scaled.mean(axis=(0, 1, 2)), "std": scaled.std(axis=(0, 1, 2))}
    np.testing.assert_allclose(data.normalise(x[40:]), normalise(x[40:], **moments), rtol=1e-5, atol=1e-6)


@pytest.mark.needs_data
def test_fashion_mnist_archive_holds_the_published_bytes(data_dir):
    data = load("fashion_mnist", data_dir)
    assert (len(data.x_train), len(data.x_test), data.num_classes) == (60000, 10000, 10)
    assert (np.bincount(data.y_train) == 6000).all()
    arrays = (data.x_train[..., 0], data.y_train.astype(np.uint8), data.x_test[..., 0], data.y_test.astype(np.uint8))
    digests = [hashlib.sha256(idx_bytes(array)).hexdigest() for array in arrays]
    assert digests == list(SOURCES["fashion_mnist"].sha256.values())


@pytest.mark.needs_data
def test_cifar10_subset_archive(data_dir):
    data = load("cifar10_10k", data_dir)
    assert data.x_train.shape == data.x_test.shape == (10000, 32, 32, 3)
    assert data.class_names == SOURCES["cifar10"].class_names
    assert (~data.extra["lossless_test"]).sum() == 27
    assert not data.verified
