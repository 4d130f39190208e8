"""Money that comes in at the bank: whose it is, and what it pays.

A transfer is matched by the invoice numbers in its reference, else by its amount. More than one answer is no
answer: such a transfer is left to a person. What is matched pays the invoices it names, else the payer's, the
oldest due first; what is paid in time may keep back an early-payment discount.
"""

from typing import NamedTuple, overload

import polars as pl

from billing.core.adjustments import applied
from billing.core.money import PPM, Number, greatest, share, wide

OWNER = ["payer_id", "entity_id", "currency"]

# Whose it is, by reference.

_MENTION = r"\bINV[^A-Z0-9]{0,3}(?:19|20)\d\d[^A-Z0-9]{0,3}\d{1,9}(?: \d{1,5})?\b"
_PLACES = 6
"""Digits of a number: INV-2025-000012."""
_WORD = r"[^\s,;]+"


def named_numbers(transfers: pl.DataFrame) -> pl.DataFrame:
    """The invoice numbers that references may name.

    transfers: `transfer_id`, `reference`. Returns `transfer_id`, `mention` (which words of the reference),
    `number`; several numbers of one mention are several readings of it. A number of the engine's own form is
    read without regard to case, separators and missing zeros (`inv 2025/12` is INV-2025-000012); a number of
    any other form has to stand there as it is.
    """
    texts = transfers.select("transfer_id", pl.col("reference").str.to_uppercase())
    mentions = (
        texts.with_columns(pl.col("reference").str.extract_all(_MENTION).alias("mention"))
        .explode("mention")
        .filter(pl.col("mention").is_not_null())
    )
    year = pl.col("mention").str.extract(r"^INV\D*?((?:19|20)\d\d)", 1)
    digits = pl.col("mention").str.replace(r"^INV\D*?(?:19|20)\d\d", "").str.extract_all(r"\d+")
    first, joined = digits.list.first(), digits.list.join("")
    is_split = (first.str.len_chars() < _PLACES) & (joined.str.len_chars() == _PLACES)
    readings = mentions.select(
        "transfer_id",
        "mention",
        year.alias("year"),
        pl.concat_list(first, pl.when(is_split).then(joined)).alias("digits"),
    ).explode("digits")
    own = readings.filter(pl.col("digits").is_not_null()).select(
        "transfer_id",
        "mention",
        pl.format("INV-{}-{}", "year", pl.col("digits").str.strip_chars_start("0").str.zfill(_PLACES)).alias(
            "number"
        ),
    )
    return pl.concat([own, _words(transfers)]).unique(maintain_order=True)


def _words(transfers: pl.DataFrame) -> pl.DataFrame:
    """Each word that holds a digit, as it stands."""
    words = (
        transfers.select("transfer_id", pl.col("reference").str.extract_all(_WORD).alias("number"))
        .explode("number")
        .with_columns(pl.col("number").str.strip_chars(".:()#"))
        .filter(pl.col("number").str.contains(r"\d") & (pl.col("number").str.len_chars() >= 5))
    )
    return words.select("transfer_id", pl.col("number").alias("mention"), "number")


