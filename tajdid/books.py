"""The `tajdid billing` commands of finance: reconcile a month, close it, open it again."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tajdid.billing_commands import billing_app, opened
from tajdid.console import CompanyOption, JsonOption, chosen, console, now, say, stop

if TYPE_CHECKING:
    import polars as pl

    from billing.jobs.reconcile import Reconciliation

__all__ = ["billing_app"]

MonthOption = Annotated[
    str | None, typer.Option("--month", help="The month, as 2026-01; default the running one.")
]
EntityOption = Annotated[str, typer.Option("--entity", help="Id of the seller whose books they are.")]

SHOWN_ROWS = 50


@billing_app.command(name="reconcile")
def reconcile_command(
    company: CompanyOption = None, month: MonthOption = None, as_json: JsonOption = False
) -> None:
    """Compare the books of a month with the documents; exit code 3 where anything differs.

    Shows for each seller and currency the trial balance, what moved each account, and every row that differs.

    Example: tajdid billing reconcile --company atlas --month 2025-12
    """
    from billing.jobs.reconcile import reconcile

    with opened(chosen(company)) as store:
        found = reconcile(store, _month_of(month))
    if as_json:
        say(json.dumps(_as_dict(found), default=str, indent=2))
    else:
        _print(found)
    raise SystemExit(0 if found.agrees else 3)


@billing_app.command(name="lock-period")
def lock_period_command(
    entity: EntityOption,
    month: Annotated[str, typer.Option("--month", help="The month, as 2026-01.")],
    company: CompanyOption = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where the books do not agree.")] = False,
) -> None:
    """Close the books of a month, so that nothing is posted into it; only if they agree with the documents.

    Example: tajdid billing lock-period --company atlas --entity atlas --month 2025-12
    """
    from billing.jobs.reconcile import reconcile
    from billing.service.periods import lock_period

    day = _month_of(month)
    with opened(chosen(company)) as store:
        agrees = anyway or reconcile(store, day).agrees
        if agrees:
            lock_period(store, now(), entity_id=entity, month=day)
    if not agrees:
        stop(f"The books of {month} do not agree: see `tajdid billing reconcile --month {month}`.", 3)
    say(f"The books of {entity} are closed for {month}.")


@billing_app.command(name="unlock-period")
def unlock_period_command(
    entity: EntityOption,
    month: Annotated[str, typer.Option("--month", help="The month, as 2026-01.")],
    company: CompanyOption = None,
) -> None:
    """Open the books of a month again.

    Example: tajdid billing unlock-period --company atlas --entity atlas --month 2025-12
    """
    from billing.service.periods import unlock_period

    day = _month_of(month)
    with opened(chosen(company)) as store:
        unlock_period(store, now(), entity_id=entity, month=day)
    say(f"The books of {entity} are open for {month}.")


def _month_of(text: str | None) -> date:
    if text is None:
        return now().date().replace(day=1)
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        stop(f"'{text}' is no month; write it as 2026-01.", 2)


# As JSON.


def _as_dict(found: Reconciliation) -> dict[str, Any]:
    frames = ("trial_balance", "movements", "expected", "differences", "standing")
    return {"month": f"{found.month:%Y-%m}", "agrees": found.agrees} | {
        name: getattr(found, name).to_dicts() for name in frames
    }


# As tables.


def _print(found: Reconciliation) -> None:
    for (entity_id, currency), rows in found.trial_balance.partition_by(
        "entity_id", "currency", as_dict=True, maintain_order=True
    ).items():
        about = {"entity_id": str(entity_id), "currency": str(currency)}
        title = f"{about['entity_id']}, {about['currency']}, {found.month:%B %Y}"
        _print_balance(f"Trial balance: {title}", rows, about["currency"])
        _print_movements(f"What moved the accounts: {title}", found, about)
    _print_differences("Documents and postings that differ", found.differences)
    _print_differences("Customers and invoices whose balance differs now", found.standing)
    if found.agrees:
        say(f"The books of {found.month:%Y-%m} agree with the documents.")


def _table(title: str, texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for name in texts:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _print_balance(title: str, rows: pl.DataFrame, currency: str) -> None:
    names = ("opening_minor", "debit_minor", "credit_minor", "closing_minor")
    table = _table(title, ("account",), ("opening", "debit", "credit", "closing"))
    for row in rows.iter_rows(named=True):
        table.add_row(row["account"], *(_amount(row[name], currency) for name in names))
    table.add_section()
    table.add_row("all accounts", *(_amount(int(rows[name].sum()), currency) for name in names))
    console.print(table)


def _print_movements(title: str, found: Reconciliation, about: dict[str, str]) -> None:
    """Each account from its opening by the documents' events to its closing, with the ledger's beside it; on
    the account's own side, so that a liability is not below 0."""
    from billing.core.ledger import DEBIT_ACCOUNTS

    currency = about["currency"]
    ledger = {row["account"]: row for row in found.trial_balance.filter(**about).iter_rows(named=True)}
    wanted = dict(found.expected.filter(**about).select("account", "amount_minor").iter_rows())
    moved = found.movements.filter(**about).partition_by("account", as_dict=True)
    table = _table(title, ("account", "what"), ("documents", "amount"))
    for account in sorted(set(ledger) | set(wanted)):
        side = 1 if account in DEBIT_ACCOUNTS else -1
        events = moved.get((account,))
        rows = [] if events is None else events.to_dicts()
        closing = wanted.get(account, 0)
        opening = closing - sum(row["amount_minor"] for row in rows)
        table.add_section()
        table.add_row(account, "opening", "", _amount(side * opening, currency))
        for row in rows:
            text = row["event"].replace("_", " ")
            table.add_row("", text, f"{row['documents']:,}", _amount(side * row["amount_minor"], currency))
        table.add_row("", "closing, as the documents say", "", _amount(side * closing, currency))
        posted = ledger[account]["closing_minor"] if account in ledger else 0
        if posted != closing:
            table.add_row("", "closing, as the ledger says", "", _amount(side * posted, currency))
    console.print(table)


def _print_differences(title: str, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    texts = ("seller", "account", "document", "id")
    table = _table(title, texts, ("as documents say", "as posted", "difference"))
    for row in rows.head(SHOWN_ROWS).iter_rows(named=True):
        amounts = row["expected_minor"], row["posted_minor"], row["posted_minor"] - row["expected_minor"]
        names = (row[name] or "" for name in ("entity_id", "account", "document_kind", "document_id"))
        table.add_row(*names, *(f"{_amount(one, row['currency'])} {row['currency']}" for one in amounts))
    console.print(table)
    if rows.height > SHOWN_ROWS:
        say(f"{rows.height - SHOWN_ROWS:,} more rows; --json shows all.")


def _amount(amount_minor: int, currency: str) -> str:
    """An amount in major units with its currency's decimals and separated thousands."""
    from billing.core.money import format_minor

    whole, point, decimals = format_minor(amount_minor, currency).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{decimals}"
