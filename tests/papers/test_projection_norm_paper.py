"""Projection Norm's paper: text and its shifts, verdicts from measured sets, and configurations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax._numpy_random import numpy_generator
from verax.models import mlp
from verax.papers import projection_norm as paper
from verax.papers._measurements import Measurements
from verax.papers.projection_norm import measure as measuring
from verax.papers.projection_norm import scores, sets, text, text_claims, text_network, texts
from verax.papers.projection_norm.passes import make_anchors, passes_of
from verax.papers.projection_norm.setting import Setting

WORDS = "a stirring , funny and finally transporting film it's"


def test_words_are_lower_case_and_without_punctuation():
    assert texts.words_of("It's GOOD, case: 10/10!") == ["it's", "good", "case", "10", "10"]


@pytest.mark.parametrize("family", ["dropping", "typos"])
def test_a_shift_changes_about_its_share_of_words(family, rng):
    words = [f"word{i}" for i in range(1000)]
    found = texts.shifted(words, family, 0.3, rng)
    if family == "dropping":
        assert set(found) <= set(words)
        assert abs(len(found) - 700) < 60
    else:
        assert len(found) == 1000
        changed = [(a, b) for a, b in zip(words, found, strict=True) if a != b]
        assert abs(len(changed) - 300) < 90  # an exchange of two equal letters changes nothing
        assert all(sorted(a) == sorted(b) for a, b in changed)
    assert texts.shifted(words, family, 0.0, rng) == words
    assert texts.shifted(["one"], family, 1.0, rng)


def test_sentences_are_padded_cut_and_unknown_words_share_an_id():
    vocabulary = texts.Texts({}, {}, {"good": 2, "film": 3})
    rows = vocabulary.encode([["good", "unheard", "film"], ["good"] * 100])
    assert rows[0, :4].tolist() == [2, 1, 3, 0]
    assert (rows[1] == 2).all()


@pytest.mark.parametrize("name", text.TEXT_NETWORKS)
def test_padding_and_other_sentences_change_nothing(name):
    network, params = text_network.make_network(name, 20, jax.random.key(0))
    tokens = np.zeros((2, 40), np.int32)
    tokens[0, :5], tokens[1, :9] = [3, 4, 5, 6, 7], 8
    both = network(params, jnp.asarray(tokens))
    alone = network(params, jnp.asarray(tokens[:1]))
    np.testing.assert_allclose(both[:1], alone, atol=1e-5)
    other = params | {"embedding": params["embedding"].at[0].set(9.0)}  # the embedding of padding
    np.testing.assert_allclose(network(other, jnp.asarray(tokens)), both, atol=1e-5)
    assert bool(jnp.isfinite(network(params, jnp.zeros((1, 40), jnp.int32))).all())
    swapped = network(params, jnp.asarray(tokens[:1]).at[0, :2].set(jnp.array([4, 3])))
    assert bool(jnp.allclose(swapped, alone, atol=1e-6)) == (name == "embeddings")  # word order


def measured(offset: float) -> dict[str, np.ndarray]:
    family = np.array(["dropping"] * 10 + ["typos"] * 10 + ["amazon"] * 2 + ["imdb"] * 2 + ["yelp"] * 2)
    error = np.concatenate([np.linspace(0.1, 0.3, 20), np.full(6, 0.2)])
    natural = np.arange(26) >= 20
    return {
        "family": family, "strength": np.zeros(26), "error": error, "class_counts": np.full((26, 2), 2),
        "average confidence": error + 0.05 * natural, "retrained, parameter": 2 * error + offset * natural,
        "kernel": np.stack([np.ones(26), error]), "kernel, p-value": np.ones(26), "dispersion": np.full(26, np.nan),
    }  # fmt: skip


def test_a_line_of_the_synthetic_sets_is_judged_on_the_natural_ones():
    judged = text.judge_text(measured(0.4))
    assert judged["average confidence"].natural_error == pytest.approx(0.05)
    assert judged["retrained, parameter"].natural_error == pytest.approx(0.2)
    assert judged["kernel"].natural_error == pytest.approx(0)
    assert np.isnan(judged["dispersion"].r_squared)
    assert "kernel, p-value" not in judged


def test_the_verdict_on_text_follows():
    found = {"embeddings": [measured(0.02)] * 3, "transformer": [measured(0.4)] * 3}
    assert [claim.verdict for claim in text_claims.make_text_claims(found)] == ["reproduced", "not reproduced"]
    assert {claim.verdict for claim in text_claims.make_text_claims({})} == {"not tested at this scale"}
    tables = text_claims.make_text_tables(found)
    assert dict(tables["text errors, embeddings"][0].rows)["amazon"] == pytest.approx(0.2)
    assert {row[0] for row in tables["text, embeddings"][0].rows} >= {"average confidence", "kernel"}


@pytest.fixture(scope="module")
def stored():
    """A setting of noise, whose network is the same for all seeds."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 8, 8, 1), np.uint8)
    labels = rng.integers(0, 4, 400)
    network, params = mlp([64, 8, 4], key=jax.random.key(0))
    parts = (images[:100], images[100:200], labels[100:200], images[200:], labels[200:])
    return Setting(network, params, params, network, [], lambda x: x / np.float32(255), *parts, 4, stored=True)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(sets, "NAMES", ("brightness",))
    monkeypatch.setattr(scores.vs, "fit_temperature", lambda *_: 1.0)  # which a network of noise has none of
    config = dataclasses.replace(paper.Config.demo(), size=30, small_size=20, num_seeds=3, severities=(2,))
    return dataclasses.replace(config, other_sizes=(20, 90))


