"""The journal: an event in, its balanced postings out.

One table says which accounts an event debits and credits, and with which of its amounts; the rule is the
same for one event and for a frame of them. An event posts once, in the transaction of its document. Revenue
is not recognised here: deferred_revenue is its source downstream.
"""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import polars as pl

from billing.core.money import DOCUMENT_LIMIT, BillingError

ACCOUNTS = (
    "receivable",
    "deferred_revenue",
    "tax_payable",
    "customer_credit",
    "gateway_clearing",
    "bank",
    "unallocated_receipts",
    "payment_fees",
    "discounts_allowed",
    "bad_debt",
    "bad_debt_recovered",
    "wallet",
    "wallet_breakage",
    "rebate_accrued",
)


DEBIT_ACCOUNTS = (
    "receivable",
    "gateway_clearing",
    "bank",
    "payment_fees",
    "discounts_allowed",
    "bad_debt",
)
"""Accounts whose balance is a debit; that of the others is a credit."""


class Rule(NamedTuple):
    """One posting of an event: its account, its side, and the amounts of the event that it sums."""

    account: str
    side: str
    amounts: tuple[str, ...]


def _debit(account: str, *amounts: str) -> Rule:
    return Rule(account, "debit", amounts)


def _credit(account: str, *amounts: str) -> Rule:
    return Rule(account, "credit", amounts)


EVENT_RULES: Mapping[str, tuple[Rule, ...]] = {
    "invoice_issued": (
        _debit("receivable", "net_minor", "tax_minor"),
        _credit("deferred_revenue", "net_minor"),
        _credit("tax_payable", "tax_minor"),
    ),
    "credit_note_issued": (
        _debit("deferred_revenue", "net_minor"),
        _debit("tax_payable", "tax_minor"),
        _credit("customer_credit", "net_minor", "tax_minor"),
    ),
    "payment_captured": (_debit("gateway_clearing", "net_minor"), _credit("customer_credit", "net_minor")),
    "credit_applied": (_debit("customer_credit", "net_minor"), _credit("receivable", "net_minor")),
    "credit_unapplied": (_debit("receivable", "net_minor"), _credit("customer_credit", "net_minor")),
    "payout_received": (
        _debit("bank", "net_minor"),
        _debit("payment_fees", "fee_minor"),
        _credit("gateway_clearing", "net_minor", "fee_minor"),
    ),
    "bank_transfer_received": (_debit("bank", "net_minor"), _credit("customer_credit", "net_minor")),
    "transfer_received": (_debit("bank", "net_minor"), _credit("unallocated_receipts", "net_minor")),
    "transfer_matched": (
        _debit("unallocated_receipts", "net_minor"),
        _credit("customer_credit", "net_minor"),
    ),
    "transfer_unmatched": (
        _debit("customer_credit", "net_minor"),
        _credit("unallocated_receipts", "net_minor"),
    ),
    "transfer_returned": (_debit("unallocated_receipts", "net_minor"), _credit("bank", "net_minor")),
    "payment_refunded": (_debit("customer_credit", "net_minor"), _credit("gateway_clearing", "net_minor")),
    "transfer_refunded": (_debit("customer_credit", "net_minor"), _credit("bank", "net_minor")),
    "payment_reversed": (_debit("customer_credit", "net_minor"), _credit("gateway_clearing", "net_minor")),
    "payment_reinstated": (_debit("gateway_clearing", "net_minor"), _credit("customer_credit", "net_minor")),
    "early_payment_discount": (
        _debit("discounts_allowed", "net_minor"),
        _debit("tax_payable", "tax_minor"),
        _credit("receivable", "net_minor", "tax_minor"),
    ),
    "early_discount_undone": (
        _debit("receivable", "net_minor", "tax_minor"),
        _credit("discounts_allowed", "net_minor"),
        _credit("tax_payable", "tax_minor"),
    ),
    "invoice_written_off": (_debit("bad_debt", "net_minor"), _credit("receivable", "net_minor")),
    "write_off_undone": (_debit("receivable", "net_minor"), _credit("bad_debt", "net_minor")),
    "written_off_recovered": (_debit("bank", "net_minor"), _credit("bad_debt_recovered", "net_minor")),
    "transfer_recovered": (
        _debit("unallocated_receipts", "net_minor"),
        _credit("bad_debt_recovered", "net_minor"),
    ),
    "recovery_undone": (
        _debit("bad_debt_recovered", "net_minor"),
        _credit("unallocated_receipts", "net_minor"),
    ),
    "wallet_topped_up": (
        _debit("receivable", "net_minor", "tax_minor"),
        _credit("wallet", "net_minor"),
        _credit("tax_payable", "tax_minor"),
    ),
    "wallet_granted": (_debit("discounts_allowed", "net_minor"), _credit("wallet", "net_minor")),
    "wallet_drawn": (_debit("wallet", "net_minor"), _credit("receivable", "net_minor")),
    "wallet_returned": (_debit("receivable", "net_minor"), _credit("wallet", "net_minor")),
    "wallet_revoked": (
        _debit("wallet", "net_minor"),
        _debit("tax_payable", "tax_minor"),
        _credit("customer_credit", "net_minor", "tax_minor"),
    ),
    "wallet_expired": (_debit("wallet", "net_minor"), _credit("wallet_breakage", "net_minor")),
    "rebate_accrued": (_debit("discounts_allowed", "net_minor"), _credit("rebate_accrued", "net_minor")),
    "rebate_granted": (_debit("rebate_accrued", "net_minor"), _credit("customer_credit", "net_minor")),
}
"""The postings of each event. `net_minor` is its amount (before tax, where it has a tax), none is
negative."""

