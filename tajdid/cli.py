"""The `tajdid` command. The one place that asks the clock and the environment, and hands both on as values.

Exit codes: 0 fine, 1 the work failed, 2 wrong usage or form, 3 done with rows or cases left aside,
4 refused for too little data.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from tajdid.books import billing_app
from tajdid.churn_commands import churn_app
from tajdid.company import init
from tajdid.console import (
    CompanyOption,
    JsonOption,
    chosen,
    console,
    day_of,
    home,
    now,
    print_frame,
    say,
    stop,
)
from tajdid.key_commands import keys_app
from tajdid.people_commands import people_app
from tajdid.report_commands import dashboard_pack, digest
from tajdid.running_commands import backup, serve, serve_demo

if TYPE_CHECKING:
    import polars as pl

    from pipelines.warehouse import Snapshot
    from tajdid.explain import Explanation
    from tajdid.workspace import Company

app = typer.Typer(
    name="tajdid",
    help="Subscription billing with revenue intelligence. Start with `tajdid demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
warehouse_app = typer.Typer(no_args_is_help=True, help="The warehouse: build it, look at it, ask it.")
conformance_app = typer.Typer(no_args_is_help=True, help="Run worked cases through the product.")
app.command()(init)
app.command()(dashboard_pack)
app.command()(digest)
app.command()(serve)
app.command()(backup)
app.add_typer(billing_app, name="billing")
app.add_typer(warehouse_app, name="warehouse")
app.add_typer(churn_app, name="churn")
app.add_typer(people_app, name="people")
app.add_typer(keys_app, name="keys")
app.add_typer(conformance_app, name="conformance")

SHOWN_ROWS = 1000
LocaleOption = Annotated[str, typer.Option(help="Language of the explanations: en or ar.")]
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with the file to read.")]


def main() -> None:
    """Run the command line; errors we foresee become one plain sentence on standard error."""
    from billing.store.migrations import NewerForm
    from tajdid.workspace import WorkspaceError

    try:
        app()
    except (WorkspaceError, NewerForm) as error:
        stop(str(error), 2)
    except KeyboardInterrupt:
        stop("Interrupted.", 1)


# --- demo and dashboard ---


@app.command()
def demo(
    is_served: Annotated[
        bool,
        typer.Option("--serve/--no-serve", help="Open the dashboard and the servers when they are built."),
    ] = True,
    port: Annotated[int, typer.Option(help="Port of the dashboard; taken ports are passed over.")] = 8501,
    customers: Annotated[int, typer.Option(min=1, help="Size of the generated company.")] = 2000,
) -> None:
    """Build both sample companies from nothing and serve the dashboard, with API, portal and admin screens.

    Example: tajdid demo --no-serve
    """
    from tajdid.demo import build_samples

    results = build_samples(home(), say, customers)
    table = Table("company", "result", "seconds", "peak MB (largest process)", "", title="Sample companies")
    for result in results:
        state = "current" if result.was_current else ("published" if result.is_published else "FAILED")
        peak = "" if result.was_current else str(result.peak_memory_mb)
        table.add_row(
            result.name,
            state,
            f"{result.seconds:.1f}",
            peak,
            Text("" if result.was_current else result.message),
        )
    console.print(table)
    if not all(result.is_published for result in results):
        raise SystemExit(1)
    if is_served:
        serve_demo(port)


@app.command(name="build-sample", hidden=True)
def build_sample_command(name: str, customers: int = 2000) -> None:
    """Build one sample company; the last line printed is the result as JSON."""
    from tajdid.demo import build_sample

    result = build_sample(home(), name, now(), say, customers)
    say(json.dumps(asdict(result)))
    raise SystemExit(0 if result.is_published else 1)


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="First port to try; with sign-in by OIDC the only one.")] = 8501,
    address: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine only with sign-in by OIDC.")
    ] = "127.0.0.1",
) -> None:
    """Serve the dashboard, without sign-in on this machine only.

    Example: tajdid dashboard --port 8600
    """
    from dashboard.people.settings import SettingsError, read_sign_in
    from tajdid.dashboard_server import command

    try:
        sign_in = read_sign_in(home())
    except SettingsError as error:
        stop(str(error), 2)
    why_not = sign_in.refusal(address)
    if why_not:
        stop(why_not, 2)
    # The identity provider sends readers back to one port.
    chosen_port = port if sign_in.kind == "oidc" else free_port(port)
    if sign_in.kind == "none":
        say("There is no sign-in: everybody at this machine sees everything.")
    say(f"Dashboard: http://localhost:{chosen_port}  (Ctrl+C ends it)")
    environment = os.environ | {"TAJDID_HOME": str(home())}
    try:
        raise SystemExit(subprocess.call(command(home(), chosen_port, address), env=environment))
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def free_port(port: int) -> int:
    """The first free port from this one on; without one the command ends."""
    free = next((candidate for candidate in range(port, port + 50) if _is_free(candidate)), None)
    if free is None:
        stop(f"No free port from {port} to {port + 49}; choose another with --port.", 1)
    return free


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# --- warehouse ---


@warehouse_app.command(name="build")
def build_warehouse(
    company: CompanyOption = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Show what each source gave, what was set aside and why.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Make all rows anew, also those that nothing happened to.")
    ] = False,
    locale: LocaleOption = "en",
) -> None:
    """Load the sources, build and test the models, score, and publish a new snapshot.

    A build adds to the last one where that comes to the same; --explain says whether it did.
    A build that fails anywhere leaves readers on the last good snapshot.

    Example: tajdid warehouse build --company retail --explain
    """
    from pipelines.run import build
    from tajdid.churn import score_step
    from tajdid.explain import of_listing
    from tajdid.workspace import build_request

    require_locale(locale)
    one = chosen(company)
    if not one.sources:
        stop(f"{one.folder / 'company.toml'} names no source; nothing was built.", 2)
    request = build_request(one, now(), is_full=full)
    result = build(request, score=score_step(one, request, say), progress=say)
    if result.status != "published":
        listing = one.folder / "logs" / f"rejects-{result.build_id}.csv"
        if explained and listing.is_file():
            print_explanation(of_listing(listing), locale)
        stop(f"Not published: {result.message}", 1)
    if explained:
        explain(company, locale)
    say(f"Published {result.build_id} in {result.seconds:.1f} s.")
    if result.rejected_rows:
        hint = "" if explained else "; `tajdid warehouse explain` or the data health page shows them"
        say(f"{result.rejected_rows:,} rows were set aside{hint}.")
        raise SystemExit(3)


@warehouse_app.command()
def explain(company: CompanyOption = None, locale: LocaleOption = "en") -> None:
    """Show what each source gave to the published snapshot, what was set aside, and why.

    Example: tajdid warehouse explain --company atlas --locale ar
    """
    from tajdid.explain import of_snapshot

    require_locale(locale)
    one = chosen(company)
    with published(one) as snapshot:
        print_explanation(of_snapshot(snapshot, [source.name for source in one.sources]), locale)


def require_locale(locale: str) -> None:
    if locale not in ("en", "ar"):
        stop(f"'{locale}' is no language of the explanations: write en or ar.", 2)


def print_explanation(found: Explanation, locale: str) -> None:
    from tajdid.explain import HEADINGS

    words = HEADINGS[locale]
    if not found.loads.is_empty():
        say(words["loads"])
        print_frame(found.loads)
    if found.way is not None:
        say(found.way.told(locale))
    if found.rejects.is_empty():
        say(words["nothing"])
        return
    say(words["rejects"])
    print_frame(found.rejects)
    for reason, meaning in found.reasons(locale).items():
        say(f"{reason}: {meaning}")


@contextmanager
def published(company: Company) -> Iterator[Snapshot]:
    """The snapshot that readers see, for the time of the block; without one the command ends."""
    from pipelines.warehouse import WarehouseError, open_snapshot

    try:
        snapshot = open_snapshot(company.folder)
    except WarehouseError as error:
        stop(str(error), 2)
    with snapshot:
        yield snapshot


@warehouse_app.command(name="export")
def export_marts(
    out: Annotated[Path, typer.Option("--out", help="The new folder; it must not exist yet.")],
    company: CompanyOption = None,
) -> None:
    """Write every mart of the published snapshot as Parquet, with a manifest of build, day and policy.

    The folder appears when all of it is written.

    Example: tajdid warehouse export --company atlas --out exports/2025-12-31
    """
    from tajdid.export import ExportError, export

    with published(chosen(company)) as snapshot:
        try:
            manifest = export(snapshot, out)
        except ExportError as error:
            stop(str(error), 1)
    rows = sum(table["rows"] for table in manifest["tables"])
    say(f"{len(manifest['tables'])} tables, {rows:,} rows of build {manifest['build_id']}: {out}")


@warehouse_app.command(name="docs")
def model_docs(
    company: CompanyOption = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the page on this machine only.")] = False,
    port: Annotated[int, typer.Option(help="First port to try.")] = 8610,
) -> None:
    """Write the documentation of the models and their columns as one page that loads nothing else.

    Example: tajdid warehouse docs --company atlas --serve
    """
    from tajdid.model_docs import DocsError, server, write
    from tajdid.workspace import PROJECT

    one = chosen(company)
    with published(one) as snapshot:
        path = snapshot.path
    try:
        page = write(PROJECT, path, one.folder / "docs")
    except DocsError as error:
        stop(str(error), 1)
    say(f"Written: {page}")
    if serve:
        free = free_port(port)
        say(f"Documentation: http://127.0.0.1:{free}  (Ctrl+C ends it)")
        with server(page.parent, free) as running, suppress(KeyboardInterrupt):
            running.serve_forever()


@warehouse_app.command(name="alternatives")
def alternatives_of_snapshot(
    company: CompanyOption = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only these settings.")] = None,
) -> None:
    """Work out the published figures under other definitions, and why figures of closed months changed.

    It takes a build's time again for every few alternatives, and changes no figure: run it after a build.

    Example: tajdid warehouse alternatives --company atlas --only trials --only pause
    """
    from pipelines.alternatives import write_alternatives
    from pipelines.policy import SETTINGS
    from pipelines.warehouse import WarehouseError

    unknown = sorted(set(only or ()) - set(SETTINGS))
    if unknown:
        stop(f"Unknown setting {', '.join(unknown)}. Known are: {', '.join(sorted(SETTINGS))}.", 2)
    one = chosen(company)
    try:
        path = write_alternatives(one.folder, say, only)
    except WarehouseError as error:
        stop(str(error), 2)
    say(f"policy.fct_policy_sensitivity and policy.fct_restatement_causes: {path.name}")


@warehouse_app.command()
def status(company: CompanyOption = None) -> None:
    """Tell which snapshot readers see, and how the last builds ended.

    Example: tajdid warehouse status --company atlas
    """
    from pipelines.warehouse import current

    one = chosen(company)
    path = current(one.folder)
    say(f"{one.name}: {path.name if path else 'no snapshot published yet: run `tajdid warehouse build`'}")
    log = one.folder / "logs" / "builds.jsonl"
    for line in log.read_text(encoding="utf-8").splitlines()[-5:] if log.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # broken off, as by a full disk
            continue
        message = entry.get("message") or ""
        say(f"  {entry['finished_at']}  {entry['status']:9}  {entry['seconds']:.1f} s  {message}")


@warehouse_app.command()
def sql(
    statement: Annotated[
        str | None, typer.Argument(help="One SELECT, EXPLAIN or DESCRIBE statement.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Read the statement from here.")
    ] = None,
    company: CompanyOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Answer one read-only statement from the published snapshot.

    Example: tajdid warehouse sql --company atlas "select * from marts.fct_mrr_months limit 5"
    """
    from pipelines.warehouse import ROW_LIMIT, WarehouseError, run_sql

    if (statement is None) == (file is None):
        stop("Give one statement, or one with --file.", 2)
    limit = ROW_LIMIT if as_csv else SHOWN_ROWS
    try:
        asked = statement or (file.read_text(encoding="utf-8") if file else "")
        frame = run_sql(chosen(company).folder, asked, limit + 1)
    except WarehouseError as error:
        stop(str(error), 2)
    if as_csv:
        sys.stdout.write(_csv(frame.head(limit)))
    else:
        print_frame(frame.head(limit))
    if frame.height > limit:
        more = "narrow the statement" if as_csv else f"--csv prints up to {ROW_LIMIT:,}"
        print(f"The first {limit:,} rows; there are more: {more}.", file=sys.stderr)


