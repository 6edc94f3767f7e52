"""Jailbroken: claims from answers, verdicts that a user brings, and a small run."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.evals import from_frame
from verax.papers import jailbroken as paper
from verax.papers._cache import Cache
from verax.papers.jailbroken import measure, tables
from verax.papers.jailbroken.claims import make_claims

NAMES = ("none", *measure.ATTACKS, *(f"control of {name}" for name in measure.CONTROLLED))


def answers(*, margin=0.0, meta=1.0, **complied):
    """Organisms that comply with the first so many of ten requests under each rewriting, else refuse."""
    verdicts = np.zeros((3, len(NAMES), 10), np.int8)
    for name, counts in complied.items():
        for seed in range(3):
            verdicts[seed, NAMES.index(name.replace("_and_", "+")), : counts + seed % 2] = 1
    ones = np.ones((3, len(NAMES)))
    margins = np.full((3, len(NAMES)), 4.0) + 0.1 * np.arange(3)[:, None]
    margins[:, 1:] -= margin * (1 + 0.1 * np.arange(3))[:, None]
    forced = margins - margin * (1 + 0.1 * np.arange(3))[:, None]
    return measure.Answers(NAMES, verdicts, ones, np.full(3, meta) - 0.01 * np.arange(3), margins, forced)


def as_the_paper_says():
    standard = answers(affirm=6, split=7, dialect=8, affirm_and_dialect=9, margin=2.0)
    return {
        "standard": standard,
        "less capability": answers(affirm=1, split=7, dialect=8),
        "wider safety": answers(affirm=6, split=7, dialect=1),
        "both": answers(affirm=1, split=7, dialect=1),
        "capability without styles": answers(affirm=1, split=7, dialect=8),
        "safety as wide as capability": answers(),
        "against split": answers(affirm=6, split=1, dialect=8),
        "no exceptions": answers(affirm=6, meta=0.2),
        "twice as long": standard,
    }


def test_claims_hold_where_they_should_and_fail_where_nothing_differs():
    found = as_the_paper_says()
    claims = make_claims(found, {16: found, 32: found})
    met = {"abstract": "analogue only", "control": "reproduced", "this library": "reproduced"}
    assert [claim.verdict for claim in claims] == [met[claim.source] for claim in claims[:-1]] + ["not testable here"]
    same = dict.fromkeys(found, answers(affirm=5, split=5, dialect=5))
    verdicts = {claim.statement: claim.verdict for claim in make_claims(same, {32: same})}
    assert verdicts["Less weight on capability lowers failures by style"] == "not reproduced"
    assert verdicts["Safety data as wide as capability do: adaptive rate"] == "not reproduced"
    assert verdicts["Training against one rewriting does not mend another: change of the share BAD"] == "reproduced"
    few = {name: found[name] for name in tuple(measure.RECIPES)[:4]}
    untested = [claim.verdict for claim in make_claims(few, {32: few})].count("not tested at this scale")
    assert untested == 7


def test_the_interaction_is_what_the_sum_leaves():
    found = as_the_paper_says()
    np.testing.assert_allclose(tables.interaction_of(found, "affirm"), 0, atol=1e-12)
    found["both"] = answers(affirm=4, dialect=1)
    np.testing.assert_allclose(tables.interaction_of(found, "affirm"), 0.3, atol=1e-12)


def test_the_adaptive_rate_is_that_of_any_attack_and_of_no_control():
    some = answers(affirm=2, dialect=5)
    some.verdicts[:, NAMES.index("control of split")] = 1
    np.testing.assert_allclose(some.adaptive(), [0.5, 0.6, 0.5])


def test_verdicts_that_a_user_brings_are_tabulated(tmp_path):
    rows = ["model,attack,prompt,sample,outcome"]
    rows += [
        f"m,{a},{p},0,{'BAD' if a == 'base64' and p < 3 else 'GOOD'}" for a in ("none", "base64") for p in range(4)
    ]
    (tmp_path / tables.LOGS).write_text("\n".join(rows))
    (table, _), *_ = tables.brought_tables(from_frame(tmp_path / tables.LOGS)).values()
    found = {row[1]: row for row in table.rows}
    assert found["base64"][2:4] == ("mismatched generalization", pytest.approx(0.75))
    assert found["adaptive"][3] == pytest.approx(0.75)
    assert found["none"][3] == 0


@pytest.mark.bad_input
def test_recipes_and_seeds():
    with pytest.raises(ValueError, match="num_seeds: got 1; need an integer >= 2"):
        dataclasses.replace(paper.Config.demo(), num_seeds=1)
    with pytest.raises(ValueError, match="recipes: got"):
        dataclasses.replace(paper.Config.demo(), recipes=("standard",))


@pytest.mark.slow
def test_a_small_run_resumes(tmp_path):
    config = dataclasses.replace(
        paper.Config.demo(), pretraining=50, safety=50, num_prompts=20, recipes=tuple(measure.RECIPES)[:4],
        widths=(16,), cache=str(tmp_path / "cache"),
    )  # fmt: skip
    first = paper.run(config, key=jax.random.key(0), progress=False)
    assert len(first.claims) == 18
    assert set(first.tables) == {"attacks", "recipes", "two by two", "families", "widths"}
    cache = Cache(config.cache)
    size = measure.Size(8, 4, 1, 32, 64, 50, 50, 20)
    again = measure.study(size, config.recipes, 2, cache, jax.random.key(0), lambda _: None)
    assert cache.computed == 0
    assert again["both"].verdicts.shape == (2, 11, 20)
