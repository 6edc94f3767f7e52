"""Learning-augmented algorithms: schedules of recorded requests."""

import pathlib

import numpy as np

from .errors import schedule_ratios


def image_requests(folder: pathlib.Path, num_blocks: int) -> np.ndarray:
    """Mean ratio of each schedule on image-generation requests in order of arrival, ``[schedule, block]``."""
    with np.load(folder / "alibaba_genai_requests.npz", allow_pickle=False) as archive:
        numbers = [archive[n] for n in ("prompt_length", "num_images_per_prompt", "num_inference_steps", "num_lora")]
        kinds = [archive[n] for n in ("model", "type", "user_group")]
        seconds = archive["exec_time_s"].astype(np.float64)
    filled = [np.log1p(np.where(np.isfinite(column), column, np.nanmedian(column))) for column in numbers]
    flags = [(kind[:, None] == np.unique(kind)[:30]).astype(np.float64) for kind in kinds]
    return _by_fitted_sizes(np.concatenate([np.stack(filled, axis=1), *flags], axis=1), seconds, num_blocks)


def language_requests(folder: pathlib.Path, num_blocks: int) -> np.ndarray:
    """The same on requests to a language model: generated tokens predicted from the length of the context."""
    with np.load(folder / "azure_llm_trace.npz", allow_pickle=False) as archive:
        context, generated = (archive[f"conv_{name}_tokens"].astype(np.float64) for name in ("context", "generated"))
    logs = np.log1p(context)
    return _by_fitted_sizes(np.stack([logs, logs**2], axis=1), generated, num_blocks)


def _by_fitted_sizes(features: np.ndarray, sizes: np.ndarray, num_blocks: int) -> np.ndarray:
    """Fit the logarithm of the size linearly on the first half; schedule the second half, in batches of 50, by it."""
    kept = np.isfinite(sizes) & (sizes > 0)
    features, sizes = np.concatenate([np.ones((int(kept.sum()), 1)), features[kept]], axis=1), sizes[kept]
    half = len(sizes) // 2
    fitted, *_ = np.linalg.lstsq(features[:half], np.log(sizes[:half]), rcond=1e-8)
    predicted = np.exp(features[half:] @ fitted)
    num = len(predicted) // 50 * 50
    ratios = schedule_ratios(sizes[half:][:num].reshape(-1, 50), predicted[:num].reshape(-1, 50))
    return np.stack([block.mean(1) for block in np.array_split(ratios, num_blocks, axis=1)], axis=1)
