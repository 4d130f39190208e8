"""The `tajdid billing` commands: what is owed and collected."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tajdid.console import (
    CompanyOption,
    JsonOption,
    actor,
    chosen,
    day_of,
    now,
    print_fields,
    print_frame,
    say,
    stop,
)

if TYPE_CHECKING:
    import polars as pl

    from billing.jobs.dry_run import DryRun
    from billing.service.acts import Job
    from tajdid.workspace import Company

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the difference it would make, and write nothing.")
]

billing_app = typer.Typer(no_args_is_help=True, help="The billing engine: what is owed and collected.")


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
    simulate_atlas(one, say, customers=customers, seed=seed, last_day=day_of(last_day))


@billing_app.command(name="run")
def run_billing(
    company: CompanyOption = None,
    up_to: Annotated[
        str | None, typer.Option(help="Bill all that is due up to this day; default today.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Renew terms and index prices that are due, let grants expire, allocate goods, then bill what is due.

    Again it posts nothing. Documents that a purchase order holds are listed with the reason.

    Example: tajdid billing run --company atlas --up-to 2026-01-31 --dry-run
    """
    import polars as pl

    from billing.gateways.assumed import AssumedStock
    from billing.jobs.allocate import allocate
    from billing.jobs.bill_run import bill
    from billing.jobs.remind_renewals import remind_of_renewals
    from billing.jobs.wallets import expire_grants
    from billing.service.contracts import renew_due
    from billing.service.index_clauses import index_prices_due
    from billing.service.purchase_orders import held_documents_of

    at, one = now(), chosen(company)
    day = day_of(up_to) if up_to else at.date()

    def progress(done: int, of: int) -> None:
        say(f"  {done:,} of {of:,} due looked at")

    assumes = [AssumedStock.assumption] if one.stock is not None else []
    with working(one, at, "bill", failed=1, dry_run=dry_run, assumes=assumes, up_to=day) as (store, work):
        terms = renew_due(store, at)
        steps = index_prices_due(store, at)
        say(f"  terms: {len(terms.renewed):,} renewed, {len(terms.ended):,} ended")
        say(f"  prices that follow an index: {len(steps):,} changed")
        say(f"  reminders of terms that end: {remind_of_renewals(store, at):,} sent")
        say(f"  wallets: {expire_grants(store, at) or 'nothing'} expired")
        if one.stock is not None:
            stock = AssumedStock() if dry_run else simulated_stock(store, one.stock)
            goods = allocate(store, stock, at, up_to=day)
            say(
                f"  goods: {goods.ordered:,} ordered, {goods.allocated:,} allocated, "
                f"{goods.backordered:,} wait, {goods.given_up:,} given up"
            )
        summary = bill(store, at, up_to=day, progress=progress)
        work.subject_id = summary.run_id
        held = held_documents_of(store, run_id=str(summary.run_id))
    print_fields(asdict(summary))
    if held:
        say("Held until their purchase order is put right:")
        shown = pl.DataFrame(held, infer_schema_length=None)
        print_frame(_in_major_units(shown.select("customer_id", "po_id", "code", "currency", "net_minor")))
    raise SystemExit(3 if summary.parked or held else 0)


def simulated_stock(store: Any, options: dict[str, Any]) -> Any:
    """The stock that company.toml describes, holding what it answered before."""
    from billing.gateways.simulated_stock import SimulatedStock
    from billing.jobs.allocate import holdings

    stock = SimulatedStock(options.get("seed", 0), out_ppm=options.get("out_ppm", 0), held=holdings(store))
    for one in options.get("deliveries", []):
        stock.plan(one["sku"], one["quantity"], on=one["on"])
    return stock


@billing_app.command(name="backorders")
def list_backorders(
    company: CompanyOption = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer's; default all.")] = None,
    given_up: Annotated[
        bool, typer.Option("--given-up", help="What was released, skipped or did not arrive, and why.")
    ] = False,
) -> None:
    """List goods that were ordered and are still to come; or those that were given up, with the reason.

    Example: tajdid billing backorders --company atlas --customer customer-17
    """
    from billing.service.stock import backorders, shortfalls

    with opened(chosen(company)) as store:
        found = (shortfalls if given_up else backorders)(store, customer_id=customer)
    if found.height:
        print_frame(found)
    else:
        say("Nothing was given up." if given_up else "Nothing is on backorder.")