AMOUNTS = ("net_minor", "tax_minor", "fee_minor")


class Posting(NamedTuple):
    """One journal line: one side holds the amount, the other 0."""

    account: str
    debit_minor: int
    credit_minor: int


def postings(event: str, net_minor: int, tax_minor: int = 0, fee_minor: int = 0) -> list[Posting]:
    """The balanced postings of one event: `postings_of` on a frame of one row.

    Raises `unknown_event`, `negative_quantity`, `amount_out_of_range`.
    """
    events = pl.DataFrame(
        {"event": [event], "net_minor": [net_minor], "tax_minor": [tax_minor], "fee_minor": [fee_minor]},
        schema_overrides=dict.fromkeys(AMOUNTS, pl.Int128),
    )
    rows = postings_of(events).select("account", "debit_minor", "credit_minor").iter_rows()
    return [Posting(*row) for row in rows]


def postings_of(events: pl.DataFrame) -> pl.DataFrame:
    """The balanced postings of many events.

    events: one row an event, with `event` (a key of EVENT_RULES), `net_minor`, and if any `tax_minor` and
    `fee_minor` (absent or null: 0). Other columns are kept on each posting: the document, the currency.
    Returns, in the order of the events, those columns with `position` (from 1 within an event), `account`,
    `debit_minor`, `credit_minor` (Int64). A posting of 0 is left out, so an event of 0 has none.
    Raises `unknown_event`, `negative_quantity`, `amount_out_of_range`; asserts that each event balances.
    """
    kept = [name for name in events.columns if name not in AMOUNTS]
    if events.is_empty():
        return pl.DataFrame(schema={**{name: events.schema[name] for name in kept}, **_POSTING_SCHEMA})
    amounts = [name for name in AMOUNTS if name in events.columns]
    _check(events, amounts)
    amount = pl.sum_horizontal(
        pl.when(f"_has_{name}").then(pl.col(name).fill_null(0).cast(pl.Int64)).otherwise(0)
        for name in amounts
    )
    posted = (
        events.with_row_index("_row")
        .join(_RULES, on="event", maintain_order="left_right")
        .with_columns(amount.alias("_amount"))
        .filter(pl.col("_amount") != 0)
        .with_columns(
            (pl.int_range(pl.len()).over("_row") + 1).cast(pl.Int64).alias("position"),
            pl.when("_is_debit").then("_amount").otherwise(0).alias("debit_minor"),
            pl.when("_is_debit").then(0).otherwise("_amount").alias("credit_minor"),
        )
    )
    sides = posted.group_by("_row").agg(pl.col("debit_minor").sum(), pl.col("credit_minor").sum())
    assert sides.filter(pl.col("debit_minor") != pl.col("credit_minor")).is_empty(), (
        "an entry does not balance"
    )
    return posted.select(*kept, *_POSTING_SCHEMA)


_RULES = pl.DataFrame(
    [
        (event, rule.account, rule.side == "debit", *(name in rule.amounts for name in AMOUNTS))
        for event, rules in EVENT_RULES.items()
        for rule in rules
    ],
    schema=["event", "account", "_is_debit", *(f"_has_{name}" for name in AMOUNTS)],
    orient="row",
)
"""EVENT_RULES as a frame: a row a posting, in their order."""

_POSTING_SCHEMA = {
    "position": pl.Int64(),
    "account": pl.String(),
    "debit_minor": pl.Int64(),
    "credit_minor": pl.Int64(),
}


def _check(events: pl.DataFrame, amounts: list[str]) -> None:
    unknown = pl.col("event").filter(~pl.col("event").is_in(list(EVENT_RULES)).fill_null(False))
    (found,) = events.select(
        unknown.len().alias("unknown"),
        unknown.first().alias("event"),
        *((pl.col(name) < 0).any().alias(f"{name}_negative") for name in amounts),
        *((pl.col(name) > DOCUMENT_LIMIT).any().alias(f"{name}_large") for name in amounts),
    ).iter_rows(named=True)
    if found["unknown"]:
        raise BillingError("unknown_event", f"{found['event']!r}")
    for name in amounts:
        if found[f"{name}_negative"]:
            raise BillingError("negative_quantity", f"{name} of an event of the journal is negative")
        if found[f"{name}_large"]:
            raise BillingError("amount_out_of_range", f"{name} of an event of the journal")


def check_period_open(posted_on: date, locked_months: set[date]) -> None:
    """Raises `period_locked` where the month of a posting (its first day) is locked."""
    if posted_on.replace(day=1) in locked_months:
        raise BillingError("period_locked", f"{posted_on:%Y-%m}")