def named_invoices(transfers: pl.DataFrame, found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What each reference names, and the transfers whose reference says nothing or too much.

    transfers: `transfer_id`, `currency`. found: the invoices of `named_numbers` that there are, with
    `transfer_id`, `mention`, `invoice_id`, `payer_id`, `currency`, `state`. Returns `transfer_id`,
    `payer_id`, `invoice_id`; and the ids of transfers that are unclear: two readings of one mention, several
    payers, another currency, or a void invoice.
    """
    rows = found.join(transfers.select("transfer_id", pl.col("currency").alias("_paid_in")), on="transfer_id")
    readings = pl.col("invoice_id").n_unique().over("transfer_id", "mention")
    is_unclear = (
        (readings > 1)
        | (pl.col("payer_id").n_unique().over("transfer_id") > 1)
        | (pl.col("currency") != pl.col("_paid_in"))
        | pl.col("state").is_in(["void", "draft"])
    )
    rows = rows.with_columns(is_unclear.alias("_is_unclear")).with_columns(
        pl.col("_is_unclear").any().over("transfer_id")
    )
    named = rows.filter(~pl.col("_is_unclear")).select("transfer_id", "payer_id", "invoice_id").unique()
    return named, rows.filter("_is_unclear").select("transfer_id").unique()


# Whose it is, by amount.


def plain_name(name: pl.Expr) -> pl.Expr:
    """A name by which payers are compared: letters and digits alone, in one case."""
    return name.str.to_uppercase().str.replace_all(r"[^\p{L}\p{N}]", "")


def named_payers(transfers: pl.DataFrame, payers: pl.DataFrame) -> pl.DataFrame:
    """Who a transfer may come from: customers of its entity with the payer's name, or whose id stands in the
    reference or the name.

    transfers: `transfer_id`, `entity_id`, `payer_name`, `reference`. payers: `payer_id`, `entity_id`,
    `name`. Returns `transfer_id`, `payer_id`.
    """
    by_name = transfers.with_columns(plain_name(pl.col("payer_name")).alias("_name")).filter(
        pl.col("_name") != ""
    )
    names = payers.with_columns(plain_name(pl.col("name")).alias("_name"))
    by_id = named_ids(transfers).join(payers, on=["entity_id", "payer_id"])
    return pl.concat(
        [
            by_name.join(names, on=["entity_id", "_name"]).select("transfer_id", "payer_id"),
            by_id.select("transfer_id", "payer_id"),
        ]
    ).unique(maintain_order=True)


def named_ids(transfers: pl.DataFrame) -> pl.DataFrame:
    """Every word that may be a customer's id: `transfer_id`, `entity_id`, `payer_id`."""
    text = pl.concat_str("reference", "payer_name", separator=" ")
    words = transfers.select("transfer_id", "entity_id", text.str.extract_all(_WORD).alias("payer_id"))
    return words.explode("payer_id").with_columns(pl.col("payer_id").str.strip_chars(".:()#")).drop_nulls()


def matched_by_amount(transfers: pl.DataFrame, debts: pl.DataFrame, payers: pl.DataFrame) -> pl.DataFrame:
    """The invoices that a transfer's amount can only mean.

    transfers: `transfer_id`, `entity_id`, `currency`, `amount_minor`, `received_on`. debts: as in
    `paid_in_turn`, every open invoice of the payers they name, and for the others every one of their entity
    that asks for their amount. payers: as `named_payers` returns. An answer is one
    invoice of exactly that amount or, where the transfer names its payer, all that payer has open; if it
    names one, of that payer alone. What early payment leaves to pay is such an amount too. Returns
    `transfer_id`, `payer_id`, `invoice_id` where there is one answer that no other transfer claims.
    """
    asked = transfers.select("transfer_id", "entity_id", "currency", "amount_minor", "received_on")
    debts = with_discount(debts)
    known = asked.join(payers, on="transfer_id").join(debts, on=OWNER)
    unknown = asked.join(payers, on="transfer_id", how="anti")
    amounts = debts.select("entity_id", "currency", pl.concat_list("open_minor", "early_minor"), "invoice_id")
    of_anyone = (
        unknown.join(
            amounts.explode("open_minor").unique().rename({"open_minor": "amount_minor"}),
            on=["entity_id", "currency", "amount_minor"],
        )
        .join(debts.drop("entity_id", "currency"), on="invoice_id")
        .select(known.columns)
    )
    is_amount = pl.col("amount_minor").is_in(pl.concat_list("open_minor", due_of("received_on")))
    singles = pl.concat([known, of_anyone]).filter(is_amount)
    sums = pl.concat_list(pl.col("open_minor").sum(), due_of("received_on").sum())
    whole = known.group_by("transfer_id", "payer_id").agg(
        pl.col("invoice_id").sort(), (pl.col("amount_minor").first().is_in(sums)).alias("_is_sum")
    )
    answers = pl.concat(
        [
            singles.select("transfer_id", "payer_id", pl.concat_list("invoice_id").alias("invoice_id")),
            whole.filter("_is_sum").drop("_is_sum"),
        ]
    ).unique()
    rows = answers.filter(pl.len().over("transfer_id") == 1).explode("invoice_id")
    rows = rows.with_columns((pl.len().over("invoice_id") == 1).alias("_is_claimed_once"))
    return rows.filter(pl.col("_is_claimed_once").all().over("transfer_id")).drop("_is_claimed_once")


def possible_totals(transfers: pl.DataFrame, shares: pl.Series) -> pl.DataFrame:
    """The totals of which nothing was paid yet that may ask for the transfers' amounts: these themselves, and
    those an early discount brings down to them. shares: the discounts there are, in parts per million.

    transfers: `entity_id`, `currency`, `amount_minor`. Returns `entity_id`, `currency`, `total_minor`.
    """
    asked = transfers.select("entity_id", "currency", total_minor="amount_minor").unique()
    amount, rest = wide(pl.col("total_minor")), PPM - wide(pl.col("_share"))
    # It was rounded by less than one, and a range leaves out its end.
    around = [(amount - 1) * PPM // rest, (amount + 1) * PPM // rest + 1]
    brought_down = (
        asked.join(pl.DataFrame({"_share": shares.filter(shares < PPM)}), how="cross")
        .with_columns(
            pl.int_ranges(*(end.cast(pl.Int64, strict=False) for end in around)).alias("total_minor")
        )
        .explode("total_minor")
        .drop("_share")
    )
    return pl.concat([asked, brought_down.drop_nulls()]).unique()


# What it pays.


@overload
def early_discount(base_minor: int, discount_ppm: int) -> int: ...
@overload
def early_discount(base_minor: pl.Expr, discount_ppm: pl.Expr) -> pl.Expr: ...
def early_discount(base_minor: Number, discount_ppm: Number) -> Number:
    """What may be kept back of an invoice that is paid in time: 2 % of 1,200.00 is 24.00."""
    return share(base_minor, discount_ppm, PPM)


def with_discount(debts: pl.DataFrame) -> pl.DataFrame:
    """Adds `discount_minor`, the most that may still be kept back of each invoice, and `early_minor`, what is
    to be paid in time for that; without a discount 0, and all that is open.

    The discount is of what money has to pay: the total less the credit notes that pay a part of it. It is
    given once all money that came in time is the rest of that, however many payments it came in.
    """
    if not (debts["discount_ppm"] > 0).any():
        return debts.with_columns(
            pl.lit(0, pl.Int64).alias("discount_minor"), pl.col("open_minor").alias("early_minor")
        )
    # Column by column: as one expression each part would be worked out many times over.
    base, most, wanted = pl.col("_base"), pl.col("_most"), pl.col("_wanted")
    has_discount = (pl.col("discount_ppm") > 0) & ~pl.col("is_discounted") & (wanted <= pl.col("open_minor"))
    return (
        debts.with_columns((pl.col("total_minor") - pl.col("noted_minor")).alias("_base"))
        .with_columns(early_discount(base, pl.col("discount_ppm")).cast(pl.Int64).alias("_most"))
        .with_columns(greatest(base - most - pl.col("in_time_minor"), 0).alias("_wanted"))
        .with_columns(has_discount.alias("_has_discount"))
        .with_columns(
            pl.when("_has_discount").then(most).otherwise(0).alias("discount_minor"),
            pl.when("_has_discount").then(wanted).otherwise("open_minor").alias("early_minor"),
        )
        .drop("_base", "_most", "_wanted", "_has_discount")
    )


def is_in_time(received_on: str) -> pl.Expr:
    """Whether what was received on that day may keep the invoice's discount."""
    return ((pl.col("discount_minor") > 0) & (pl.col(received_on) <= pl.col("discount_until"))).fill_null(
        False
    )


def due_of(received_on: str) -> pl.Expr:
    """What settles an invoice on that day."""
    return pl.when(is_in_time(received_on)).then("early_minor").otherwise("open_minor")


class Paid(NamedTuple):
    """`applications`: `transfer_id`, `invoice_id`, `amount_minor`. `discounts`: the two ids, `net_minor`,
    `tax_minor`. `debts`: as they are left."""

    applications: pl.DataFrame
    discounts: pl.DataFrame
    debts: pl.DataFrame


def paid_in_turn(money: pl.DataFrame, targets: pl.DataFrame, debts: pl.DataFrame) -> Paid:
    """Let each transfer pay its invoices in their order; what it has left is credit.

    money: `transfer_id`, OWNER, `amount_minor`, `received_on`; those of one payer one after another in the
    order of the rows. targets: `transfer_id`, `invoice_id`, in the order they are paid. debts: one row an
    invoice with OWNER, `invoice_id`, `open_minor`, `net_minor`, `total_minor`, and for its discount
    `discount_ppm`, `discount_until` (may be null), `noted_minor` (paid by credit notes), `in_time_minor`
    (money that came in time), `is_discounted` (it was given).

    A transfer pays of each invoice first what settles it in time, and with the rest what they might have kept
    back. The tax of a discount is the rest of it after its share by net.
    """
    turn = pl.int_range(pl.len()).over("payer_id").alias("_turn")
    applications, discounts = [], []
    for now in money.with_columns(turn).partition_by("_turn", maintain_order=True):
        rows = (
            now.join(targets, on="transfer_id", maintain_order="left_right")
            .join(with_discount(debts).drop(OWNER), on="invoice_id", maintain_order="left")
            .with_columns(due_of("received_on").alias("_due"))
        )
        paid = _paid_once(now, rows)
        applications.append(
            paid.filter(pl.col("amount_minor") > 0).select("transfer_id", "invoice_id", "amount_minor")
        )
        given = _discounts(paid)
        discounts.append(given)
        debts = _less(debts, paid, given)
    return Paid(pl.concat(applications), pl.concat(discounts), debts)


def _paid_once(now: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """One transfer a payer: `amount_minor` of each of its invoices, with the invoice's other columns."""
    source: list[str | pl.Expr] = [
        *OWNER,
        pl.lit("payment").alias("source_kind"),
        pl.col("transfer_id").alias("source_id"),
    ]
    first = applied(
        now.select(*source, pl.col("amount_minor").alias("left_minor")),
        rows.select(*OWNER, "invoice_id", pl.col("_due").alias("open_minor")),
    )
    rows = _with_part(rows, first, "_first")
    spent = rows.group_by("transfer_id").agg(pl.col("_first").sum())
    rest = now.join(spent, on="transfer_id", how="left", maintain_order="left")
    second = applied(
        rest.select(*source, (pl.col("amount_minor") - pl.col("_first").fill_null(0)).alias("left_minor")),
        rows.select(*OWNER, "invoice_id", pl.col("open_minor") - pl.col("_first")),
    )
    return _with_part(rows, second, "_second").with_columns(
        (pl.col("_first") + pl.col("_second")).alias("amount_minor")
    )


def _with_part(rows: pl.DataFrame, paid: pl.DataFrame, name: str) -> pl.DataFrame:
    part = paid.select(
        "invoice_id", pl.col("source_id").alias("transfer_id"), pl.col("amount_minor").alias(name)
    )
    return rows.join(part, on=["transfer_id", "invoice_id"], how="left", maintain_order="left").with_columns(
        pl.col(name).fill_null(0)
    )


def _discounts(paid: pl.DataFrame) -> pl.DataFrame:
    """What is left of invoices that are paid something and whose money came in time, where it is no more than
    may be kept back."""
    amount, left = pl.col("amount_minor"), pl.col("open_minor") - pl.col("amount_minor")
    is_given = is_in_time("received_on") & (amount > 0) & (amount >= pl.col("early_minor")) & (left > 0)
    given = paid.filter(is_given).with_columns(left.alias("_left"))
    if given.is_empty():
        return _NO_DISCOUNTS
    net = share(pl.col("_left"), pl.col("net_minor"), pl.col("total_minor")).cast(pl.Int64)
    return given.select(
        "transfer_id", "invoice_id", net.alias("net_minor"), (pl.col("_left") - net).alias("tax_minor")
    )


_NO_DISCOUNTS = pl.DataFrame(
    schema={
        **dict.fromkeys(("transfer_id", "invoice_id"), pl.String),
        **dict.fromkeys(("net_minor", "tax_minor"), pl.Int64),
    }
)


def _less(debts: pl.DataFrame, paid: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """The debts after what was paid and kept back."""
    in_time = pl.when(is_in_time("received_on")).then("amount_minor").otherwise(0)
    kept = given.select("invoice_id", (pl.col("net_minor") + pl.col("tax_minor")).alias("_kept"))
    parts = paid.select("invoice_id", pl.col("amount_minor").alias("_paid"), in_time.alias("_in_time"))
    rows = debts.join(parts, on="invoice_id", how="left", maintain_order="left").join(
        kept, on="invoice_id", how="left", maintain_order="left"
    )
    zero = pl.col("_paid", "_in_time", "_kept").fill_null(0)
    return rows.with_columns(pl.col("_kept").is_not_null().alias("_is_given"), zero).select(
        *(name for name in debts.columns if name not in ("open_minor", "in_time_minor", "is_discounted")),
        (pl.col("open_minor") - pl.col("_paid") - pl.col("_kept")).alias("open_minor"),
        (pl.col("in_time_minor") + pl.col("_in_time")).alias("in_time_minor"),
        (pl.col("is_discounted") | pl.col("_is_given")).alias("is_discounted"),
    )
