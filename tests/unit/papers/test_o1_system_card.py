"""o1 System Card: every published value is cited, and the estimators' claims follow from simulations."""

import dataclasses

import jax
import pytest

from verax.papers import o1_system_card
from verax.papers._o1_published import FLAGGED, PUBLISHED, read_cells


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
