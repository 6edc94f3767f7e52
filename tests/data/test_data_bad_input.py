"""Files and arguments that must be refused, with a message that names the file or argument."""

import gzip

import numpy as np
import pytest

from support.image_files import IDX_FILES, cifar_records, idx_bytes, tiny_arrays, write_idx
from verax.data import load, normalise

pytestmark = pytest.mark.bad_input


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def _append(path):
    path.write_bytes(path.read_bytes() + b"\0")


def _wrong_magic(path):
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])


def _header_only(path):
    path.write_bytes(path.read_bytes()[:6])


def _empty(path):
    path.write_bytes(b"")


def _half_gzip(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])


def _gzip_bit_flip(path):
    data = bytearray(gzip.compress(path.read_bytes()))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_truncate, _append, _wrong_magic, _header_only, _empty, _half_gzip, _gzip_bit_flip])
@pytest.mark.parametrize("name", [IDX_FILES[0], IDX_FILES[3]])
def test_damaged_idx(tmp_path, rng, damage, name):
    write_idx(tmp_path / "mnist", tiny_arrays(rng))
    damage(tmp_path / "mnist" / name)
    with pytest.raises(ValueError, match=name):
        load("mnist", tmp_path, verify=False)


def test_other_contents_than_published(tmp_path, rng):
    write_idx(tmp_path / "mnist", tiny_arrays(rng))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.*SHA-256.*verify=False"):
        load("mnist", tmp_path)


def test_images_and_labels_exchanged(tmp_path, rng):
    write_idx(tmp_path / "mnist", tiny_arrays(rng))
    (tmp_path / "mnist" / IDX_FILES[1]).write_bytes((tmp_path / "mnist" / IDX_FILES[0]).read_bytes())
    with pytest.raises(ValueError, match=r"train-labels.*1 axes"):
        load("mnist", tmp_path, verify=False)


@pytest.mark.parametrize(
    ("position", "replacement", "message"),
    [
        (1, np.zeros(4, np.uint8), "5 images but 4 labels in the train part"),
        (3, np.full(2, 10, np.uint8), "labels 10 to 10 in the test part; need 0 to 9"),
        (2, np.zeros((2, 3, 3), np.uint8), "training and"),
    ],
)
def test_inconsistent_idx(tmp_path, rng, position, replacement, message):
    write_idx(tmp_path / "mnist", tiny_arrays(rng))
    (tmp_path / "mnist" / IDX_FILES[position]).write_bytes(idx_bytes(replacement))
    with pytest.raises(ValueError, match=message):
        load("mnist", tmp_path, verify=False)


@pytest.mark.parametrize("damage", [_truncate, _append, _empty])
def test_damaged_cifar(tmp_path, rng, damage):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    records = cifar_records(rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8), np.zeros(2), np.zeros(2))
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(records)
    damage(folder / "test.bin")
    with pytest.raises(ValueError, match=r"test\.bin.*3074"):
        load("cifar100", tmp_path, verify=False)


def test_missing_files_say_where_and_how(tmp_path, rng):
    write_idx(tmp_path / "mnist", tiny_arrays(rng))
    (tmp_path / "mnist" / IDX_FILES[2]).unlink()
    with pytest.raises(FileNotFoundError) as error:
        load("mnist", tmp_path)
    message = str(error.value)
    assert f"{tmp_path / 'mnist'}: no {IDX_FILES[2]}\n" in message
    assert f"{tmp_path / 'mnist.npz'}: no such file" in message
    assert "Download" in message


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"unknown\.npz(.|\n)*fashion_mnist, cifar10"):
        load("unknown", tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": None}, "need x_test too"),
        ({"x_train": np.zeros((5, 4, 3), np.float32)}, "x_train: got float32"),
        ({"x_train": np.zeros((5, 12), np.uint8)}, r"x_train: got uint8 \(5, 12\)"),
        ({"y_test": np.zeros(2, np.float32)}, "y_test: got float32"),
        ({"y_test": np.zeros((2, 10), np.int32)}, "y_test: got int32"),
        ({"y_test": np.array([0, -1])}, "labels -1 to 0"),
        ({"x_test": np.array([{}], dtype=object)}, r"mine\.npz, array 'x_test' of Python objects"),
    ],
)
def test_bad_archive(tmp_path, rng, arrays, message):
    names = ("x_train", "y_train", "x_test", "y_test")
    contents = dict(zip(names, tiny_arrays(rng), strict=True)) | arrays
    np.savez(tmp_path / "mine.npz", **{name: array for name, array in contents.items() if array is not None})
    with pytest.raises(ValueError, match=message):
        load("mine", tmp_path)


def test_archive_that_is_none(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"mine\.npz"):
        load("mine", tmp_path)


@pytest.mark.parametrize("name", ["", "../mnist", "a/b", None])
def test_names_are_not_paths(tmp_path, name):
    with pytest.raises(ValueError, match=r"^name"):
        load(name, tmp_path)


def test_no_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("VERAX_DATA", raising=False)
    with pytest.raises(ValueError, match="VERAX_DATA is not set"):
        load("mnist")
    with pytest.raises(ValueError, match="an existing folder"):
        load("mnist", tmp_path / "nowhere")


IMAGES = np.zeros((2, 3, 3, 1), np.uint8)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES.astype(np.float32), {}, "^images: got dtype float32"),
        (IMAGES[..., 0], {}, "^images: got shape"),
        (IMAGES, {"mean": [0.0, 0.0]}, "^mean: got shape"),
        (IMAGES, {"std": [1.0, 1.0]}, "^std: got shape"),
        (IMAGES, {"mean": [np.nan]}, "^mean"),
        (IMAGES, {"std": [0.0]}, "^std"),
        (IMAGES, {"max_value": 0}, "^max_value"),
    ],
)
def test_bad_normalisation(images, options, message):
    with pytest.raises(ValueError, match=message):
        normalise(images, **({"mean": [0.0], "std": [1.0]} | options))


def test_mean_without_std():
    with pytest.raises(ValueError, match=r"^mean, std"):
        load("digits").normalise(load("digits").x_test, mean=[0.0])
