"""What every registered paper holds, and how one is found and run."""

import dataclasses
import inspect
import json
import pathlib

import pytest

import verax.papers
from verax.papers import Steps
from verax.report._text import to_plain

ROOT = pathlib.Path(__file__).parents[2]
LIMITS = {"demo": 45, "laptop": 3600, "full": float("inf")}


@pytest.mark.parametrize("name", verax.papers.names())
def test_configurations(name):
    paper = verax.papers.load(name)
    assert dataclasses.is_dataclass(paper.Config)
    assert paper.Config.__dataclass_params__.frozen
    for scale in verax.papers.SCALES:
        config = getattr(paper.Config, scale)()
        assert type(config) is paper.Config
        assert 0 < config.planned_seconds <= LIMITS[scale]
        json.dumps(to_plain(config))
        assert hash(config) == hash(getattr(paper.Config, scale)())


@pytest.mark.parametrize("name", verax.papers.names())
def test_run_has_the_signature_of_the_contract(name):
    parameters = inspect.signature(verax.papers.load(name).run).parameters
    assert list(parameters) == ["config", "key", "data", "progress"]
    assert parameters["config"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert all(parameters[argument].kind is inspect.Parameter.KEYWORD_ONLY for argument in ("key", "data", "progress"))
    assert parameters["data"].default is None
    assert parameters["progress"].default is True


@pytest.mark.parametrize("name", verax.papers.names())
def test_every_paper_has_a_page(name):
    assert (ROOT / "docs" / "papers" / f"{name}.md").is_file()


def test_a_paper_is_an_attribute_of_the_package():
    assert set(verax.papers.names()) <= set(dir(verax.papers))
    with pytest.raises(AttributeError, match="no_such_paper"):
        verax.papers.no_such_paper  # noqa: B018


@pytest.mark.bad_input
def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="paper: got 'nothing'; need one of 'gcv'"):
        verax.papers.load("nothing")
    with pytest.raises(ValueError, match="paper: got 'nothing'"):
        verax.papers.reproduce("nothing", key=None)
    with pytest.raises(ValueError, match="scale: got 'huge'; need one of 'demo', 'laptop', 'full'"):
        verax.papers.reproduce("gcv", scale="huge", key=None)


def test_the_clock_stops_with_the_block():
    with Steps("title", 1, show=False) as steps:
        steps("only")
        running = steps.seconds
    stopped = steps.seconds
    assert 0 <= running <= stopped == steps.seconds


def test_steps_are_a_bar_in_a_terminal_and_lines_elsewhere(capfd, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Steps("title", 1) as steps:
        steps("only")
    captured = capfd.readouterr()
    assert "1/1" in captured.err
    assert captured.out == ""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    with Steps("title", 2) as steps:
        steps("kernels")
        steps("risks")
    assert capfd.readouterr().err.splitlines() == ["title [1/2] kernels (0 s)", "title [2/2] risks (0 s)"]
