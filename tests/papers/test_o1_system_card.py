"""o1 System Card: every published value is cited, and the estimators' claims follow from simulations."""

import dataclasses

import jax
import pytest

from verax.papers import o1_system_card
from verax.papers.o1_system_card.preparedness import FILE, preparedness_tables
from verax.papers.o1_system_card.published import FLAGGED, PUBLISHED, read_cells


def test_every_published_value_has_its_citation():
    for cell in PUBLISHED:
        assert cell.source
        assert cell.page
        assert cell.date
        assert 0 <= cell.value <= 1
    keys = [(cell.evaluation, cell.metric, cell.model, cell.source) for cell in PUBLISHED]
    assert len(set(keys)) == len(keys)
    assert sum(FLAGGED.values()) == 811


@pytest.mark.bad_input
def test_a_cell_without_citation_is_refused(tmp_path):
    header = "evaluation,metric,model,value,items,source,page,date\n"
    (tmp_path / "o1_cells.csv").write_text(header + "XSTest,not_overrefuse,x,0.9,250,,3,2024-01-01\n")
    with pytest.raises(ValueError, match="row 1: no source"):
        read_cells(tmp_path / "o1_cells.csv")
    (tmp_path / "o1_cells.csv").write_text(header + "XSTest,not_overrefuse,x,1.9,250,card,3,2024-01-01\n")
    with pytest.raises(ValueError, match=r"a rate in \[0, 1\]"):
        read_cells(tmp_path / "o1_cells.csv")


PREPAREDNESS = "category,indicator,mitigated,successes,trials,medium,high,critical\n"


def test_levels_before_and_after_mitigations(tmp_path):
    rows = "cyber,tasks,no,50,100,0.1,0.4,0.9\ncyber,tasks,yes,5,100,0.1,0.4,0.9\nbio,steps,no,0,100,0.1,0.4,inf\n"
    (tmp_path / FILE).write_text(PREPAREDNESS + rows)
    tables = preparedness_tables(tmp_path / FILE)
    levels, caption = tables["preparedness"]
    assert list(levels.rows) == [("cyber", "HIGH", "MEDIUM"), ("bio", "LOW", "LOW"), ("overall", "HIGH", "MEDIUM")]
    assert "May be deployed: yes; developed: yes." in caption
    estimates = {row[1]: row[5:7] for row in tables["indicators"][0].rows}
    assert estimates["tasks, post-mitigation"] == ("LOW", "MEDIUM")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("cyber,tasks,maybe,1,10,0.1,0.4,0.9", "mitigated 'maybe'; need yes or no"),
        ("cyber,tasks,no,11,10,0.1,0.4,0.9", "11 of 10; need successes from 0 to trials"),
        ("cyber,tasks,no,1,10,low,0.4,0.9", "need two counts and three rates"),
        ("cyber,,no,1,10,0.1,0.4,0.9", "no indicator"),
        ("", "without rows"),
    ],
)
def test_counts_that_are_none(tmp_path, row, message):
    (tmp_path / FILE).write_text(PREPAREDNESS + row)
    with pytest.raises(ValueError, match=message):
        preparedness_tables(tmp_path / FILE)


@pytest.mark.slow
def test_a_small_run(tmp_path):
    header = "evaluation,metric,model,value,items,source,page,date\n"
    (tmp_path / "o1_cells.csv").write_text(header + "XSTest,not_overrefuse,mine,0.9,250,own logs,1,2024-01-01\n")
    config = dataclasses.replace(o1_system_card.Config.demo(), num_repeats=60)
    report = o1_system_card.run(config, key=jax.random.key(0), data=tmp_path, progress=False)
    verdicts = {claim.statement: claim.verdict for claim in report.claims}
    assert verdicts["The usual limits (Wald) do not: least coverage"] == "reproduced"
    assert verdicts["o1 refuses and complies as the card says"] == "not testable here"
    row = report.tables["published cells"].rows[-1]
    assert row[2] == "mine"
    assert row[5] < 0.9 < row[6]
