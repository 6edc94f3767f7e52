"""Golden kernels from neural-tangents itself, in float64; run with the interpreter of ``requirements.txt``.

For every network of ``tests/ntk/golden_networks.py`` the file holds the parameters, two sets of inputs and
the kernels ``NETWORK/kernel/CASE``, where the case names trace_axes, diagonal_axes and whether x2 is given. Each kernel
is computed by every implementation of neural-tangents that runs, with and without ``vmap_axes=0``; they must agree
before the Jacobian-contraction one is stored. ``NETWORK/implementations`` says which ones ran.
"""

import argparse
import pathlib
import sys
import warnings

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(ROOT / "tests" / "ntk")]

import golden_networks  # noqa: E402
from load import load  # noqa: E402

nt = load()
IMPLEMENTATIONS = ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES", "AUTO")
CASES = {  # trace_axes, diagonal_axes, x2 given
    "mean/same": ((-1,), (), False),
    "mean/cross": ((-1,), (), True),
    "full/same": ((), (), False),
    "full/cross": ((), (), True),
    "diagonal/cross": ((), (-1,), True),
}
CASES_OF_TWO_OUTPUT_AXES = {
    "trace12/cross": ((1, 2), (), True),
    "trace1/cross": ((1,), (), True),
    "trace1_diagonal2/cross": ((1,), (2,), True),
    "trace2_diagonal1/cross": ((-1,), (-2,), True),
}


def kernels_of_all_implementations(apply_fn, trace_axes, diagonal_axes, x1, x2, params):
    for name in IMPLEMENTATIONS:
        for vmap_axes in (None, 0):
            kernel_fn = nt.empirical_ntk_fn(
                apply_fn, trace_axes, diagonal_axes, vmap_axes, implementation=nt.NtkImplementation[name]
            )
            try:
                yield f"{name}:vmap_axes={vmap_axes}", np.asarray(jax.jit(kernel_fn)(x1, x2, params))
            except Exception as error:  # an implementation that does not know a primitive is a fact to record
                print(f"    {name} vmap_axes={vmap_axes}: {type(error).__name__}: {str(error)[:90]}")


def main(path):
    arrays = {}
    for index, (name, (apply_fn, make_params, make_inputs)) in enumerate(golden_networks.NETWORKS.items()):
        rng = np.random.default_rng([20220606, index])
        params = make_params(rng)
        x1 = make_inputs(rng, golden_networks.NUM_FIRST)
        x2 = make_inputs(rng, golden_networks.NUM_SECOND)
        arrays.update(golden_networks.flatten(params, f"{name}/params/"))
        arrays[f"{name}/x1"], arrays[f"{name}/x2"] = x1, x2
        cases = dict(CASES)
        if apply_fn(params, x1).ndim > 2:
            cases.update(CASES_OF_TWO_OUTPUT_AXES)
        ran = None
        for case, (trace_axes, diagonal_axes, cross) in cases.items():
            print(f"{name}/{case}")
            kernels = dict(
                kernels_of_all_implementations(apply_fn, trace_axes, diagonal_axes, x1, x2 if cross else None, params)
            )
            golden = kernels["JACOBIAN_CONTRACTION:vmap_axes=0"]
            for implementation, kernel in kernels.items():
                error = np.max(np.abs(kernel - golden)) / np.max(np.abs(golden))
                if kernel.shape != golden.shape or not error < 1e-12:
                    print(f"    {implementation} DISAGREES by {error:.1e}")
                    kernels[implementation] = None
            agreed = {implementation for implementation, kernel in kernels.items() if kernel is not None}
            ran = agreed if ran is None else ran & agreed
            assert {"JACOBIAN_CONTRACTION:vmap_axes=None", "NTK_VECTOR_PRODUCTS:vmap_axes=0"} <= agreed, agreed
            arrays[f"{name}/kernel/{case}"] = golden
        arrays[f"{name}/implementations"] = np.array(sorted(ran))
        print("    agree to 1e-12:", *sorted(ran))
    np.savez_compressed(path, **arrays)
    print(f"{path}: {len(arrays)} arrays, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests" / "ntk" / "neural_tangents_goldens.npz")
    main(parser.parse_args().out)
