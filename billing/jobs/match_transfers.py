"""Takes in what came in at the bank and finds out whose it is.

A transfer is in the books from the day it came in, matched or not. It is matched by the invoice numbers in
its reference, else by its amount (core.receipts); what is left unmatched waits for a person, or for the next
call: an invoice that was not issued yet, or was being charged, may be there by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import and_, exists, select

from billing.core.money import BillingError, parse_money
from billing.core.receipts import (
    matched_by_amount,
    named_ids,
    named_invoices,
    named_numbers,
    named_payers,
    plain_name,
    possible_totals,
)
from billing.core.refusals import REFUSALS
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.journal import locked_months, post_events
from billing.jobs.receive import receive
from billing.store.debts import DEBT
from billing.store.messages import announce, keep_rejected_once, rows_as_json
from billing.store.store import Store
from billing.store.tables import applications, bank_transfers, customers, invoices, legal_entities

NEEDED = ("entity_id", "bank_ref", "received_on", "amount", "currency")
OPTIONAL = ("payer_name", "reference")
_TEXTS = ("entity_id", "bank_ref", "currency", *OPTIONAL)


@dataclass(frozen=True, slots=True)
class TransferAnswer:
    """What became of the rows sent: the first three add up to them. `rejected`: `row` (from 0), `bank_ref`,
    `code`, `detail`. `matched`: how many transfers were matched, older ones too."""

    accepted: int
    duplicate: int
    rejected: pl.DataFrame
    matched: int


def import_transfers(store: Store, at: datetime, rows: pl.DataFrame) -> TransferAnswer:
    """Take in the rows of a bank statement and match what is unmatched, in one transaction.

    rows: NEEDED columns as text, `received_on` a day or its ISO text, `amount` decimal text in major units
    ("1176.00") or a whole number of them; and if any `payer_name`, `reference`. A transfer is known by
    (entity_id, bank_ref): the same content again is a duplicate and changes nothing.
    Codes of refused rows: missing_value, unknown_entity, unknown_currency, float_money, bad_decimal,
    too_many_decimals, amount_out_of_range, negative_quantity (money that went out, or none), bad_time,
    future_event, period_locked (the books of that day are closed), duplicate_conflict.
    Raises `missing_column` for a frame of another shape, `naive_time`.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    with store.transaction():
        # Imports take turns, so that each sees all that came before it.
        store.take_numbers("", "bank_transfer", 0, 0, at)
        known = _with_codes(store, at, _shaped(rows))
        accepted = known.filter(pl.col("code").is_null() & ~pl.col("is_duplicate"))
        rejected = known.filter(pl.col("code").is_not_null())
        new = _write(store, at, accepted)
        matched = _match(store, at, new["transfer_id"])
        _note_unmatched(store, at, new.join(matched.filter("is_direct"), on="transfer_id", how="anti"))
        answer = _keep(store, at, rejected, rows)
    return TransferAnswer(
        accepted.height, known.height - accepted.height - rejected.height, answer, matched.height
    )


def import_transfer_files(store: Store, at: datetime, paths: Sequence[Path]) -> list[TransferAnswer]:
    """Take in CSV files, each in a transaction of its own. Raises `unreadable_file`, `missing_column`."""
    frames = []
    for path in paths:
        try:
            frames.append(pl.read_csv(path, infer_schema=False))
        except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise BillingError("unreadable_file", f"{path}: {str(error).splitlines()[0][:200]}") from None
        _shaped(frames[-1])
    return [import_transfers(store, at, frame) for frame in frames]


# Rows as they were sent.


