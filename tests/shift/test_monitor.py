"""The monitor: streams day by day, late labels, alerts with their error rate."""

import jax
import numpy as np
import pytest

import verax.shift as vs

KEY = jax.random.key(0)


def families(rng, num, sets=5):
    """Families with their own slope and offset: exchangeable, and alike inside."""
    scores = rng.uniform(0, 1, (num, sets))
    errors = np.clip(0.2 + 0.5 * scores + 0.06 * rng.normal(size=(num, 1)) + 0.01 * rng.normal(size=(num, sets)), 0, 1)
    return scores, errors, np.repeat(np.arange(num), sets).astype(str)


def stream(rng, num, strength):
    labels = rng.integers(0, 4, num)
    return strength * np.eye(4)[labels] + rng.normal(size=(num, 4)), labels


def test_monitor(rng):
    logits, labels = stream(rng, 1600, 3.0)
    monitor = vs.ShiftMonitor(vs.average_confidence, chunk_size=200, num_resamples=10, key=KEY).fit(logits, labels)
    good, good_labels = stream(rng, 400, 3.0)
    bad, bad_labels = stream(rng, 500, 0.5)
    table = monitor.estimate(np.concatenate([good, bad]))
    assert table.stop.tolist() == [200, 400, 600, 800, 900]  # the last chunk is short, and there
    assert table.alert.tolist() == [False, False, True, True, True]
    assert np.all(table.lower <= table.estimate)
    assert np.all(table.estimate <= table.upper)
    piecewise = monitor.estimate(iter([good[:130], good[130:], bad]))
    for name in ("start", "stop", "score", "estimate", "lower", "upper", "evidence", "label_evidence", "alert"):
        np.testing.assert_array_equal(getattr(piecewise, name), getattr(table, name))
    late = table.realize(np.concatenate([good_labels, bad_labels[:250]]), np.concatenate([good, bad[:250]]).argmax(1))
    assert late.num_labelled.tolist() == [200, 200, 200, 50, 0]
    assert np.isfinite(late.realized).tolist() == [True, True, True, True, False]
    wrong = bad.argmax(1) != bad_labels
    assert late.realized[2] == pytest.approx(wrong[:200].mean())
    assert late.realized[3] == pytest.approx(wrong[200:250].mean())
    assert len(late.rows()) == 5
    assert str(late).count("\n") == 5
    axes = late.plot()
    assert {text.get_text() for text in axes.get_legend().get_texts()} >= {"estimate", "alert", "realized"}


def test_monitor_refuses_where_the_calibration_does(rng):
    logits, labels = stream(rng, 1200, 3.0)
    scores, errors, names = families(np.random.default_rng(1), 10)
    calibration = vs.ErrorCalibration.fit(scores.ravel(), errors.ravel(), names)
    monitor = vs.ShiftMonitor(
        lambda *a: float(vs.average_confidence(*a)), chunk_size=100, calibration=calibration, num_resamples=5, key=KEY
    ).fit(logits, labels)
    far = stream(rng, 200, 3.0)[0]
    far[150] = np.nan
    table = monitor.estimate(far)
    assert table.status.tolist() == [vs.Status.OK, vs.Status.NON_FINITE]
    assert table.alert[1]
    assert np.isnan(table.estimate[1])


def confidence(val_logits, val_labels, logits):
    """A score in NumPy: fast, and none of the package's."""
    del val_logits, val_labels
    odds = np.exp(logits - logits.max(1, keepdims=True)).sum(1)
    return 1 - np.mean(1 / odds)


def small(rng, **options):
    monitor = vs.ShiftMonitor(confidence, **{"chunk_size": 50, "num_resamples": 2, "key": KEY, **options})
    return monitor.fit(*stream(rng, 600, 2.0))


