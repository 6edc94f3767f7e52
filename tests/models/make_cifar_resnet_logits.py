"""Freeze logits of the stored CIFAR ResNets, computed by PyTorch in double precision.

Run where torch is installed (2.13.0 was used): ``python make_cifar_resnet_logits.py DATA_FOLDER``.
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as functional

NUM_IMAGES = 16


def logits(arrays, num_blocks, x, *, train):
    weights = {name: torch.tensor(arrays[name]).double() for name in arrays.files}

    def batch_norm(x, name):
        mean, variance = weights[f"{name}.running_mean"].clone(), weights[f"{name}.running_var"].clone()
        scale, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.batch_norm(x, mean, variance, scale, bias, training=train, eps=1e-5)

    x = torch.relu(batch_norm(functional.conv2d(x, weights["conv1.weight"], padding=1), "bn1"))
    for layer in (1, 2, 3):
        for index in range(num_blocks):
            name, stride = f"layer{layer}.{index}", 2 if layer > 1 and index == 0 else 1
            y = functional.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = functional.conv2d(torch.relu(batch_norm(y, f"{name}.bn1")), weights[f"{name}.conv2.weight"], padding=1)
            if stride == 2:
                added = x.shape[1] // 2
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
            x = torch.relu(batch_norm(y, f"{name}.bn2") + x)
    return functional.linear(x.mean((2, 3)), weights["linear.weight"], weights["linear.bias"]).numpy()


def main(folder):
    images = np.load(folder / "cifar10_10k.npz")["x_test"][:NUM_IMAGES] / 255
    x = (images - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    x = torch.tensor(x).permute(0, 3, 1, 2)
    frozen = {}
    for depth in (20, 32):
        arrays = np.load(folder / f"resnet{depth}_cifar10.npz")
        for mode in ("evaluation", "training"):
            frozen[f"resnet{depth}_{mode}"] = logits(arrays, (depth - 2) // 6, x, train=mode == "training")
    np.savez(pathlib.Path(__file__).with_name("cifar_resnet_logits.npz"), **frozen)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