def _shaped(rows: pl.DataFrame) -> pl.DataFrame:
    """All columns, numbered; texts without blanks around them, an empty one null where it is needed."""
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise BillingError("missing_column", ", ".join(missing))
    with_all = rows.with_columns(pl.lit("").alias(name) for name in OPTIONAL if name not in rows.columns)
    texts = [pl.col(name).cast(pl.String).str.strip_chars() for name in _TEXTS]
    day = pl.col("received_on")
    if rows.schema["received_on"] == pl.String:
        day = day.str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
    money = pl.col("amount")
    if not rows.schema["amount"].is_float():
        money = money.cast(pl.String).str.strip_chars()
    return with_all.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        pl.col("received_on").is_null().alias("_has_no_day"),
        *texts,
        day.cast(pl.Date, strict=False).alias("received_on"),
        money.alias("amount"),
    ).with_columns(
        *(pl.when(pl.col(name) != "").then(name) for name in _TEXTS if name in NEEDED),
        *(pl.col(name).fill_null("") for name in OPTIONAL),
    )


def _with_codes(store: Store, at: datetime, rows: pl.DataFrame) -> pl.DataFrame:
    """`amount_minor`, the code of what is wrong with a row, and `is_duplicate`."""
    sellers = store.frame(select(legal_entities.c.entity_id))["entity_id"]
    locked = locked_months(store).select(
        "entity_id", pl.col("month").alias("_month"), pl.lit(True).alias("_is_locked")
    )
    rows = (
        _valued(rows)
        .with_columns(pl.col("received_on").dt.month_start().alias("_month"))
        .join(locked, on=["entity_id", "_month"], how="left", maintain_order="left")
    )
    is_missing = pl.any_horizontal(
        pl.col("entity_id", "bank_ref", "amount", "currency").is_null(), pl.col("_has_no_day")
    )
    code = (
        pl.when(is_missing)
        .then(pl.lit("missing_value"))
        .when(~pl.col("entity_id").is_in(sellers.implode()))
        .then(pl.lit("unknown_entity"))
        .when(pl.col("_value_code").is_not_null())
        .then("_value_code")
        .when(pl.col("received_on").is_null())
        .then(pl.lit("bad_time"))
        .when(pl.col("received_on") > at.date() + timedelta(days=1))
        .then(pl.lit("future_event"))
    )
    return _repeats(store, rows.with_columns(code.alias("code")))


def _valued(rows: pl.DataFrame) -> pl.DataFrame:
    """Each distinct amount read once, by the rule of money."""
    found: list[tuple[Any, str, int | None, str | None]] = []
    for text, currency in rows.select("amount", "currency").drop_nulls().unique().iter_rows():
        try:
            minor = parse_money(text, currency)
            found.append((text, currency, minor, None if minor > 0 else "negative_quantity"))
        except BillingError as error:
            found.append((text, currency, None, error.code))
    schema: dict[str, Any] = {
        "amount": rows.schema["amount"],
        "currency": pl.String,
        "amount_minor": pl.Int64,
        "_value_code": pl.String,
    }
    table = pl.DataFrame(found, schema=schema, orient="row")
    return rows.join(table, on=["amount", "currency"], how="left", maintain_order="left")


_CONTENT = ("received_on", "amount_minor", "currency", "payer_name", "reference")
_KEY = ["entity_id", "bank_ref"]


