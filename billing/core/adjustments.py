"""What changes a line after it was priced: discounts, tax, commitments, credits and prepaid balance.

A line comes in as an exact or a posted amount and leaves as whole minor units. Every rounding is `post`,
every sharing `allocate`. Which lines there are, and on which document, is decided elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import polars as pl

from billing.core.money import (
    PPM,
    BillingError,
    Number,
    RoundingMode,
    greatest,
    least,
    post,
    product,
    wide,
    with_shares,
)

# Discounts.


@dataclass(frozen=True, slots=True)
class Discount:
    """A reduction of a document: `ppm` of what is left, or `amount_minor`. `on` holds the positions of the
    lines it reaches, None for all. Made with one of the two; raises `bad_rate`, `negative_quantity`."""

    ppm: int | None = None
    amount_minor: int | None = None
    on: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if (self.ppm is None) == (self.amount_minor is None):
            raise BillingError("bad_rate", "a discount is either a share or an amount")
        if self.ppm is not None and not 0 <= self.ppm <= PPM:
            raise BillingError("bad_rate", f"{self.ppm} ppm is not between 0 and 100 %")
        if self.amount_minor is not None and self.amount_minor < 0:
            raise BillingError("negative_quantity", f"a discount of {self.amount_minor}")


def discount_lines(
    lines_minor: Sequence[int],
    discounts: Sequence[Discount],
    *,
    order: str = "percent_first",
    mode: RoundingMode = "half_up",
) -> list[int]:
    """What discounts, from the oldest to the newest, take off each line of one document: `discounted`."""
    lines = pl.DataFrame(
        {"document": 0, "line": range(len(lines_minor)), "net_minor": lines_minor},
        schema={"document": pl.Int64, "line": pl.Int64, "net_minor": pl.Int64},
    )
    reached = [
        (0, line, age, discount.ppm, discount.amount_minor)
        for age, discount in enumerate(discounts)
        for line in range(len(lines_minor))
        if discount.on is None or line in discount.on
    ]
    reaches = pl.DataFrame(reached, schema=REACH_SCHEMA, orient="row")
    found = discounted(lines, reaches, order=order, mode=mode)
    taken = [0] * len(lines_minor)
    for line, amount in found.select("line", "taken_minor").iter_rows():
        taken[line] += amount
    return taken


REACH_SCHEMA = pl.Schema(
    {
        "document": pl.Int64(),
        "line": pl.Int64(),
        "age": pl.Int64(),
        "discount_ppm": pl.Int64(),
        "amount_minor": pl.Int64(),
    }
)


def discounted(
    lines: pl.DataFrame,
    reached: pl.DataFrame,
    *,
    order: str = "percent_first",
    mode: RoundingMode = "half_up",
) -> pl.DataFrame:
    """What the discounts of many documents take off their posted lines.

    lines: `document`, `line` (its number, in the order that breaks ties), `net_minor`; what is not above 0 is
    left alone. reached: as REACH_SCHEMA, one row a line that a discount reaches; discounts of a document
    differ in `age`, the oldest having the least. Returns `document`, `line`, `age` and `taken_minor` above 0.

    Shares act before amounts (`percent_first`), or discounts of fewer lines before those of more
    (`narrow_first`), each then by age. Each acts on what is left, is capped at it, and is allocated by it.
    Raises `unknown_setting`.
    """
    if order not in ("percent_first", "narrow_first"):
        raise BillingError("unknown_setting", f"discount_order {order!r}")
    one = ["document", "age"]
    is_amount = pl.col("discount_ppm").is_null()
    ranks = reached.with_columns(
        (is_amount if order == "percent_first" else pl.len().over(one)).cast(pl.Int64).alias("_rank")
    )
    placed = ranks.with_columns(
        pl.struct("_rank", "age").rank("dense").over("document").cast(pl.Int64).alias("_place")
    )
    left = lines.select("document", "line", wide(pl.max_horizontal("net_minor", 0)).alias("_left"))
    taken = [left.clear().select("document", "line", age=0, taken_minor=0)]
    for (_,), acting in placed.sort("_place").group_by("_place", maintain_order=True):
        rows = acting.drop("_rank", "_place").join(left, on=["document", "line"], maintain_order="left")
        rows = rows.sort("document", "line").with_columns(
            pl.col("_left").sum().over("document").alias("_base"),
        )
        share = post(product(pl.col("_base"), pl.col("discount_ppm")), PPM, mode)
        total = pl.when(is_amount).then(pl.min_horizontal("_base", "amount_minor")).otherwise(share)
        rows = rows.with_columns(total.alias("_total"))
        rows = with_shares(rows, "taken_minor", total="_total", weight="_left", group="document")
        now = rows.select("document", "line", "age", pl.col("taken_minor").cast(pl.Int64))
        taken.append(now.filter(pl.col("taken_minor") > 0))
        left = (
            left.join(now.drop("age"), on=["document", "line"], how="left", maintain_order="left")
            .with_columns(pl.col("_left") - pl.col("taken_minor").fill_null(0))
            .drop("taken_minor")
        )
    return pl.concat(taken, how="vertical_relaxed")


# Tax.


def tax_of(net_num: Number, net_den: Number, rate_ppm: Number, mode: RoundingMode = "half_up") -> Number:
    """Tax on a net amount, posted once. The net may be exact (`exact_net`: net and tax apart) or posted
    (den 1)."""
    return post(product(net_num, rate_ppm), product(net_den, PPM), mode)


def net_of_gross(gross_minor: Number, rate_ppm: Number, mode: RoundingMode = "half_up") -> Number:
    """The net of a price that includes tax; the tax is what is left of the gross."""
    return post(product(gross_minor, PPM), PPM + rate_ppm, mode)


def with_tax(
    lines: pl.DataFrame, group: Sequence[str], *, scope: str = "group", mode: RoundingMode = "half_up"
) -> pl.DataFrame:
    """Adds `tax_minor`, the tax of each line of many documents.

    lines: with `net_minor` and `tax_rate_ppm`. `group` names the columns of one tax group: document, category
    and rate. Scope `group` posts the tax of the group's sum once and allocates it to its lines by their size;
    `line` posts each line on its own. Within a group all lines have one sign; rows stand in the order that
    breaks ties. Raises `unknown_setting`.
    """
    if scope not in ("group", "line"):
        raise BillingError("unknown_setting", f"tax_scope {scope!r}")
    net = wide(pl.col("net_minor"))
    tax = post(pl.col("_tax"), PPM, mode)
    if scope == "line":
        return (
            lines.with_columns(product(net, pl.col("tax_rate_ppm")).alias("_tax"))
            .with_columns(tax.cast(pl.Int64).alias("tax_minor"))
            .drop("_tax")
        )
    groups = (
        lines.group_by(group)
        .agg(net.sum().alias("_net"), pl.col("tax_rate_ppm").first().alias("_rate"))
        .with_columns(product(pl.col("_net"), pl.col("_rate")).alias("_tax"))
        .with_columns(tax.alias("_tax"))
        .with_row_index("_group")
        .select(*group, "_group", "_tax")
    )
    return (
        with_shares(
            lines.join(
                groups, on=list(group), how="left", maintain_order="left", nulls_equal=True
            ).with_columns(pl.col("net_minor").abs().alias("_size")),
            "tax_minor",
            total="_tax",
            weight="_size",
            group="_group",
        )
        .with_columns(pl.col("tax_minor").cast(pl.Int64))
        .drop("_group", "_tax", "_size")
    )


class TaxLine(NamedTuple):
    """A line to be taxed: its posted net, its rate, its category."""

    net_minor: int
    rate_ppm: int
    category: str = "standard"


def tax_lines(lines: Sequence[TaxLine], *, scope: str = "group", mode: RoundingMode = "half_up") -> list[int]:
    """The tax of each line of one document: `with_tax` on its lines."""
    frame = pl.DataFrame(
        {
            "net_minor": pl.Series([line.net_minor for line in lines], dtype=pl.Int64),
            "tax_rate_ppm": pl.Series([line.rate_ppm for line in lines], dtype=pl.Int64),
            "category": pl.Series([line.category for line in lines], dtype=pl.String),
            "is_credit": pl.Series([line.net_minor < 0 for line in lines], dtype=pl.Boolean),
        }
    )
    group = ["category", "tax_rate_ppm", "is_credit"]
    return [int(value) for value in with_tax(frame, group, scope=scope, mode=mode)["tax_minor"]]


# Commitments.


@overload
def commitment_true_up(
    commitment_num: int, covered_num: int, den: int, *, rounding: str = ..., mode: RoundingMode = ...
) -> int: ...
@overload
def commitment_true_up(
    commitment_num: pl.Expr,
    covered_num: pl.Expr,
    den: pl.Expr,
    *,
    rounding: str = ...,
    mode: RoundingMode = ...,
) -> pl.Expr: ...
def commitment_true_up(
    commitment_num: Number,
    covered_num: Number,
    den: Number,
    *,
    rounding: str = "difference_of_posted",
    mode: RoundingMode = "half_up",
) -> Number:
    """What is due on top of the fees and usage a commitment covers, both of one period and over one `den`.

    `difference_of_posted` posts both and takes the difference, `posted_difference` posts the exact
    difference; never below 0. Raises `unknown_setting`.
    """
    if rounding == "difference_of_posted":
        return greatest(post(commitment_num, den, mode) - post(covered_num, den, mode), 0)
    if rounding == "posted_difference":
        return greatest(post(commitment_num - covered_num, den, mode), 0)
    raise BillingError("unknown_setting", f"true_up_rounding {rounding!r}")


# Credits of posted lines.


class PostedLine(NamedTuple):
    """A line as it was issued, and what earlier credits took back of it."""

    net_minor: int
    tax_minor: int
    credited_net_minor: int = 0
    credited_tax_minor: int = 0


class LineCredit(NamedTuple):
    net_minor: int
    tax_minor: int

    @property
    def total_minor(self) -> int:
        return self.net_minor + self.tax_minor


def credit_line(line: PostedLine, net_minor: int, mode: RoundingMode = "half_up") -> LineCredit:
    """Take back part of a line: the tax share is a running total, so the last credit leaves nothing of
    either.

    Raises `negative_quantity`, and `over_credit` above what is left of the line.
    """
    if net_minor < 0:
        raise BillingError("negative_quantity", f"a credit of {net_minor}")
    credited = line.credited_net_minor + net_minor
    if credited > line.net_minor:
        raise BillingError("over_credit", f"{net_minor} of {line.net_minor - line.credited_net_minor} left")
    tax = line.tax_minor if line.net_minor == 0 else post(line.tax_minor * credited, line.net_minor, mode)
    return LineCredit(net_minor, tax - line.credited_tax_minor)


class Settlement(NamedTuple):
    """How a credit note is paid out: money given back, and credit kept."""

    refunded_minor: int
    credited_minor: int


@overload
def refund_of(note_minor: int, paid_minor: int, used_minor: int) -> int: ...
@overload
def refund_of(note_minor: pl.Expr, paid_minor: pl.Expr, used_minor: pl.Expr) -> pl.Expr: ...
def refund_of(note_minor: Number, paid_minor: Number, used_minor: Number) -> Number:
    """What of a credit note is given back: what was paid beyond the value used, at most the note."""
    return least(note_minor, greatest(paid_minor - used_minor, 0))


def settle_cancellation(note_minor: int, paid_minor: int, used_minor: int) -> Settlement:
    """What of a note is given back; the rest of it stays credit."""
    refunded = refund_of(note_minor, paid_minor, used_minor)
    return Settlement(refunded, note_minor - refunded)


# What pays invoices without money: credit and prepaid balance.

_OWNER = ["payer_id", "entity_id", "currency"]


def applied(sources: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """Pay invoices from credits or grants of the same payer and currency, both in the order of their rows.

    sources: `payer_id`, `entity_id`, `currency`, `source_kind`, `source_id`, `left_minor`. targets: the same
    three, `invoice_id`, `open_minor`. Returns these three, `source_kind`, `source_id`, `invoice_id`,
    `amount_minor`: laid end to end, each credit pays the invoices it overlaps.
    """
    if sources.is_empty() or targets.is_empty():
        return _NOTHING_APPLIED
    credit, debt = sources.filter(pl.col("left_minor") > 0), targets.filter(pl.col("open_minor") > 0)
    if credit.is_empty() or debt.is_empty():
        return _NOTHING_APPLIED
    credit = credit.with_columns(pl.col("left_minor").cum_sum().over(_OWNER).alias("_to"))
    debt = debt.with_columns(pl.col("open_minor").cum_sum().over(_OWNER).alias("_until"))
    pairs = credit.join(debt, on=_OWNER, how="inner", maintain_order="left_right")
    start = pl.max_horizontal(pl.col("_to") - pl.col("left_minor"), pl.col("_until") - pl.col("open_minor"))
    return (
        pairs.with_columns((pl.min_horizontal("_to", "_until") - start).alias("amount_minor"))
        .filter(pl.col("amount_minor") > 0)
        .select("source_kind", "source_id", "invoice_id", *_OWNER, "amount_minor")
    )


_NOTHING_APPLIED = pl.DataFrame(
    schema={
        **dict.fromkeys(("source_kind", "source_id", "invoice_id", *_OWNER), pl.String),
        "amount_minor": pl.Int64,
    }
)


def in_draw_order(grants: pl.DataFrame) -> pl.DataFrame:
    """Grants in the order in which they are drawn: by the priority of their wallet, then the first to expire,
    given away before bought, the oldest.

    grants: `priority`, `expires_on` (null: never), `is_paid`, `granted_on`, `grant_id`.
    """
    return grants.sort("priority", "expires_on", "is_paid", "granted_on", "grant_id", nulls_last=True)


class Draw(NamedTuple):
    """What an invoice takes from each grant, in the grants' order, and what is left to pay."""

    taken_minor: tuple[int, ...]
    unpaid_minor: int


def draw_from_grants(left_minor: Sequence[int], due_minor: int) -> Draw:
    """Take an amount from grants in the order given, each as far as it goes: `applied` to one invoice.
    Raises `negative_quantity`."""
    if due_minor < 0 or any(left < 0 for left in left_minor):
        raise BillingError("negative_quantity", "neither a grant nor what is due is negative")
    owner = dict.fromkeys(_OWNER, "")
    places = [str(place) for place in range(len(left_minor))]
    sources = pl.DataFrame(
        {"source_id": places, "left_minor": list(left_minor)},
        schema={"source_id": pl.String, "left_minor": pl.Int64},
    ).with_columns(pl.lit("wallet").alias("source_kind"), **{name: pl.lit("") for name in owner})
    paid = applied(sources, pl.DataFrame([owner | {"invoice_id": "", "open_minor": due_minor}]))
    taken = dict(paid.select("source_id", "amount_minor").rows())
    return Draw(tuple(taken.get(place, 0) for place in places), due_minor - sum(taken.values()))