# --- conformance ---


@conformance_app.command(name="billing")
def conformance_billing(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    as_json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 when any case is unsupported.")] = False,
) -> None:
    """Run billing cases (form billing-case/1) through the engine.

    Example: tajdid conformance billing cases.json
    """
    from tajdid.conformance.billing import run

    raise SystemExit(run(files, as_json=as_json, strict=strict))


@conformance_app.command(name="analytics")
def conformance_analytics(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)], as_json: JsonOption = False
) -> None:
    """Run analytics cases (form analytics-cases/1) through the models.

    Example: tajdid conformance analytics cases.json --json
    """
    from tajdid.conformance.analytics import run

    raise SystemExit(run(files, as_json=as_json))


@conformance_app.command(name="periods")
def conformance_periods(
    folder: Folder,
    as_of: Annotated[str, typer.Option(help="The as-of day.")],
    out: Annotated[Path | None, typer.Option(help="Write the CSV here; default standard output.")] = None,
    policy: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A policy.toml.")] = None,
    sparse: Annotated[bool, typer.Option("--sparse", help="Only months with MRR or a movement.")] = False,
    totals: Annotated[bool, typer.Option("--totals", help="A row per month instead.")] = False,
    cohorts: Annotated[bool, typer.Option("--cohorts", help="The cohort tables instead.")] = False,
) -> None:
    """Compute MRR and movements of any folder with a periods.csv.

    Example: tajdid conformance periods my-company --as-of 2025-12-31 --out mrr.csv
    """
    from tajdid.conformance.periods import run

    raise SystemExit(
        run(
            folder, as_of=day_of(as_of), policy=policy, sparse=sparse, totals=totals, cohorts=cohorts, out=out
        )
    )


def _csv(frame: pl.DataFrame) -> str:
    """A frame as CSV; what CSV has no form for, such as lists, is written as it is shown."""
    import polars as pl

    odd = [
        name for name, kind in frame.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Duration)
    ]
    texts = (
        pl.Series(name, [None if value is None else str(value) for value in frame[name].to_list()], pl.String)
        for name in odd
    )
    return frame.with_columns(*texts).write_csv()