def _repeats(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose key came before, here or in an earlier file: duplicates, or conflicts where they differ."""
    sound = rows.filter(pl.col("code").is_null())
    firsts = sound.unique(_KEY, keep="first", maintain_order=True)
    with store.temporary(firsts.select(_KEY)) as given:
        known = store.frame(
            select(*(bank_transfers.c[name] for name in (*_KEY, *_CONTENT))).join(
                given,
                (given.c.entity_id == bank_transfers.c.entity_id)
                & (given.c.bank_ref == bank_transfers.c.bank_ref),
            )
        )
    before = pl.concat(
        [
            known.with_columns(pl.lit(-1, pl.Int64).alias("_first")),
            firsts.select(*_KEY, *_CONTENT, pl.col("row").alias("_first")),
        ]
    ).unique(_KEY, keep="first", maintain_order=True)
    rows = rows.join(before, on=_KEY, how="left", suffix="_before", maintain_order="left")
    is_repeat = pl.col("code").is_null() & (pl.col("row") != pl.col("_first"))
    is_same = pl.all_horizontal(pl.col(name) == pl.col(f"{name}_before") for name in _CONTENT)
    is_locked = pl.col("_is_locked").fill_null(False)
    return rows.with_columns(
        (is_repeat & is_same).fill_null(False).alias("is_duplicate"),
        pl.when(is_repeat & ~is_same)
        .then(pl.lit("duplicate_conflict"))
        .when(pl.col("code").is_null() & ~is_repeat & is_locked)
        .then(pl.lit("period_locked"))
        .otherwise("code")
        .alias("code"),
    )


def _keep(store: Store, at: datetime, rejected: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """Keep refused rows as they were sent; returns what the answer says of them."""
    words = pl.col("code").replace_strict(REFUSALS, default=None, return_dtype=pl.String)
    answer = rejected.select("row", "bank_ref", "code", words.alias("detail"))
    payload = sent[answer["row"]].select(rows_as_json(sent).alias("payload")).to_series()
    keep_rejected_once(store, at, "import_transfers", answer.select("code", "detail", payload))
    return answer


# What is written.


def _write(store: Store, at: datetime, accepted: pl.DataFrame) -> pl.DataFrame:
    new = accepted.select(
        pl.Series("transfer_id", store.new_ids("btr", accepted.height), dtype=pl.String),
        *_KEY,
        *_CONTENT,
        pl.lit("unmatched").alias("state"),
    )
    store.insert(bank_transfers, new, at)
    return new


def _note_unmatched(store: Store, at: datetime, new: pl.DataFrame) -> None:
    """The books have what was not matched as it came in, owed to a payer nobody knows yet."""
    nobody = pl.lit(None, pl.String)
    post_events(
        store,
        at,
        new.select(
            pl.lit("transfer_received").alias("event"),
            pl.lit("bank_transfer").alias("source_kind"),
            pl.col("transfer_id").alias("source_id"),
            "entity_id",
            nobody.alias("customer_id"),
            nobody.alias("invoice_id"),
            "currency",
            pl.col("received_on").alias("posted_on"),
            pl.col("amount_minor").alias("net_minor"),
        ),
    )
    names = ("entity_id", "bank_ref", "amount_minor", "currency")
    announce(
        store,
        at,
        [
            ("transfer.received", row["transfer_id"], {name: row[name] for name in names})
            for row in new.iter_rows(named=True)
        ],
    )


# Whose it is.

_UNMATCHED = (
    select(
        bank_transfers.c.transfer_id,
        bank_transfers.c.entity_id,
        bank_transfers.c.currency,
        bank_transfers.c.amount_minor,
        bank_transfers.c.received_on,
        bank_transfers.c.bank_ref,
        bank_transfers.c.payer_name,
        bank_transfers.c.reference,
    )
    .where(bank_transfers.c.state == "unmatched", bank_transfers.c.matched_by.is_(None))
    .with_for_update(skip_locked=True)
)
_NUMBERED = select(
    invoices.c.entity_id,
    invoices.c.number,
    invoices.c.invoice_id,
    invoices.c.customer_id.label("payer_id"),
    invoices.c.currency,
    invoices.c.state,
)
_IS_OPEN = invoices.c.state == "open"
_OPEN = DEBT.where(_IS_OPEN)
_OPEN_IDS = select(invoices.c.invoice_id).where(_IS_OPEN)
_PAID_IN_PART = _OPEN_IDS.where(exists().where(applications.c.invoice_id == invoices.c.invoice_id))
_EARLY_SHARES = (
    select(invoices.c.early_discount_ppm.label("discount_ppm"))
    .where(_IS_OPEN, invoices.c.early_discount_ppm > 0)
    .distinct()
)
_NAMES = select(customers.c.customer_id.label("payer_id"), customers.c.entity_id, customers.c.name)


def match_transfers(store: Store, at: datetime) -> int:
    """Match what is unmatched; returns how many transfers were. Raises `period_locked`, `naive_time`."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    with store.transaction():
        return _match(store, at, pl.Series("transfer_id", [], dtype=pl.String)).height


def _match(store: Store, at: datetime, new_ids: pl.Series) -> pl.DataFrame:
    """Two rounds: by reference, then by the amounts that leaves open. Returns as `receive`."""
    waiting = store.frame(_UNMATCHED).sort("received_on", "entity_id", "bank_ref")
    if waiting.is_empty():
        return pl.DataFrame(schema={"transfer_id": pl.String, "is_direct": pl.Boolean})
    waiting = waiting.with_columns(pl.col("transfer_id").is_in(new_ids.implode()).alias("is_new"))
    named, unclear = named_invoices(waiting, _numbered(store, waiting))
    by_reference = _received(store, at, waiting, named, "reference")
    for known in (named, unclear):
        waiting = waiting.join(known, on="transfer_id", how="anti", maintain_order="left")
    if waiting.is_empty():
        return by_reference
    payers = named_payers(waiting, _possible_payers(store, waiting))
    found = matched_by_amount(waiting, _possible_debts(store, waiting, payers), payers)
    return pl.concat([by_reference, _received(store, at, waiting, found, "amount")])


def _possible_payers(store: Store, transfers: pl.DataFrame) -> pl.DataFrame:
    """Whom the transfers may name: by an id among their words, or by the name of who sent them."""
    ids = named_ids(transfers)["payer_id"].unique().sort().to_list()
    by_id = read_by_ids(store, _NAMES, customers.c.customer_id, ids)
    signed = transfers.filter(plain_name(pl.col("payer_name")) != "")
    if signed.is_empty():
        return by_id
    by_seller = read_by_ids(store, _NAMES, customers.c.entity_id, signed["entity_id"].unique().to_list())
    return pl.concat([by_id, by_seller]).unique(maintain_order=True)


def _possible_debts(store: Store, transfers: pl.DataFrame, payers: pl.DataFrame) -> pl.DataFrame:
    """The open invoices a transfer may mean: all of who it names; of others those whose total asks for its
    amount, early discount or not, and those something was paid of, which may ask for any."""
    named = payers["payer_id"].unique().sort().to_list()
    of_payers = read_by_ids(store, _OPEN, invoices.c.customer_id, named)
    unsigned = transfers.join(payers, on="transfer_id", how="anti")
    if unsigned.is_empty():
        return of_payers
    shares = store.frame(_EARLY_SHARES)["discount_ppm"]
    with store.temporary(possible_totals(unsigned, shares)) as wanted:
        asks_for_it = (
            wanted.c[name] == invoices.c[name] for name in ("entity_id", "currency", "total_minor")
        )
        of_amount = store.frame(_OPEN_IDS.join(wanted, and_(*asks_for_it)))
    sellers = unsigned["entity_id"].unique().sort().to_list()
    paid_of = read_by_ids(store, _PAID_IN_PART, invoices.c.entity_id, sellers)
    ids = pl.concat([of_amount, paid_of])["invoice_id"].unique().sort().to_list()
    return pl.concat([of_payers, read_by_ids(store, _OPEN, invoices.c.invoice_id, ids)]).unique("invoice_id")


def _numbered(store: Store, transfers: pl.DataFrame) -> pl.DataFrame:
    """The invoices whose numbers references may name, as core.receipts.named_invoices takes them."""
    numbers = named_numbers(transfers).join(
        transfers.select("transfer_id", "entity_id"), on="transfer_id", maintain_order="left"
    )
    with store.temporary(numbers.select("entity_id", "number").unique()) as given:
        found = store.frame(
            _NUMBERED.join(
                given, (given.c.entity_id == invoices.c.entity_id) & (given.c.number == invoices.c.number)
            )
        )
    return numbers.join(found, on=["entity_id", "number"], maintain_order="left")


def _received(
    store: Store, at: datetime, transfers: pl.DataFrame, found: pl.DataFrame, matched_by: str
) -> pl.DataFrame:
    payers = found.select("transfer_id", "payer_id").unique()
    money = transfers.join(payers, on="transfer_id", maintain_order="left").with_columns(
        pl.lit(matched_by).alias("matched_by")
    )
    if money.is_empty():
        return pl.DataFrame(schema={"transfer_id": pl.String, "is_direct": pl.Boolean})
    return receive(store, at, money, found.select("transfer_id", "invoice_id"))
