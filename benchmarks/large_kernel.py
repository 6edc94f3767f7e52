"""The kernel of 20,000 Fashion-MNIST images from end to end on a small machine, and its risk against held-out images.

Run: ``python benchmarks/large_kernel.py [--num-samples 20000] [--out build/large_kernel]`` with VERAX_DATA set. One
logit of a random small CNN (56,000 parameters), in single precision. First by 2,048 sketched features, read row by row;
then exactly: the kernel as a job on disk, which goes on where it was if it is interrupted, and Lanczos on its file. GCV
of both stands beside the risk on 2,000 other images. Held-out predictions of the exact kernel come from conjugate
gradients, whose tolerance is recorded. Writes ``results/<device>/large_kernel.json``; seconds and peak memory are those
of the whole process, whose target is 45 minutes and 12 GiB on two cores.
"""

import argparse
import pathlib
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from _harness import environment, write

import verax.ntk as vn
import verax.spectral as vs
from verax.data import load
from verax.models import small_cnn

NUM_HELD_OUT, NUM_FEATURES, NUM_STEPS = 2_000, 2_048, 60
RELATIVE_RIDGES = np.geomspace(1e-5, 1e-2, 4)  # of the mean of the centred kernel's diagonal
TOLERANCE, MAX_PRODUCTS = 1e-3, 400


def images(num_samples):
    """Fitting and held-out images with one-hot labels."""
    data = load("fashion_mnist")
    x = jnp.asarray(data.normalise(np.concatenate([data.x_train[:num_samples], data.x_test[:NUM_HELD_OUT]])))
    y = np.eye(10, dtype=np.float32)[np.concatenate([data.y_train[:num_samples], data.y_test[:NUM_HELD_OUT]])]
    return x.reshape(len(x), 28, 28, 1), y


def held_out_risk(predictions, y):
    return float(np.mean(np.sum((predictions - y) ** 2, axis=1)))


def by_sketch(network, params, x, y, num_samples):
    """GCV and held-out risk of ridge regression on sketched features, at the relative ridges."""
    features = vn.ntk_features(network, params, x, sketch=vn.Rademacher(NUM_FEATURES), key=jax.random.key(1))
    features = np.asarray(features)
    fitted, other = features[:num_samples], features[num_samples:]
    spectrum = vs.feature_spectrum(fitted, y[:num_samples], keep_eigenvectors=False, block_rows=2_000)
    ridges = RELATIVE_RIDGES * spectrum.eigenvalues.sum()
    path = vs.risk_path(spectrum, ridges)
    centre, mean = fitted.mean(0), y[:num_samples].mean(0)
    centred = (fitted - centre).astype(np.float64)
    moments, moments_y = centred.T @ centred / num_samples, centred.T @ (y[:num_samples] - mean) / num_samples
    risks = []
    for ridge in ridges:
        weights = np.linalg.solve(moments + ridge * np.eye(NUM_FEATURES), moments_y)
        risks.append(held_out_risk((other - centre) @ weights + mean, y[num_samples:]))
    return rows_of(path, risks)


def rows_of(path, risks, **more):
    columns = {"ridge": path.ridge, "gcv": path.gcv, "standard_error": path.standard_error, "held_out": risks, **more}
    columns |= {"reliable": path.reliable, "df1": path.df1}
    return [{name: np.asarray(column[i]).item() for name, column in columns.items()} for i in range(len(risks))]


def conjugate_gradients(product, y, ridge):
    """Solve ``(K_c + n ridge) a = y`` for all columns at once; also the largest relative residual, and the products."""
    a, r = np.zeros_like(y), y.copy()
    p, squares = r.copy(), np.sum(r * r, axis=0)
    start, number = squares.copy(), 0
    while number < MAX_PRODUCTS and np.any(squares > TOLERANCE**2 * start):
        number += 1
        image = product(p) + len(y) * ridge * p
        step = squares / np.sum(p * image, axis=0)
        a, r = a + step * p, r - step * image
        squares, before = np.sum(r * r, axis=0), squares
        p = r + squares / before * p
    return a, float(np.sqrt(np.max(squares / start))), number


def exactly(network, params, x, y, num_samples, out, lap):
    """The same with the exact kernel: a job on disk, Lanczos on its file, conjugate gradients for held-out images."""
    fitted, other = x[:num_samples], x[num_samples:]
    kernel = vn.ntk_job(network, params, fitted, path=out / "kernel", output=0, progress=True)
    lap("kernel")
    cross = np.asarray(vn.ntk_job(network, params, other, fitted, path=out / "cross", output=0, progress=True))
    lap("kernel with held-out images")
    column_means = kernel.product(np.full((num_samples, 1), 1 / num_samples, np.float32))[:, 0]
    diagonal = np.asarray(vn.ntk_diagonal(network, params, fitted, output=0))
    ridges = RELATIVE_RIDGES * (diagonal.mean() - column_means.mean())
    spectrum = vs.kernel_spectrum(kernel, y[:num_samples], method="lanczos", num_steps=NUM_STEPS, key=jax.random.key(2))
    path, bounds = vs.risk_path(spectrum, ridges), vs.quadrature_bounds(spectrum, ridges)
    lap("Lanczos")

    def centred(v):
        product = kernel.product(v - v.mean(0))
        return product - product.mean(0)

    mean = y[:num_samples].mean(0)
    risks, residuals, products = [], [], []
    for ridge in ridges:
        dual, residual, number = conjugate_gradients(centred, y[:num_samples] - mean, ridge)
        dual -= dual.mean(0)  # centring the columns of the kernel with held-out images
        intercept = mean - column_means @ dual
        risks.append(held_out_risk(cross @ dual + intercept, y[num_samples:]))
        residuals.append(residual)
        products.append(number)
    lap("held-out risk")
    return rows_of(path, risks, residual=residuals, products=products, radau_over_gauss=bounds.upper / bounds.lower)


def main():
    """Run and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-samples", type=int, default=20_000)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/large_kernel"))
    options = parser.parse_args()
    seconds, clock = {}, time.perf_counter()

    def lap(name):
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()
        print(f"{name}: {seconds[name]:.0f} s", flush=True)

    x, y = images(options.num_samples)
    network, params = small_cnn(10, key=jax.random.key(0))
    sketched = by_sketch(network, params, x, y, options.num_samples)
    lap("sketched features")
    exact = exactly(network, params, x, y, options.num_samples, options.out, lap)
    for name, rows in (("sketched", sketched), ("exact", exact)):
        for row in rows:
            print(f"{name}: ridge {row['ridge']:.3g}, GCV {row['gcv']:.4f}, held out {row['held_out']:.4f}", flush=True)
    record = {
        "environment": environment(),
        "num_samples": options.num_samples,
        "num_held_out": NUM_HELD_OUT,
        "num_features": NUM_FEATURES,
        "num_steps": NUM_STEPS,
        "relative_ridges": RELATIVE_RIDGES,
        "sketched": sketched,
        "exact": exact,
        "seconds": {**seconds, "all": sum(seconds.values())},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "target": {"minutes": 45, "gib": 12},
    }
    print(f"{record['seconds']['all'] / 60:.1f} minutes, {record['peak_gib']:.1f} GiB")
    print(write("large_kernel", record))


if __name__ == "__main__":
    main()
