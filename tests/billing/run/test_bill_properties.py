"""What holds for any life of a subscription, however and how often it is billed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from examples import examples, seeds
from hypothesis import given
from hypothesis import strategies as st
from shop import (
    PLANS,
    Act,
    at,
    fee,
    item_of,
    join,
    last_day,
    life,
    lines,
    live,
    lived,
    new_store,
    new_url,
    open_shop,
    perform,
    run,
    sell,
    shop_of_lives,
    take,
    use,
)
from soundness import assert_sound
from sqlalchemy import select, update

from billing.core.money import post
from billing.jobs.bill_run import preview
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

pytestmark = pytest.mark.usefixtures("each_database")

SEEDS = seeds(2, 6)
any_seed = st.integers(0, 10_000)
few = examples(2, 8)


def frame(store: Store, table: Any) -> pl.DataFrame:
    return store.frame(select(table))


def taken_back(store: Store) -> pl.DataFrame:
    """Every credit of a line, on an invoice or on a note: line_id, service and positive net and tax."""
    credits = frame(store, tables.line_items).filter(pl.col("entry") == "credit")
    noted = frame(store, tables.credit_note_lines)
    columns = ["line_id", "service_start", "service_end", "net_minor", "tax_minor"]
    on_invoices = credits.select(
        pl.col("reverses_line_id").alias("line_id"),
        "service_start",
        "service_end",
        -pl.col("net_minor"),
        -pl.col("tax_minor"),
    )
    return pl.concat([on_invoices, noted.select(columns)])


def charged(store: Store) -> pl.DataFrame:
    return frame(store, tables.line_items).filter(pl.col("entry") == "charge")


def net_by_period(store: Store) -> dict[tuple[Any, ...], int]:
    """Net per item (by its place), component, kind and reference period."""
    places = {item: place for place, item in enumerate(sorted(frame(store, tables.items)["item_id"]))}
    sums: Counter[tuple[Any, ...]] = Counter()
    back = dict(taken_back(store).group_by("line_id").agg(pl.col("net_minor").sum()).rows())
    for row in charged(store).iter_rows(named=True):
        key = (places[row["item_id"]], row["component_id"], row["kind"], row["reference_start"])
        sums[key] += row["net_minor"] - back.get(row["line_id"], 0)
    return {key: net for key, net in sums.items() if net}


def mark_all_due(store: Store, on: date) -> None:
    """Let the next run look at everybody, and at all time up to the horizon."""
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))


# 1, 2, 9: how often is billed does not matter.


@few
@given(any_seed)
def test_a_second_run_to_the_same_day_posts_nothing(seed: int) -> None:
    acts = life(seed)
    store = live(acts, "once")
    mark_all_due(store, acts[0].on)
    again = run(store, last_day(acts), 21)
    assert (again.customers, again.lines, again.invoices, again.credit_notes) == (1, 0, 0, 0)


@few
@given(any_seed, st.sampled_from(["each", "daily"]))
def test_what_is_settled_holds_nothing_that_a_look_at_all_time_would_post(seed: int, runs: str) -> None:
    acts = life(seed)
    store = live(acts, runs)
    assert frame(store, tables.customers)["unsettled_from"].null_count() == 0
    mark_all_due(store, acts[0].on)
    again = run(store, last_day(acts), 21)
    assert (again.lines, again.invoices, again.credit_notes) == (0, 0, 0)


@few
@given(any_seed)
def test_a_run_to_an_earlier_day_takes_nothing_back(seed: int) -> None:
    acts = life(seed)
    store = live(acts, "once")
    mark_all_due(store, acts[0].on)
    assert run(store, last_day(acts) - timedelta(days=70), 21).lines == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("runs", ["each", "daily"])
def test_many_runs_and_one_run_bill_the_same_to_the_cent_by_kept_time(seed: int, runs: str) -> None:
    many = net_by_period(lived(seed, runs, credit_rounding="kept_time"))
    assert many == net_by_period(lived(seed, "once", credit_rounding="kept_time"))


@pytest.mark.parametrize("seed", SEEDS)
def test_many_runs_and_one_run_differ_by_a_minor_unit_a_credit_at_most(seed: int) -> None:
    many, one = lived(seed, "each"), lived(seed, "once")
    bound = taken_back(many).height + taken_back(one).height
    of_many, of_one = net_by_period(many), net_by_period(one)
    for key in of_many.keys() | of_one.keys():
        assert abs(of_many.get(key, 0) - of_one.get(key, 0)) <= bound, key


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("grace_days", [1, 9])
def test_days_of_grace_delay_what_is_billed_and_change_none_of_it(seed: int, grace_days: int) -> None:
    at_once = net_by_period(lived(seed, "daily", credit_rounding="kept_time"))
    acts = life(seed)
    store = live(acts, "daily", credit_rounding="kept_time", grace_days=grace_days)
    for days in range(1, grace_days + 1):
        run(store, last_day(acts) + timedelta(days=days))
    assert net_by_period(store) == at_once
    mark_all_due(store, acts[0].on)
    again = run(store, last_day(acts) + timedelta(days=grace_days), 21)
    assert (again.lines, again.invoices, again.credit_notes) == (0, 0, 0)


# 8: time.


def days(row: dict[str, Any]) -> Iterator[date]:
    on = row["service_start"]
    while on < row["service_end"]:
        yield on
        on += timedelta(days=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_charges_less_credits_cover_the_days_of_service_and_no_day_twice(seed: int) -> None:
    acts = life(seed)
    store = lived(seed, "each")
    covered: Counter[tuple[str, str, date]] = Counter()
    for row in charged(store).filter(pl.col("kind") == "recurring").iter_rows(named=True):
        covered.update((row["item_id"], row["component_id"], on) for on in days(row))
    origin = {row["line_id"]: row for row in charged(store).iter_rows(named=True)}
    for row in taken_back(store).iter_rows(named=True):
        line = origin[row["line_id"]]
        if line["kind"] == "recurring":
            covered.subtract((line["item_id"], line["component_id"], on) for on in days(row))
    assert set(covered.values()) <= {0, 1}
    served = served_days(store, acts)
    last = last_day(acts)
    assert {key for key, times in covered.items() if times} <= served
    in_advance = {key for key in served if PLANS[key[1].split(".")[0]][1] and key[2] <= last}
    assert {key for key in in_advance if not covered[key]} == set()


def served_days(store: Store, acts: tuple[Act, ...]) -> set[tuple[str, str, date]]:
    """Item, component and day of all paid service, from the versions alone, up to a year after the acts."""
    ends = store.row(select(tables.subscriptions.c.ends_on))
    end = last_day(acts) + timedelta(days=100)
    if ends and ends["ends_on"]:
        end = min(end, ends["ends_on"])
    live_versions = select(tables.item_versions).where(tables.item_versions.c.superseded_at.is_(None))
    found = set()
    for version in store.rows(live_versions):
        if version["phase"] != "regular" or version["pause"] is not None:
            continue
        on = version["effective_start"]
        while on < min(version["effective_end"] or end, end):
            for part in PLANS[version["plan_id"]][2]:
                if part.kind != "usage":
                    found.add((version["item_id"], f"{version['plan_id']}.1.{part.name}", on))
            on += timedelta(days=1)
    return found


# 10, 11: lines, credits and documents.


@pytest.mark.parametrize("seed", SEEDS)
def test_credits_never_exceed_their_line_and_the_last_leaves_nothing(seed: int) -> None:
    store = lived(seed, "each")
    back = taken_back(store).with_columns(
        (pl.col("service_end") - pl.col("service_start")).dt.total_days().alias("days")
    )
    assert (back["net_minor"] >= 0).all()
    sums = back.group_by("line_id").agg(pl.col("net_minor", "tax_minor", "days").sum())
    for line in charged(store).join(sums, on="line_id", suffix="_back").iter_rows(named=True):
        assert line["net_minor_back"] <= line["net_minor"]
        if line["kind"] == "recurring" and line["days"] == (line["service_end"] - line["service_start"]).days:
            assert (line["net_minor_back"], line["tax_minor_back"]) == (line["net_minor"], line["tax_minor"])


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_are_the_sum_of_their_lines(seed: int) -> None:
    store = lived(seed, "each")
    posted = frame(store, tables.line_items)
    assert (posted["net_minor"] == posted["gross_minor"] - posted["discount_minor"]).all()
    shares = frame(store, tables.tax_lines)
    by_line = posted.join(shares, on="line_id", suffix="_share")
    assert by_line.height == posted.height
    assert (by_line["tax_minor"] == by_line["tax_minor_share"]).all()
    sums = posted.group_by("invoice_id").agg(pl.col("net_minor", "tax_minor").sum())
    issued = frame(store, tables.invoices).join(sums, on="invoice_id", suffix="_lines")
    assert issued.height == frame(store, tables.invoices).height
    assert (issued["net_minor"] == issued["net_minor_lines"]).all()
    assert (issued["tax_minor"] == issued["tax_minor_lines"]).all()
    assert (issued["total_minor"] == issued["net_minor"] + issued["tax_minor"]).all()
    assert (issued["total_minor"] >= 0).all()
    noted = frame(store, tables.credit_note_lines).group_by("note_id").agg(pl.col("net_minor").sum())
    notes = frame(store, tables.credit_notes).join(noted, on="note_id", suffix="_lines")
    assert (notes["net_minor"] == notes["net_minor_lines"]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_line_is_computed_again_from_its_own_columns(seed: int) -> None:
    store = lived(seed, "each", part_rounding="own")
    for line in charged(store).filter(pl.col("kind") == "recurring").iter_rows(named=True):
        plan, _, name = line["component_id"].split(".")
        price = next(part.price for part in PLANS[plan][2] if part.name == name)
        assert price is not None
        whole_minor = round(100 * float(price)) * line["quantity_mantissa"]
        assert line["quantity_scale"] == 0
        assert line["gross_minor"] == post(whole_minor * line["factor_num"], line["factor_den"])


# 20, 21, 22: books and numbers.


@pytest.mark.parametrize("seed", SEEDS)
def test_books_balance_and_say_what_is_owed_and_what_is_kept(seed: int) -> None:
    store = lived(seed, "each")
    books = frame(store, tables.journal_lines)
    entries = books.group_by("entry_id", "currency").agg(pl.col("debit_minor", "credit_minor").sum())
    assert (entries["debit_minor"] == entries["credit_minor"]).all()
    balance = dict(
        books.group_by("account").agg((pl.col("debit_minor") - pl.col("credit_minor")).sum()).rows()
    )
    issued = frame(store, tables.invoices)
    used = frame(store, tables.applications)
    credit = frame(store, tables.credit_notes)
    assert balance.get("receivable", 0) == issued["total_minor"].sum() - used["amount_minor"].sum()
    kept = credit["total_minor"].sum() - used["amount_minor"].sum()
    assert -balance.get("customer_credit", 0) == kept >= 0
    paid = dict(used.group_by("invoice_id").agg(pl.col("amount_minor").sum()).rows())
    for invoice in issued.iter_rows(named=True):
        left = invoice["total_minor"] - paid.get(invoice["invoice_id"], 0)
        assert left >= 0
        assert invoice["state"] == ("open" if left else "paid")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("table", "mark"), [(tables.invoices, "INV"), (tables.credit_notes, "CN")])
def test_numbers_have_no_gap_and_no_repeat(seed: int, table: Any, mark: str) -> None:
    issued = frame(lived(seed, "each"), table).sort("number")
    for (year,), of_year in issued.group_by(pl.col("issued_on").dt.year()):
        wanted = [f"{mark}-{year}-{place:06}" for place in range(1, of_year.height + 1)]
        assert sorted(of_year["number"].to_list()) == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_issued_never_changes_but_for_its_state(seed: int) -> None:
    acts = life(seed)
    store = shop_of_lives()
    half = len(acts) // 2 + 1
    for number, act in enumerate(acts[:half]):
        perform(store, act, number)
        run(store, act.on)
    before = {table: frame(store, table) for table in ISSUED}
    for number, act in enumerate(acts[half:], start=half):
        perform(store, act, number)
        run(store, act.on)
    run(store, last_day(acts))
    for table, rows in before.items():
        assert rows.height > 0 or table in (tables.credit_notes, tables.credit_note_lines)
        fixed = [name for name in rows.columns if name not in ("state", "paid_on", "changed_at")]
        assert frame(store, table).select(fixed).join(rows, on=fixed, nulls_equal=True).height == rows.height


ISSUED = (
    tables.invoices,
    tables.line_items,
    tables.tax_lines,
    tables.credit_notes,
    tables.credit_note_lines,
)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("runs", ["each", "once"])
def test_the_doctor_finds_nothing_after_a_life(seed: int, runs: str) -> None:
    assert_sound(lived(seed, runs), at(last_day(life(seed)), 23))


# 3, 4, 6, 23, 24: customers do not touch one another.


def crowd(store: Store, ids: list[str]) -> Store:
    """Customers with lives of different prices, seats and anchors."""
    open_shop(store)
    for plan_id, (interval, in_advance, parts) in PLANS.items():
        sell(store, plan_id, parts, interval=interval, in_advance=in_advance)
    plans = list(PLANS)
    for customer_id in ids:
        number = int(customer_id[1:])
        join(store, customer_id)
        start = date(2025, 1, 1) + timedelta(days=5 * number % 31)
        plan = plans[number % len(plans)]
        take(store, start, plan, customer_id, quantity=number, subscription_id=f"s{number}")
    return store


def lines_of(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    posted = frame(store, tables.line_items).sort("customer_id", "component_id", "service_start")
    columns = ["component_id", "service_start", "service_end", "gross_minor", "net_minor", "tax_minor"]
    return {
        str(customer_id): of_customer.select(columns).rows()
        for (customer_id,), of_customer in posted.group_by("customer_id", maintain_order=True)
    }


IDS = [f"c{number}" for number in range(1, 13)]
UP_TO = date(2025, 4, 10)


@pytest.mark.parametrize("chunk_size", [1, 5])
def test_chunk_size_and_order_of_customers_change_no_line(chunk_size: int) -> None:
    whole, parts = crowd(new_store(7), IDS), crowd(new_store(7), IDS[::-1])
    run(whole, UP_TO)
    run(parts, UP_TO, chunk_size=chunk_size)
    assert lines_of(whole) == lines_of(parts)
    assert len(lines_of(whole)) == len(IDS)


def test_a_customer_alone_has_the_lines_it_has_among_many() -> None:
    whole = crowd(new_store(7), IDS)
    run(whole, UP_TO)
    for customer_id in IDS[:3]:
        alone = crowd(new_store(7), [customer_id])
        run(alone, UP_TO)
        assert lines_of(alone)[customer_id] == lines_of(whole)[customer_id]


def test_a_preview_is_what_the_run_then_posts() -> None:
    store = crowd(new_store(7), IDS)
    drafts = {one: preview(store, at(UP_TO, 20), customer_id=one, up_to=UP_TO) for one in IDS}
    assert frame(store, tables.line_items).is_empty()
    run(store, UP_TO)
    for customer_id, found in lines_of(store).items():
        columns = ["component_id", "service_start", "service_end", "gross_minor", "net_minor", "tax_minor"]
        draft = drafts[customer_id].lines.sort("component_id", "service_start")
        assert draft.select(columns).rows() == found


class Crash(BaseException):
    """The process ends."""


class CrashingIds(IdGenerator):
    """Ids until the process ends at one of them."""

    def __init__(self, after: int) -> None:
        super().__init__(9, epoch=2)
        self.left = after

    def new_ids(self, prefix: str, count: int) -> list[str]:
        self.left -= count
        if self.left <= 0:
            raise Crash
        return super().new_ids(prefix, count)


@pytest.mark.parametrize("after", [1, 15, 30, 45, 60])
def test_a_crash_and_a_restart_equal_no_crash(after: int) -> None:
    url = new_url()
    with open_store(url, IdGenerator(7)) as first:
        first.migrate()
        crowd(first, IDS)
    with open_store(url, CrashingIds(after)) as crashing, pytest.raises(Crash):
        run(crashing, UP_TO, chunk_size=3)
    with open_store(url, IdGenerator(8, epoch=1)) as again:
        run(again, UP_TO, chunk_size=3)
        whole = crowd(new_store(7), IDS)
        run(whole, UP_TO)
        assert lines_of(again) == lines_of(whole)
        numbers = sorted(frame(again, tables.invoices)["number"])
        assert numbers == sorted(frame(whole, tables.invoices)["number"])
        books = frame(again, tables.journal_lines)
        assert books["debit_minor"].sum() == frame(whole, tables.journal_lines)["debit_minor"].sum()


# 16, 17: usage.

EVENTS = [(date(2025, 1, 5), 10), (date(2025, 1, 31), 7), (date(2025, 2, 1), 5), (date(2025, 2, 20), 11)]


@examples(3, 12)
@given(order=st.permutations(range(4)), repeats=st.lists(st.integers(0, 3), max_size=4))
def test_order_and_repetition_of_events_do_not_matter(order: list[int], repeats: list[int]) -> None:
    store = open_shop(new_store(7))
    sell(store, "metered", PLANS["arrears"][2], in_advance=False)
    join(store, "anna")
    item = item_of(store, take(store, date(2025, 1, 1), "metered"))
    for number in [*order, *repeats]:
        on, value = EVENTS[number]
        use(store, date(2025, 2, 28), item, on, value, f"event {number}")
    run(store, date(2025, 3, 1))
    billed = [line for line in lines(store) if line[0] == "metered.1.use"]
    assert [(start, net) for _, _, start, _, net in billed] == [
        (date(2025, 1, 1), 17),
        (date(2025, 2, 1), 16),
    ]


@examples(3, 12)
@given(st.lists(st.integers(0, 59), min_size=4, max_size=4))
def test_late_usage_ends_at_the_same_total_as_timely_usage(delays: list[int]) -> None:
    store = open_shop(new_store(7))
    sell(store, "metered", PLANS["arrears"][2], in_advance=False)
    join(store, "anna")
    item = item_of(store, take(store, date(2025, 1, 1), "metered"))
    day = date(2025, 1, 1)
    while day <= date(2025, 6, 1):
        for number, ((on, value), delay) in enumerate(zip(EVENTS, delays, strict=True)):
            if on + timedelta(days=delay) == day:
                use(store, day, item, on, value, f"event {number}")
        run(store, day)
        day += timedelta(days=1)
    by_period: Counter[date] = Counter()
    for component, _, start, _, net in lines(store):
        if component == "metered.1.use":
            by_period[start] += net
    assert by_period == {date(2025, 1, 1): 17, date(2025, 2, 1): 16}
    assert not [day for day in issue_days(store) if day.day != 1]


def issue_days(store: Store) -> list[date]:
    return frame(store, tables.invoices).filter(pl.col("total_minor") > 0)["issued_on"].to_list()


def test_fees_of_a_plan_are_billed_once_a_year() -> None:
    store = open_shop(new_store(7))
    sell(store, "yearly", fee("120"), interval="P1Y")
    join(store, "anna")
    take(store, date(2024, 2, 29), "yearly")
    run(store, date(2026, 3, 1))
    starts = [line[2] for line in lines(store)]
    assert starts == [date(2024, 2, 29), date(2025, 2, 28), date(2026, 2, 28)]