@billing_app.command(name="quote-renewal")
def quote_renewal_command(
    contract: Annotated[str, typer.Argument(help="The contract's id.")], company: CompanyOption = None
) -> None:
    """Show what the next term of a contract would cost at the prices known today.

    Example: tajdid billing quote-renewal contract-17 --company atlas
    """
    from billing.service.renewal_quotes import quote_renewal

    with opened(chosen(company)) as store:
        quote = quote_renewal(store, now(), contract_id=contract)
    print_frame(quote.rates)
    print_frame(quote.lines)
    say(f"{quote.term_start} to {quote.term_end}, in minor units:")
    say(f"{quote.net_minor:,} net and {quote.tax_minor:,} tax")


@billing_app.command(name="drafts")
def list_drafts(
    company: CompanyOption = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer's; default all.")] = None,
    up_to: Annotated[str | None, typer.Option(help="As they stand on this day; default today.")] = None,
) -> None:
    """List invoices that are drafts for the policy's days of grace, with the day they will be issued.

    Example: tajdid billing drafts --company atlas --customer customer-17
    """
    from billing.service.drafts import drafts

    at = now()
    with opened(chosen(company)) as store:
        found = drafts(store, at, up_to=day_of(up_to) if up_to else at.date(), customer_id=customer)
    if found.documents.height:
        print_frame(found.documents.drop("document"))
    else:
        say("No invoice is a draft.")
    for row in found.failures.iter_rows(named=True):
        say(f"{row['customer_id']} cannot be billed: {row['code']} {row['detail'] or ''}".rstrip())


@billing_app.command(name="collect")
def collect_command(company: CompanyOption = None, dry_run: DryRunOption = False) -> None:
    """Charge what is due through the gateway, retry what failed, and make the refunds that were asked for.

    The gateway is the one that company.toml names; there is a simulated one alone: [gateway] with
    kind = "simulated". Call it daily, or more often.

    Example: tajdid billing collect --company atlas --dry-run
    """
    from billing.gateways.assumed import AssumedGateway
    from billing.jobs.collect import collect
    from billing.jobs.give_back import give_back

    at, one = now(), chosen(company)
    if one.gateway is None and not dry_run:
        stop(f"{one.folder / 'company.toml'} names no [gateway]: nobody was charged.", 2)
    gateway = AssumedGateway() if dry_run else simulated_gateway(one.folder, one.gateway or {})

    def progress(done: int) -> None:
        say(f"  {done:,} invoices looked at")

    assumes = [AssumedGateway.assumption]
    with working(one, at, "collect", failed=1, dry_run=dry_run, assumes=assumes) as (store, _):
        summary = collect(store, gateway, at, progress=progress)
        refunds = give_back(store, gateway, at)
    print_fields(asdict(summary))
    say("Refunds:")
    print_fields(asdict(refunds))


def simulated_gateway(folder: Path, options: dict[str, Any]) -> Any:
    """The gateway that company.toml describes. Its books are a file, so that it knows what it charged
    before."""
    from billing.gateways.simulated import SimulatedGateway

    rates = {name: options[name] for name in ("decline_ppm", "fee_ppm") if name in options}
    books = folder / options.get("books", "gateway.db")
    return SimulatedGateway(options.get("seed", 0), books=books, **rates)