def test_draws_share_no_image_and_repeat_themselves(stored, few):
    draws = [sets.corrupted_sets(stored, few.target_sets, jax.random.key(1), number) for number in (0, 1, 1)]
    assert draws[0].family.tolist() == ["brightness", "clean"]
    clean = [{image.tobytes() for image in draw.images[1]} for draw in draws]
    assert len(clean[0]) == 30
    assert not clean[0] & clean[1]
    np.testing.assert_array_equal(draws[1].images, draws[2].images)


def test_other_sizes_are_parts_and_unions(stored, few, tmp_path):
    few = dataclasses.replace(few, cache=str(tmp_path))
    key, anchors = jax.random.key(1), make_anchors(stored, initial=False)
    extent = measuring.Extent(retrained=False, adversarial=False, tangents=False, initial=False)
    kept = Measurements(tmp_path / "rows")

    def measured_draw(number):
        return measuring.measure_draw(stored, anchors, few, key, number, extent, {"seed": number}, kept)

    found = [measured_draw(number) for number in range(3)]
    assert [sorted(m.sized) for m in found] == [[20, 90], [20], [20]]
    union = np.sum([m.corrupted.class_counts for m in found], axis=0)
    np.testing.assert_array_equal(found[0].sized[90].class_counts, union)
    np.testing.assert_allclose(found[0].sized[90].error, np.mean([m.corrupted.error for m in found], axis=0))
    assert (found[1].sized[20].class_counts.sum(1) == 20).all()
    assert (found[1].sized[20].class_counts <= found[1].corrupted.class_counts).all()
    assert [len(labels) for labels in found[1].corrupted.predicted()] == [30, 30]
    assert found[0].adversarial is None
    assert "kernel, initial features" not in found[0].corrupted.scores
    rebuilt = sets.label_shifted_sets(stored, few.target_sets, numpy_generator(jax.random.fold_in(key, 0), 1))
    wrong = [
        np.mean(passes_of(stored, images, False).logits.argmax(1) != labels)
        for images, labels in zip(rebuilt.images, rebuilt.labels, strict=True)
    ]
    np.testing.assert_allclose(found[0].label_shifted.error, wrong)
    computed = kept.computed
    again = measured_draw(0)
    assert kept.computed == computed
    np.testing.assert_array_equal(again.corrupted.scores["COT"], found[0].corrupted.scores["COT"])


