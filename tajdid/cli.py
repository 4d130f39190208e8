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
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import polars as pl

    from tajdid.workspace import Company

app = typer.Typer(
    name="tajdid",
    help="Subscription billing with revenue intelligence. Start with `tajdid demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
billing_app = typer.Typer(no_args_is_help=True, help="The billing engine: what is owed and collected.")
warehouse_app = typer.Typer(no_args_is_help=True, help="The warehouse: build it, look at it, ask it.")
churn_app = typer.Typer(no_args_is_help=True, help="Who is about to leave, and how good that list is.")
conformance_app = typer.Typer(no_args_is_help=True, help="Run worked cases through the product.")
app.add_typer(billing_app, name="billing")
app.add_typer(warehouse_app, name="warehouse")
app.add_typer(churn_app, name="churn")
app.add_typer(conformance_app, name="conformance")

SHOWN_ROWS = 1000
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
CompanyOption = Annotated[
    str | None,
    typer.Option("--company", help="Folder name of the company; may be left out when there is one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with the file to read.")]


def main() -> None:
    """Run the command line; errors we foresee become one plain sentence on standard error."""
    from tajdid.workspace import WorkspaceError

    try:
        app()
    except WorkspaceError as error:
        stop(str(error), 2)
    except KeyboardInterrupt:
        stop("Interrupted.", 1)


def stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(code)


def home() -> Path:
    """The workspace folder: TAJDID_HOME, else `workspace` beside the project."""
    from tajdid.workspace import PROJECT

    return Path(os.environ.get("TAJDID_HOME") or PROJECT / "workspace").resolve()


def now() -> datetime:
    return datetime.now(UTC)


def say(message: str) -> None:
    print(message, flush=True)


def chosen(name: str | None) -> Company:
    from tajdid.workspace import load_company

    return load_company(home(), name)


# --- demo and dashboard ---


@app.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Open the dashboard when the companies are built.")] = True,
    port: Annotated[int, typer.Option(help="Port of the dashboard; taken ports are passed over.")] = 8501,
    customers: Annotated[int, typer.Option(min=1, help="Size of the generated company.")] = 2000,
) -> None:
    """Build both sample companies from nothing and serve the dashboard.

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
    if serve:
        dashboard(port=port)


@app.command(name="build-sample", hidden=True)
def build_sample_command(name: str, customers: int = 2000) -> None:
    """Build one sample company; the last line printed is the result as JSON."""
    from tajdid.demo import build_sample

    result = build_sample(home(), name, now(), say, customers)
    say(json.dumps(asdict(result)))
    raise SystemExit(0 if result.is_published else 1)


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="First port to try.")] = 8501,
) -> None:
    """Serve the dashboard on this machine only.

    Example: tajdid dashboard --port 8600
    """
    from dashboard.serve import command

    free = next((candidate for candidate in range(port, port + 50) if _is_free(candidate)), None)
    if free is None:
        stop(f"No free port from {port} to {port + 49}; choose another with --port.", 1)
    say(f"Dashboard: http://localhost:{free}  (Ctrl+C ends it)")
    environment = os.environ | {"TAJDID_HOME": str(home())}
    try:
        raise SystemExit(subprocess.call(command(home(), free), env=environment))
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# --- billing ---


@billing_app.command()
def simulate(
    company: CompanyOption = None,
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 2000,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 20230101,
    last_day: Annotated[str, typer.Option(help="Last simulated day.")] = "2025-12-31",
) -> None:
    """Let the engine generate a company's history (once; refuses where a database exists).

    Example: tajdid billing simulate --company atlas --customers 200
    """
    from tajdid.demo import simulate_atlas

    one = chosen(company)
    if (one.folder / "billing.db").exists() and not (one.folder / "world.json").exists():
        stop(f"{one.folder / 'billing.db'} exists and was not simulated; it is left as it is.", 2)
    if (one.folder / "world.json").exists():
        stop(f"{one.name} is simulated already; delete world.json and billing.db there to start over.", 2)
    simulate_atlas(one, say, customers=customers, seed=seed, last_day=_day(last_day))


@billing_app.command(name="run")
def run_billing(
    company: CompanyOption = None,
    up_to: Annotated[
        str | None, typer.Option(help="Bill all that is due up to this day; default today.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be posted and write nothing.")
    ] = False,
) -> None:
    """Renew terms and index prices that are due, then bill everything that is; a second run posts nothing.

    With --dry-run terms and prices stay as they are today.

    Example: tajdid billing run --company atlas --up-to 2026-01-31 --dry-run
    """
    from billing.core.money import BillingError
    from billing.jobs.bill_run import bill
    from billing.service.contracts import renew_due
    from billing.service.index_clauses import index_prices_due

    at = now()
    store = _store(chosen(company))
    day = _day(up_to) if up_to else at.date()

    def progress(done: int, of: int) -> None:
        say(f"  {done:,} of {of:,} due looked at")

    try:
        if not dry_run:
            terms = renew_due(store, at)
            steps = index_prices_due(store, at)
            say(f"  terms: {len(terms.renewed):,} renewed, {len(terms.ended):,} ended")
            say(f"  prices that follow an index: {len(steps):,} changed")
        summary = bill(store, at, up_to=day, dry_run=dry_run, progress=progress)
    except BillingError as error:
        stop(error.message, 1)
    _print_fields(asdict(summary))
    store.close()
    raise SystemExit(3 if summary.parked else 0)


@billing_app.command(name="drafts")
def list_drafts(
    company: CompanyOption = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer's; default all.")] = None,
    up_to: Annotated[str | None, typer.Option(help="As they stand on this day; default today.")] = None,
) -> None:
    """List invoices that are drafts for the policy's days of grace, with the day they will be issued.

    Example: tajdid billing drafts --company atlas --customer customer-17
    """
    from billing.core.money import BillingError
    from billing.service.drafts import drafts

    at, store = now(), _store(chosen(company))
    try:
        found = drafts(store, at, up_to=_day(up_to) if up_to else at.date(), customer_id=customer)
    except BillingError as error:
        stop(str(error), 2)
    finally:
        store.close()
    if found.documents.height:
        _print_frame(found.documents.drop("document"))
    else:
        say("No invoice is a draft.")
    for row in found.failures.iter_rows(named=True):
        say(f"{row['customer_id']} cannot be billed: {row['code']} {row['detail'] or ''}".rstrip())


@billing_app.command(name="import-usage")
def import_usage_command(
    paths: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CSV or Parquet files, or folders of them.")
    ] = None,
    company: CompanyOption = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Send events of unknown items and meters again.")
    ] = False,
) -> None:
    """Take in usage events; those known already change nothing, bad rows are kept and counted by their code.

    Columns: source, event_id, item_id, meter_id, value, occurred_at (with zone) or occurred_on; if any
    customer_id, operation, dimension. An import that broke off is simply started again.

    Example: tajdid billing import-usage --company atlas usage/2026-01.parquet
    """
    from billing.core.money import BillingError
    from billing.jobs.import_usage import UsageTotals, retry_rejected
    from billing.jobs.usage_files import import_usage_files

    if not paths and not retry:
        stop("Name a file or a folder, or --retry.", 2)

    def progress(file: Path, totals: UsageTotals) -> None:
        say(f"  {file.name}: {totals.rows:,} rows read, {totals.accepted:,} accepted")

    store, totals = _store(chosen(company)), []
    try:
        if retry:
            totals.append(retry_rejected(store, now()))
        if paths:
            totals.append(import_usage_files(store, now(), paths, progress=progress))
    except BillingError as error:
        stop(error.message, 2)
    finally:
        store.close()
    for one in totals:
        _print_fields(asdict(one))
    raise SystemExit(3 if any(one.rejected for one in totals) else 0)


@billing_app.command(name="import-subscriptions")
def import_subscriptions_command(
    paths: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="CSV or Parquet files.")],
    company: CompanyOption = None,
) -> None:
    """Take over subscriptions that run elsewhere; each is billed from the day it was billed until.

    Columns: subscription_id, customer_id, plan_id, quantity, anchor_on, billed_until; if any started_on,
    term, term_start, auto_renew, notice_days. The same rows again change nothing.

    Example: tajdid billing import-subscriptions --company atlas running.csv
    """
    from billing.core.money import BillingError
    from billing.service.migration import import_subscription_files

    store = _store(chosen(company))
    try:
        answers = import_subscription_files(store, now(), paths)
    except BillingError as error:
        stop(str(error), 2)
    finally:
        store.close()
    for path, answer in zip(paths, answers, strict=True):
        say(
            f"{path.name}: {answer.accepted:,} accepted, {answer.duplicate:,} duplicate, "
            f"{answer.rejected.height:,} rejected"
        )
        for row in answer.rejected.head(20).iter_rows(named=True):
            say(f"  row {row['row']} ({row['subscription_id']}): {row['code']}, {row['detail']}")
    raise SystemExit(3 if any(answer.rejected.height for answer in answers) else 0)


@billing_app.command(name="retry")
def retry_billing(
    customers: Annotated[
        list[str] | None, typer.Argument(help="Ids of customers that were set aside; none: list them.")
    ] = None,
    company: CompanyOption = None,
    every: Annotated[bool, typer.Option("--all", help="Retry everyone who was set aside.")] = False,
    up_to: Annotated[str | None, typer.Option(help="Bill up to this day; default today.")] = None,
) -> None:
    """List the customers that could not be billed, with the reason; or bill some or all of them again.

    Example: tajdid billing retry --company atlas customer-17 customer-20
    """
    from billing.core.money import BillingError
    from billing.jobs.retry import parked_customers, retry

    at, store = now(), _store(chosen(company))
    day = _day(up_to) if up_to else at.date()
    try:
        summary = (
            retry(store, at, up_to=day, customer_ids=None if every else customers)
            if (customers or every)
            else None
        )
        left = parked_customers(store)
    except BillingError as error:
        stop(error.message, 2)
    finally:
        store.close()
    if summary is not None:
        _print_fields(asdict(summary))
    if left.height:
        _print_frame(left)
    else:
        say("Nobody is set aside.")
    raise SystemExit(3 if left.height else 0)


@billing_app.command()
def migrate(company: CompanyOption = None) -> None:
    """Bring the company's billing database to the newest schema.

    Example: tajdid billing migrate --company atlas
    """
    store = _store(chosen(company))
    store.close()
    say("The billing database is at the newest schema.")


def _store(company: Company) -> Any:
    from billing.store.store import open_store

    store = open_store(company.database_url)
    store.migrate()
    return store


# --- warehouse ---


@warehouse_app.command(name="build")
def build_warehouse(company: CompanyOption = None) -> None:
    """Load the sources, build and test the models, score, and publish a new snapshot.

    A build that fails anywhere leaves readers on the last good snapshot.

    Example: tajdid warehouse build --company retail
    """
    from pipelines.run import build
    from tajdid.churn import score_step
    from tajdid.workspace import build_request

    one = chosen(company)
    if not one.sources:
        stop(f"{one.folder / 'company.toml'} names no source; nothing was built.", 2)
    request = build_request(one, now())
    result = build(request, score=score_step(one, request, say), progress=say)
    if result.status != "published":
        stop(f"Not published: {result.message}", 1)
    say(f"Published {result.build_id} in {result.seconds:.1f} s.")
    if result.rejected_rows:
        say(f"{result.rejected_rows:,} rows were set aside; see raw_meta.rejects or the data health page.")
        raise SystemExit(3)


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
        entry = json.loads(line)
        message = entry.get("message") or ""
        say(f"  {entry['finished_at']}  {entry['status']:9}  {entry['seconds']:.1f} s  {message}")


@warehouse_app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT, EXPLAIN or DESCRIBE statement.")],
    company: CompanyOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Answer one read-only statement from the published snapshot.

    Example: tajdid warehouse sql --company atlas "select * from marts.fct_mrr_months limit 5"
    """
    from pipelines.warehouse import ROW_LIMIT, WarehouseError, run_sql

    limit = ROW_LIMIT if as_csv else SHOWN_ROWS
    try:
        frame = run_sql(chosen(company).folder, statement, limit + 1)
    except WarehouseError as error:
        stop(str(error), 2)
    if as_csv:
        sys.stdout.write(_csv(frame.head(limit)))
    else:
        _print_frame(frame.head(limit))
    if frame.height > limit:
        more = "narrow the statement" if as_csv else f"--csv prints up to {ROW_LIMIT:,}"
        print(f"The first {limit:,} rows; there are more: {more}.", file=sys.stderr)


# --- churn ---


@churn_app.command()
def report(company: CompanyOption = None) -> None:
    """Print the newest evaluation: temporal figures beside the base rate and the recency rule.

    Example: tajdid churn report --company retail
    """
    from tajdid.churn import newest_report

    frame, path = newest_report(chosen(company))
    if frame is None:
        stop("No churn evaluation there: build the warehouse of a company with order history first.", 4)
    _print_frame(frame)
    say(f"Report: {path}")


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
        run(folder, as_of=_day(as_of), policy=policy, sparse=sparse, totals=totals, cohorts=cohorts, out=out)
    )


# --- printing ---


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        stop(f"'{text}' is no date; write it as 2025-12-31.", 2)


def _print_fields(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        say(f"{name:16} {value}")


def _print_frame(frame: pl.DataFrame) -> None:
    table = Table()
    for name in frame.columns:
        table.add_column(Text(name))
    for row in frame.iter_rows():
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)


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
