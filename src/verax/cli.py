"""The command line: ``verax reproduce``, ``verax probe``, ``verax evals`` and ``verax doctor``.

JAX and everything that stands on it is imported by the command that needs it, so that ``verax --help`` answers at once.
"""

import contextlib
import pathlib
import sys
import traceback
from typing import Annotated, Literal

from verax._extras import extra

with extra("cli"):
    import tyro

_app = tyro.extras.SubcommandApp()


@_app.command
def reproduce(
    papers: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PAPER ...]")] = (),
    /,
    *,
    scale: Literal["demo", "laptop", "full"] = "demo",
    data: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
    out: Annotated[pathlib.Path, tyro.conf.arg(metavar="DIR")] = pathlib.Path("build/report"),
    seed: int = 0,
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> int:
    """Measure the claims of papers and write one page of results.

    The exit status is 0 if everything ran, whatever the verdicts; 1 if a paper failed to run; 2 for a name that is no
    paper, or processes that cannot join.

    Several processes, on one machine or many with a common folder, share the papers: start the same command in each.

    Args:
        papers: Papers to run, such as gcv; all of them if none is named.
        scale: demo takes 45 seconds on data bundled with a dependency; laptop at most an hour; full is the paper's own
            setting.
        data: Folder of data sets; the environment variable VERAX_DATA if it is not given. The demo needs none.
        out: Folder to write: index.html, and a folder for each paper.
        seed: Everything random in the run derives from it.
        coordinator: Address of process 0, the same for all; or "auto", without the two numbers, under Slurm, Kubernetes
            or Open MPI.
        num_processes: How many processes there are.
        process_id: Which one this is, from 0.
    """
    import verax.commands
    import verax.papers

    known = verax.papers.names()
    unknown = [name for name in papers if name not in known]
    if unknown:
        print(f"no such paper: {', '.join(unknown)}; the papers are: {', '.join(known)}", file=sys.stderr)
        return 2

    chosen = list(dict.fromkeys(papers or known))
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(verax.commands.joined(coordinator, num_processes, process_id))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        failed = _measure(place.share(chosen), scale=scale, data=data, out=out, seed=seed)
        place.wait()
        if place.number == 0:
            _write_page(chosen, out)
    if failed:
        print(f"failed to run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(papers: list[str], *, scale: str, data: pathlib.Path | None, out: pathlib.Path, seed: int) -> list[str]:
    """Run papers, save and print each report, and return those that failed."""
    import jax

    import verax.papers
    import verax.report
    from verax.commands._output import show

    failed = []
    for name in papers:
        (out / name / "report.json").unlink(missing_ok=True)  # so that the page shows this run's alone
        try:
            report = verax.papers.reproduce(name, scale=scale, key=jax.random.key(seed), data=data)
            report.save(out / name)
        except Exception:  # one paper that fails must not cost the others their report
            traceback.print_exc()
            failed.append(name)
            continue
        show(verax.report.terminal_table(report))
    return failed


def _write_page(papers: list[str], out: pathlib.Path) -> None:
    import verax.report
    from verax.commands._output import show

    saved = [out / name for name in papers if (out / name / "report.json").is_file()]
    if saved:
        page = verax.report.write_html([verax.report.load_report(folder) for folder in saved], out / "index.html")
        show(f"Report: {page}")


@_app.command
def probe(
    data: Annotated[pathlib.Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")],
    /,
    *,
    features: str | None = None,
    labels: str | None = None,
    target: float | None = None,
    compare: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DATA")] = None,
    fresh: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DATA")] = None,
    task: Literal["classification", "regression"] = "classification",
    groups: str | None = None,
    weights: str | None = None,
    metric: Literal["error", "balanced", "auc"] = "error",
    out: Annotated[pathlib.Path, tyro.conf.arg(metavar="DIR")] = pathlib.Path("build/probe"),
) -> int:
    """Say how good a representation is, how many labels would be enough, and whether to believe it.

    Prints one screen, and writes a card (index.html) and all numbers (probe.json). The exit status is 0 if the fit ran,
    whatever it found; 2 for files or arguments that cannot be used.

    Args:
        data: Features with labels: npz, npy (features; --labels names the file of labels), CSV or Parquet.
        features: Name of the array (npz), or of the columns, separated by commas (CSV, Parquet). By default the only
            two-dimensional array; all columns of numbers, or of lists of numbers, but the labels'.
        labels: Name of the array or column; for npy the file. By default the only array of one dimension, or the column
            "label", "labels", "y" or "target".
        target: Error to reach: how many examples would that take? (regression: mean squared error)
        compare: Another representation of the same examples, in the same order.
        fresh: Examples that nothing has seen, to test whether the features were trained on the labels of the fit.
        task: What the labels are.
        groups: Name of the array or column (for npy the file) with the group of each row, such as a person or a video:
            every error is then one on new groups.
        weights: Name of the array or column (for npy the file) with the weight of each row; there is no forecast then.
        metric: Number that the report leads with: the error, the mean of the classes' errors, or the area under the
            ROC curve.
        out: Folder to write.
    """
    from verax.commands import run_probe

    return run_probe(
        data,
        features=features,
        labels=labels,
        target=target,
        compare=compare,
        fresh=fresh,
        task=task,
        groups=groups,
        weights=weights,
        metric=metric,
        out=out,
    )


@_app.command
def evals(
    action: Annotated[Literal["summarize", "compare", "scorecard"], tyro.conf.Positional],
    logs: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="LOG ...")] = (),
    /,
    *,
    scorer: str | None = None,
    metric: str | None = None,
    filter: str | None = None,
    mapping: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    good: Annotated[str | None, tyro.conf.arg(metavar="VALUES")] = None,
    bad: Annotated[str | None, tyro.conf.arg(metavar="VALUES")] = None,
    cluster: Annotated[str | None, tyro.conf.arg(metavar="FIELD")] = None,
    outcome: Literal["good", "bad", "score"] | None = None,
    level: float = 0.95,
    paired: bool = False,
    unpaired: bool = False,
    folder: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
    out: Annotated[pathlib.Path, tyro.conf.arg(metavar="DIR")] = pathlib.Path("build/evals"),
) -> int:
    """Say which model is better, and put limits on what an evaluation tool measured.

    Reads logs of Inspect (.eval, .json), samples of lm-eval (.jsonl), and CSV, TSV, Parquet or JSON lines with a column
    for the prompt (prompt or id) and one for the verdict (correct or outcome). Prints the answer in sentences, then
    tables, and writes both as a page (index.html) and as JSON. The exit status is 2 for files or arguments that cannot
    be used.

    Args:
        action: summarize gives the rate of each model and attack; compare the differences of the models of two or more
            logs, paired by prompt where prompts match; scorecard levels and gates from a JSON file of indicators, each
            with category, thresholds, and a log or hits and trials.
        logs: Logs, or folders with the logs of one model each; one specification for a scorecard.
        scorer: Whose scores, for logs of Inspect with several; "name.key" for one entry of a score.
        metric: Metric of lm-eval's samples; by default acc, or the only one.
        filter: Filter of lm-eval's samples, where a task has several.
        mapping: JSON file from values to GOOD, BAD, UNCLEAR or MISSING.
        good: Values that are GOOD, separated by commas, such as C.
        bad: Values that are BAD, separated by commas, such as I,P,N.
        cluster: Field of the metadata of Inspect's samples that names the cluster of a prompt.
        outcome: Rate to report: good (correct), bad, or the mean score. By default bad where there are attacks, the
            score where there are only grades, else good.
        level: Coverage of the limits.
        paired: Compare by prompt, or fail; by default where prompts match.
        unpaired: Compare as independent runs, whatever the prompts.
        folder: Folder that the logs are in; all of its entries if none is named.
        out: Folder to write.
    """
    from verax.commands import run_evals

    return run_evals(
        action,
        logs,
        scorer=scorer,
        metric=metric,
        filter=filter,
        mapping=mapping,
        good=good,
        bad=bad,
        cluster=cluster,
        outcome=outcome,
        level=level,
        paired=paired,
        unpaired=unpaired,
        folder=folder,
        out=out,
    )


@_app.command
def doctor() -> int:
    """Print versions, devices, the state of the native code, and the data folder."""
    import verax._doctor

    print(verax._doctor.report_text())
    return 0


def main(args: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return _app.cli(prog="verax", description="How far can a model be trusted when the truth is missing?", args=args)
