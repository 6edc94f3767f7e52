"""What a claim, a table, a report and a page refuse, and the words in which they do."""

import re

import pytest

from verax.report import Claim, Criterion, Report, Table, load_report, write_html

pytestmark = pytest.mark.bad_input

RULE = Criterion("at least 0.95", lambda measured, standard_error: measured >= 0.95)


def claim(**changes):
    fields = {
        "statement": "A claim",
        "source": "abstract",
        "published": None,
        "measured": 0.97,
        "standard_error": 0.01,
        "seeds": 3,
        "evidence": "real data",
        "criterion": RULE,
    }
    return Claim(**{**fields, **changes})


def report(**changes):
    fields = {"title": "T", "citation": "C", "claims": [], "tables": {}, "figures": {}, "config": {}, "environment": {}}
    return Report(**{**fields, "seconds": 1.0, **changes})


CASES = [
    (lambda: claim(statement=""), "statement: got ''"),
    (lambda: claim(evidence="hearsay"), "evidence: got 'hearsay'"),
    (lambda: claim(seeds=-1), "seeds: got -1"),
    (lambda: claim(seeds=2.5), "seeds: got 2.5"),
    (lambda: claim(standard_error=-0.1), "standard_error: got -0.1"),
    (lambda: claim(verdict="proved"), "verdict: got 'proved'"),
    (lambda: claim(verdict="not reproduced"), "need 'reproduced', which the criterion gives"),
    (lambda: claim(measured=0.5, verdict="reproduced"), "need 'not reproduced', which the criterion gives"),
    (lambda: claim(verdict="analogue only"), "need 'reproduced', which the criterion gives"),
    (lambda: claim(measured=None), "where measured is None"),
    (lambda: claim(criterion=Criterion("words only")), "criterion: got one without a test"),
    (lambda: Criterion("words only").decide(1.0, None), "test: got None"),
    (lambda: Criterion("", lambda measured, error: True), "text: got ''"),
    (lambda: Criterion("x", lambda measured, error: True, when_met="not reproduced"), "when_met: got 'not reproduced'"),
    (lambda: Table(("a", "b"), [(1, 2), (1,)]), "rows[1]: got 1 entries; need 2"),
    (lambda: Table(("a",), [([1, 2],)]), "rows[0]: got list"),
    (lambda: Table(("a",), [(1,)]).column("b"), "name: got 'b'"),
    (lambda: report(seconds=-1.0), "seconds: got -1.0"),
    (lambda: report(captions={"nothing": "words"}), "captions: got ['nothing']"),
    (lambda: report(config=3), "config: got int"),
    (lambda: write_html([], "unused.html"), "reports: got none"),
    (lambda: load_report("no/such/folder"), "folder: got 'no/such/folder' without report.json"),
]


@pytest.mark.parametrize(("call", "message"), CASES, ids=[message for _, message in CASES])
def test_refusal(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_another_format_is_refused(tmp_path):
    (tmp_path / "report.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="a report of format 99; need format 1"):
        load_report(tmp_path)