@billing_app.command(name="send")
def send_command(
    file: Annotated[Path, typer.Argument(help="Where to append them, a JSON object a line.")],
    company: CompanyOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Append the messages of changes that were not sent yet to a file, the oldest first.

    Each is sent at least once: one that comes twice, after a crash, has the same message_id. Call it as often
    as its readers need news.

    Example: tajdid billing send events.jsonl --company atlas
    """
    from billing.jobs.send_messages import appended_to, send_messages

    at = now()
    with working(chosen(company), at, "send_messages", failed=1, dry_run=dry_run, file=file) as (store, _):
        sent = send_messages(store, at, (lambda _: None) if dry_run else appended_to(file))
    say(f"{sent:,} messages sent")


@billing_app.command(name="dun")
def dun_command(company: CompanyOption = None, dry_run: DryRunOption = False) -> None:
    """Ask for money on net terms that is overdue: make the steps that are due today, each once.

    Steps: a note 3 days before money is due, reminders 3, 10 and 20 days after, a final notice after 30,
    collection proposed after 60, a write-off after 90. Call it daily.

    Example: tajdid billing dun --company atlas
    """
    from billing.jobs.dun import dun

    def progress(done: int) -> None:
        say(f"  {done:,} customers looked at")

    at = now()
    with working(chosen(company), at, "dun", failed=1, dry_run=dry_run) as (store, _):
        summary = dun(store, at, progress=progress)
    print_fields(asdict(summary))


@billing_app.command(name="approvals")
def approvals_command(
    company: CompanyOption = None,
    approve: Annotated[str | None, typer.Option(help="Carry this one out.")] = None,
    reject: Annotated[str | None, typer.Option(help="Let nothing come of this one.")] = None,
    decided_by: Annotated[str, typer.Option("--by", help="Who decides; default who gives the command.")] = "",
) -> None:
    """List what waits for a person's word, with the figures; or decide one.

    Example: tajdid billing approvals --company atlas

    Example: tajdid billing approvals --company atlas --approve apr_0001 --by "Mona Adel"
    """
    from billing.service import approvals

    if approve and reject:
        stop("Either --approve or --reject.", 2)
    at = now()
    with opened(chosen(company)) as store:
        if approve:
            approvals.approve(store, at, approval_id=approve, decided_by=decided_by or actor())
        if reject:
            approvals.reject(store, at, approval_id=reject, decided_by=decided_by or actor())
        left = approvals.list_approvals(store)
    for row in left.iter_rows(named=True):
        say(f"{row['approval_id']}  {row['kind']} of {row['customer_id']}, proposed on {row['proposed_on']}")
        say(f"  {row['details']}")
    if left.is_empty():
        say("Nothing waits for approval.")


@billing_app.command(name="import-usage")
def import_usage_command(
    paths: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CSV or Parquet files, or folders of them.")
    ] = None,
    company: CompanyOption = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Send events of unknown items and meters again.")
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Take in usage events; those known already change nothing, bad rows are kept and counted by their code.

    Columns: source, event_id, item_id, meter_id, value, occurred_at (with zone) or occurred_on; if any
    customer_id, operation, dimension. An import that broke off is simply started again.

    Example: tajdid billing import-usage --company atlas usage/2026-01.parquet
    """
    from billing.jobs.import_usage import UsageTotals, retry_rejected
    from billing.jobs.usage_files import import_usage_files

    if not paths and not retry:
        stop("Name a file or a folder, or --retry.", 2)

    def progress(file: Path, totals: UsageTotals) -> None:
        say(f"  {file.name}: {totals.rows:,} rows read, {totals.accepted:,} accepted")

    totals, at = [], now()
    about: dict[str, Any] = {"paths": paths, "retry": retry}
    with working(chosen(company), at, "import_usage", dry_run=dry_run, **about) as (store, _):
        if retry:
            totals.append(retry_rejected(store, at))
        if paths:
            totals.append(import_usage_files(store, at, paths, progress=progress))
    for one in totals:
        print_fields(asdict(one))
    raise SystemExit(3 if any(one.rejected for one in totals) else 0)


@billing_app.command(name="import-transfers")
def import_transfers_command(
    paths: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Bank statements as CSV.")],
    company: CompanyOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Take in what came in at the bank and match it to invoices; a file read twice counts once.

    Columns: entity_id, bank_ref, received_on, amount, currency; if any payer_name, reference.

    Example: tajdid billing import-transfers --company atlas bank/2026-01-31.csv
    """
    from billing.jobs.match_transfers import import_transfer_files

    at = now()
    with working(chosen(company), at, "import_transfers", dry_run=dry_run, paths=paths) as (store, _):
        answers = import_transfer_files(store, at, paths)
    for path, answer in zip(paths, answers, strict=True):
        say(
            f"{path.name}: {answer.accepted:,} accepted, {answer.duplicate:,} duplicate, "
            f"{answer.rejected.height:,} rejected; {answer.matched:,} matched"
        )
        for row in answer.rejected.head(20).iter_rows(named=True):
            say(f"  row {row['row']} ({row['bank_ref']}): {row['code']}, {row['detail']}")
    raise SystemExit(3 if any(answer.rejected.height for answer in answers) else 0)


@billing_app.command(name="import-subscriptions")
def import_subscriptions_command(
    paths: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="CSV or Parquet files.")],
    company: CompanyOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Take over subscriptions that run elsewhere; each is billed from the day it was billed until.

    Columns: subscription_id, customer_id, plan_id, quantity, anchor_on, billed_until; if any started_on,
    term, term_start, auto_renew, notice_days. The same rows again change nothing.

    Example: tajdid billing import-subscriptions --company atlas running.csv
    """
    from billing.service.migration import import_subscription_files

    at = now()
    with working(chosen(company), at, "import_subscriptions", dry_run=dry_run, paths=paths) as (store, _):
        answers = import_subscription_files(store, at, paths)
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
    dry_run: DryRunOption = False,
) -> None:
    """List the customers that could not be billed, with the reason; or bill some or all of them again.

    Example: tajdid billing retry --company atlas customer-17 customer-20
    """
    from billing.jobs.retry import parked_customers, retry

    at = now()
    day = day_of(up_to) if up_to else at.date()
    if customers or every:
        ids = None if every else customers
        about: dict[str, Any] = {"up_to": day, "customer_ids": ids}
        with working(chosen(company), at, "retry", dry_run=dry_run, **about) as (store, work):
            summary = retry(store, at, up_to=day, customer_ids=ids)
            work.subject_id = summary.run_id
        print_fields(asdict(summary))
    with opened(chosen(company)) as store:
        left = parked_customers(store)
    if left.height:
        print_frame(left)
    else:
        say("Nobody is set aside.")
    raise SystemExit(3 if left.height else 0)


@billing_app.command(name="invoice")
def print_invoice(
    document: Annotated[str, typer.Argument(help="Number or id of an invoice or a credit note.")],
    company: CompanyOption = None,
    locale: Annotated[
        str | None, typer.Option(help="Language of the PDF, en or ar; default the customer's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File to write; default the number in this folder.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON instead of a PDF, printed without --out.")
    ] = False,
) -> None:
    """Write an invoice or a credit note as PDF or JSON, as it is sent to the customer.

    What the law wants on it and nobody has entered yet is named, and the document is written all the same.
    Fonts for scripts beyond Latin, Greek, Cyrillic and Arabic are taken from the company's folder `fonts`.

    Example: tajdid billing invoice INV-2025-000012 --company atlas --locale ar --out invoice.pdf
    """
    from billing.core.money import BillingError
    from billing.documents.as_json import to_json
    from billing.documents.document import missing_facts
    from billing.documents.pdf import to_pdf
    from billing.documents.reading import document_of, find_document

    one = chosen(company)
    with opened(one, failed=1) as store:
        try:
            name = find_document(store, document)
        except BillingError as error:
            stop(error.message, 2)
        found = document_of(store, name)
        if as_json:
            content = to_json(found).encode()
        else:
            fonts = one.folder / "fonts"
            content = to_pdf(found, locale, font_folders=[fonts] if fonts.is_dir() else [])
    for fact in missing_facts(found):
        print(f"{found.number} lacks {fact.replace('_', ' ').replace('.', chr(39) + 's ')}.", file=sys.stderr)
    if as_json and out is None:
        say(content.decode())
        return
    path = out or Path(f"{found.number.replace('/', '-')}.pdf")
    path.write_bytes(content)
    say(f"{path} ({len(content):,} bytes)")


@billing_app.command()
def doctor(company: CompanyOption = None, as_json: JsonOption = False) -> None:
    """Prove that the billing data is sound, and name every row that is not; nothing is changed.

    May run beside everything else; the dashboard shows what was found last. Exit code 0: sound; 3: something
    was found.

    Example: tajdid billing doctor --company atlas
    """
    from billing.jobs.doctor.examination import CHECKS, examine
    from tajdid.engine.runs import KEPT_FINDINGS, keep_examination

    findings, kept = 0, []
    at, of = now(), chosen(company)
    if as_json:
        say("[")
    with opened(of) as store:
        for one in examine(store, at):
            findings += 1
            if findings <= KEPT_FINDINGS:
                kept.append(asdict(one))
            if as_json:
                say(f"{',' if findings > 1 else ''}{json.dumps(asdict(one), default=str)}")
            else:
                say(one.in_words())
    try:
        keep_examination(of.folder, at, len(CHECKS), kept, findings)
    except OSError as error:
        print(f"The dashboard will not show this: {error}", file=sys.stderr)
    say("]" if as_json else f"{len(CHECKS)} checks, {findings:,} findings")
    raise SystemExit(3 if findings else 0)


@billing_app.command(name="audit")
def audit_command(
    company: CompanyOption = None,
    by: Annotated[str | None, typer.Option("--actor", help="Only what this one did.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only what was about this customer.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what was about this id.")] = None,
    act: Annotated[str | None, typer.Option(help="Only this act or job, such as change_plan.")] = None,
    since: Annotated[str | None, typer.Option(help="From this day on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to and including this day (UTC).")] = None,
    before: Annotated[str | None, typer.Option(help="Go on behind this entry.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Tell who did what, the newest first: acts and jobs, done, refused or held.

    The actor is TAJDID_ACTOR, else the user of the machine.

    Example: tajdid billing audit --company atlas --customer customer-17 --since 2026-01-01
    """
    from billing.store.audit import entries

    first, last = (datetime.combine(day_of(day), time(), UTC) if day else None for day in (since, until))
    with opened(chosen(company)) as store:
        found = entries(
            store,
            actor=by,
            customer_id=customer,
            subject_id=subject,
            act=act,
            since=first,
            until=last and last + timedelta(days=1),
            before=before,
            limit=limit + 1,
        )
        _print_entries(list(found), limit, as_json)


def _print_entries(found: list[dict[str, Any]], limit: int, as_json: bool) -> None:
    if as_json:
        say(json.dumps(found[:limit], default=str, indent=2, ensure_ascii=False))
        return
    for row in found[:limit]:
        ended = f"{row['outcome']} ({row['code']})" if row["code"] else row["outcome"]
        about = [row["subject_id"], row["customer_id"] and f"of {row['customer_id']}"]
        parts = [f"{row['happened_at']:%Y-%m-%d %H:%M:%S}", row["actor"], row["act"], ended, *about]
        say("  ".join(str(one) for one in parts if one))
        say(f"  {row['entry_id']} {json.dumps(row['arguments'], ensure_ascii=False)}")
    if not found:
        say("Nothing was done that fits.")
    if len(found) > limit:
        say(f"There is more: --before {found[limit - 1]['entry_id']}")


@billing_app.command()
def migrate(company: CompanyOption = None) -> None:
    """Bring the company's billing database to the newest schema.

    Example: tajdid billing migrate --company atlas
    """
    with opened(chosen(company)):
        pass
    say("The billing database is at the newest schema.")


@contextmanager
def opened(company: Company, *, failed: int = 2) -> Iterator[Any]:
    """The company's billing database, at the newest schema, for the time of the block. What billing refuses
    ends the command with the exit code `failed`, in plain words."""
    from billing.core.money import BillingError
    from billing.store.store import open_store

    with open_store(company.database_url) as store, store.acting_as(actor()):
        store.migrate()
        try:
            yield store
        except BillingError as error:
            stop(error.message, failed)


@contextmanager
def working(
    company: Company,
    at: datetime,
    name: str,
    *,
    failed: int = 2,
    dry_run: bool = False,
    assumes: Sequence[str] = (),
    **arguments: object,
) -> Iterator[tuple[Any, Job]]:
    """`opened`, for a job: when it ends it leaves its entry in the audit log; or in a dry run nothing, and
    the difference it would have made is printed, with what the run `assumes`."""
    from billing.jobs.dry_run import dry_run as taken_back
    from billing.service.acts import Job, job

    with opened(company, failed=failed) as store:
        if not dry_run:
            with job(store, at, name, **arguments) as work:
                yield store, work
            return
        with taken_back(store) as found:
            yield store, Job()
    _print_difference(found, assumes)


def _print_difference(found: DryRun, assumes: Sequence[str]) -> None:
    say("Dry run: nothing was written. It would make this difference:")
    for assumption in assumes:
        say(f"  assumed: {assumption}")
    if found.is_empty:
        say("  none")
        return
    for frame in (found.rows, found.postings, found.documents):
        if frame.height:
            print_frame(_in_major_units(frame))


def _in_major_units(frame: pl.DataFrame) -> pl.DataFrame:
    """Amounts with the decimals of their currency, as text."""
    import polars as pl

    from billing.core.money import format_minor

    amounts = [name for name in frame.columns if name.endswith("_minor")]
    texts = (
        pl.Series(
            name.removesuffix("_minor"),
            [format_minor(amount, currency) for amount, currency in frame.select(name, "currency").rows()],
            dtype=pl.String,
        )
        for name in amounts
    )
    return frame.drop(amounts).with_columns(*texts) if amounts else frame
