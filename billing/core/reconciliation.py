"""The books against the documents: what the journal should hold, and where it does not.

Documents are told as the events that they are (core.ledger says which accounts an event moves); the journal
is its lines. Both are summed by document and account, debits positive; where the sums differ, the books are
wrong.
"""

from collections.abc import Sequence

import polars as pl

from billing.core.ledger import postings_of

ROW = ["entity_id", "currency", "account", "document_kind", "document_id"]
ACCOUNT = ["entity_id", "currency", "account"]


def balances(postings: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The balance of postings, debits positive: the columns named, `amount_minor`."""
    amount = pl.col("debit_minor") - pl.col("credit_minor")
    return postings.group_by(by, maintain_order=True).agg(amount.sum().alias("amount_minor"))


def expected(documents: pl.DataFrame) -> pl.DataFrame:
    """What documents post. documents: `event`, `net_minor`, `tax_minor`, `fee_minor` of any sign (below 0:
    `undone`, the event that takes it back, and the amounts the other way round), and other columns to keep.
    """
    is_back = pl.any_horizontal(pl.col("net_minor", "tax_minor", "fee_minor") < 0)
    told = documents.with_columns(
        pl.when(is_back).then("undone").otherwise("event").alias("event"),
        *(pl.when(is_back).then(-pl.col(name)).otherwise(name).alias(name) for name in _AMOUNTS),
    ).drop("undone")
    return postings_of(told)


_AMOUNTS = ("net_minor", "tax_minor", "fee_minor")


def differences(wanted: pl.DataFrame, posted: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Where balances differ: the columns named, `expected_minor`, `posted_minor`, in their order.

    wanted, posted: `amount_minor` by these columns, once each; what one of them lacks is 0 there.
    """
    both = wanted.rename({"amount_minor": "expected_minor"}).join(
        posted.rename({"amount_minor": "posted_minor"}), on=by, how="full", coalesce=True, nulls_equal=True
    )
    amounts = pl.col("expected_minor", "posted_minor").fill_null(0)
    return (
        both.with_columns(amounts)
        .filter(pl.col("expected_minor") != pl.col("posted_minor"))
        .select(*by, "expected_minor", "posted_minor")
        .sort(by, nulls_last=True)
    )


def trial_balance(before: pl.DataFrame, postings: pl.DataFrame) -> pl.DataFrame:
    """ACCOUNT with `opening_minor`, `debit_minor`, `credit_minor`, `closing_minor`, debits positive.

    before: `amount_minor` by ACCOUNT at the month's start. postings: ACCOUNT, `debit_minor`, `credit_minor`
    of the month.
    """
    moved = postings.group_by(ACCOUNT).agg(pl.col("debit_minor", "credit_minor").sum())
    rows = before.rename({"amount_minor": "opening_minor"}).join(moved, on=ACCOUNT, how="full", coalesce=True)
    opening, debit, credit = (pl.col(name).fill_null(0) for name in _SIDES)
    return rows.select(
        *ACCOUNT, opening, debit, credit, (opening + debit - credit).alias("closing_minor")
    ).sort(ACCOUNT)


_SIDES = ("opening_minor", "debit_minor", "credit_minor")