def test_days_run_on_across_calls(rng, tmp_path):
    monitor, (logits, _) = small(rng), stream(rng, 230, 2.0)
    whole = monitor.estimate(logits)
    assert whole.stop.tolist() == [50, 100, 150, 200, 230]
    days = [monitor.update(part) for part in np.split(logits, [30, 60, 180])]
    assert [day.stop.tolist() for day in days] == [[], [50], [100, 150], [200]]
    days.append(monitor.update(logits[:0], flush=True))
    for name in ("start", "stop", "score", "evidence", "label_evidence"):
        np.testing.assert_array_equal(np.concatenate([getattr(day, name) for day in days]), getattr(whole, name))
    assert monitor.reset().update(logits).start[0] == 0
    # A monitor that was saved in the middle of a stream goes on.
    monitor.reset().update(logits[:120])
    monitor.save(tmp_path / "monitor.npz")
    with pytest.raises(ValueError, match=r"^score_fn: got None"):
        vs.ShiftMonitor.load(tmp_path / "monitor.npz")
    again = vs.ShiftMonitor.load(tmp_path / "monitor.npz", score_fn=confidence)
    np.testing.assert_array_equal(again.update(logits[120:]).evidence, whole.evidence[2:4])


def test_chunks_by_period(rng):
    monitor, (logits, labels) = small(rng, chunk_size=None, period=np.timedelta64(1, "D")), stream(rng, 100, 2.0)
    times = np.datetime64("2024-01-01T08") + np.arange(100) * np.timedelta64(1, "h")
    table = monitor.estimate(logits, timestamps=times)
    assert table.stop.tolist() == [24, 48, 72, 96, 100]
    assert table.begin[1] == np.datetime64("2024-01-02T08")
    pytest.importorskip("pandas")
    frame = table.realize(np.where(np.arange(100) < 24, labels, -1), logits.argmax(1)).to_frame()
    assert frame.status.tolist() == ["OK"] * 5
    assert np.isfinite(frame.realized).tolist() == [True] + [False] * 4
    with pytest.raises(ValueError, match=r"^timestamps: got None"):
        monitor.estimate(logits)
    with pytest.raises(ValueError, match=r"^timestamps: got a timestamp before"):
        monitor.estimate(logits, timestamps=times[::-1])


@pytest.mark.parametrize("labels", [["b", None, "a", "b"], [1, -1, 0, 1], [1.0, np.nan, 0.0, 1.0]], ids=str)
def test_labels_that_have_not_arrived_stay_missing(rng, labels):
    predicted = ["b", "b", "b", "b"] if isinstance(labels[0], str) else [1, 1, 1, 1]
    table = small(rng).estimate(stream(rng, 100, 2.0)[0])
    realized = table.realize(labels, predicted)
    assert realized.realized[0] == pytest.approx(1 / 3)
    assert np.isnan(realized.realized[1])
    assert realized.num_labelled.tolist() == [3, 0]


@pytest.mark.statistical
def test_alerts_on_streams_without_shift_and_delay_after_one():
    """At most alpha of 200 streams; a shift is found, the sooner the larger it is; easier streams raise no alert."""
    alarms, delays = 0, {1.5: [], 1.0: []}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        monitor = small(rng)
        alarms += bool(monitor.estimate(stream(rng, 600, 2.0)[0]).alert.any())
        if seed < 20:
            for strength, found in delays.items():
                shifted = np.concatenate([stream(rng, 200, 2.0)[0], stream(rng, 500, strength)[0]])
                alert = monitor.estimate(shifted).alert
                found.append(alert[4:].argmax() if alert[4:].any() else 10)
    assert alarms <= 0.05 * 200
    assert np.mean(delays[1.0]) < np.mean(delays[1.5]) < 6
    rng = np.random.default_rng(0)
    assert not small(rng).estimate(stream(rng, 600, 4.0)[0]).alert.any()


@pytest.mark.statistical
def test_label_shift_raises_an_alert_without_a_calibration(rng):
    logits, labels = stream(rng, 3000, 4.0)
    one_sided = logits[labels == 0][:300]
    assert small(rng, chunk_size=100).estimate(one_sided).alert.any()