def test_retraining_takes_the_recipe_of_the_held_out_corruptions_and_another_rate_is_measured_anew(
    stored, few, tmp_path, monkeypatch
):
    monkeypatch.setattr(sets, "NAMES", ("brightness", measuring.EXTRA[0]))
    trained = []

    def retrained(setting, retraining, images, key, *, nulls):
        del setting, key, nulls
        trained.append((retraining.learning_rate, len(images)))
        value = np.array([float(image.mean()) ** 2 for image in images])  # a score that tells sets apart
        noise = np.arange(len(images)) if retraining.learning_rate > 0.01 else value
        return {"value": np.stack([noise, value, value, value]), "null": np.zeros(4)}

    monkeypatch.setattr(measuring, "retrained", retrained)
    recipes = (("constant", 0.05, 4), ("constant", 0.005, 4))
    few = dataclasses.replace(few, other_sizes=(), severities=(1, 3, 5), size=20, recipes=recipes)
    extent = measuring.Extent(retrained=True, adversarial=False, tangents=False, initial=False)
    anchors, kept = make_anchors(stored, initial=False), Measurements(tmp_path / "rows")

    def corrupted(config, kept):
        return measuring.measure_draw(stored, anchors, config, jax.random.key(1), 0, extent, {}, kept).corrupted

    found = corrupted(few, kept)
    held_out = np.isin(found.family, (measuring.EXTRA[0], "clean"))
    assert found.recipe == measuring.best_row(
        np.stack([np.arange(9.0), found.scores["retrained, softmax"]]), found.error, held_out
    )
    tried = [rate for rate, _ in trained]
    assert set(tried) == {0.05, 0.005}
    assert [number for _, number in trained] == [6, 6, 3, 9]  # both on the held-out sets, then one on the others
    assert len(set(tried[2:])) == 1
    assert corrupted(few, Measurements(tmp_path / "rows")).recipe == found.recipe
    assert len(trained) == 4  # a run that resumes trains nothing
    other = dataclasses.replace(few, recipes=(("constant", 0.05, 4), ("constant", 0.004, 4)))
    corrupted(other, Measurements(tmp_path / "rows"))
    assert [rate for rate, _ in trained[4:5]] == [0.004]


def test_stored_networks_agree_on_the_sets_that_they_share():
    own = measuring.Sets(np.array(["blur", "clean"]), np.zeros(2), np.zeros(2), np.full((2, 2), 2), {"COT": np.ones(2)})
    one = measuring.Measurement(own, own, None, np.zeros(4), 0.0, {})
    other = one._replace(holdout_error=1.0)
    apart = {"corrupted": np.array([0.5, 0.25]), "label-shifted": np.array([0.5, 0.25])}
    asked = []

    def kept(first, second, number):
        asked.append((first, second, number))
        return apart

    found = measuring.with_agreement({"a": [one], "cnn": [one], "b": [other]}, {"a": "b", "b": "a"}, kept)
    assert asked == [("a", "b", 0)] * 2
    for name, partner in (("a", "b"), ("b", "a")):
        for part in (found[name][0].corrupted, found[name][0].label_shifted):
            assert part.scores[f"agreement with {partner}"].tolist() == [0.5, 0.25]
            assert set(part.scores) == {"COT", f"agreement with {partner}"}
    assert found["cnn"] == [one]
    assert measuring.with_agreement({"a": [one]}, {}, kept) == {"a": [one]}


def test_agreement_of_a_network_with_itself_is_complete(stored, few):
    found = measuring.measure_agreement(stored, stored, few.target_sets, jax.random.key(1), 0)
    assert {kind: part.tolist() for kind, part in found.items()} == {"corrupted": [0, 0], "label-shifted": [0] * 9}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"retrain_seeds": (1, 2)}, r"retrain_seeds: got \(1, 2\); need one number for each of"),
        ({"networks": ("vgg",)}, "networks: got 'vgg'; need one of"),
        ({"other_sizes": (5,)}, "other_sizes: got 5; need an integer >= 10"),
        ({"other_sizes": (300,)}, "other_sizes: got 300; need less than the size, 200, or a multiple up to 600"),
    ],
)
def test_configurations_that_make_no_sense(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(paper.Config.demo(), **fields)


@pytest.mark.bad_input
def test_text_without_its_file(tmp_path):
    with pytest.raises(ValueError, match=r"^data: got no file .*sentiment\.npz; need a folder"):
        texts.read_texts(tmp_path)
