"""Calendar: boundaries from the anchor, periods that tile, and the share a service has in its period."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import islice, pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.calendar import (
    DAY_COUNTS,
    Interval,
    Period,
    boundaries,
    boundary,
    calendar_table,
    cut_of_time,
    factor,
    local_date,
    local_dates,
    midnight,
    next_boundary,
    parse_interval,
    period,
    period_containing,
    period_number,
    periods,
    sample_factor,
)
from billing.core.money import BillingError, post

D = date.fromisoformat


def first_boundaries(start, anchor, interval, count):
    return [str(on) for on in islice(boundaries(D(start), D(anchor), parse_interval(interval)), count)]


@pytest.mark.parametrize(
    ("start", "anchor", "interval", "expected"),
    [
        ("2024-01-31", "2024-01-31", "P1M", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        ("2023-01-31", "2023-01-31", "P1M", ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]),
        (
            "2024-02-29",
            "2024-02-29",
            "P1Y",
            ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"],
        ),
        ("2021-01-01", "2021-01-10", "P1M", ["2021-01-01", "2021-01-10", "2021-02-10"]),
        ("2024-12-30", "2025-01-01", "P1M", ["2024-12-30", "2025-01-01", "2025-02-01"]),
        ("2024-03-30", "2024-03-26", "P1W", ["2024-03-30", "2024-04-02", "2024-04-09"]),
        ("2023-12-31", "2023-12-31", "P3M", ["2023-12-31", "2024-03-31", "2024-06-30", "2024-09-30"]),
        ("2024-02-28", "2024-02-28", "P30D", ["2024-02-28", "2024-03-29", "2024-04-28"]),
    ],
)
def test_boundaries_are_counted_from_the_anchor(start, anchor, interval, expected):
    assert first_boundaries(start, anchor, interval, len(expected)) == expected


def test_a_boundary_is_billed_and_the_days_beside_it_are_not():
    anchor, interval = D("2024-01-31"), parse_interval("P1M")
    table = calendar_table([(anchor, "P1M")], D("2024-01-31"), D("2025-01-31"))
    starts = set(table["period_start"].to_list())
    for billed_on in ("2024-02-29", "2024-03-31", "2024-04-30", "2024-12-31", "2025-01-31"):
        assert D(billed_on) in starts
        assert period_containing(anchor, interval, D(billed_on)).start == D(billed_on)
    for not_billed_on in ("2024-02-28", "2024-03-01", "2024-03-30", "2024-05-01", "2025-01-01", "2025-01-30"):
        assert D(not_billed_on) not in starts


INTERVALS = st.builds(lambda n, unit: f"P{n}{unit}", st.integers(1, 24), st.sampled_from("DWMY"))
DATES = st.dates(date(1990, 1, 1), date(2090, 12, 31))


@given(anchor=DATES, interval=INTERVALS, n=st.integers(-30, 30))
def test_boundaries_rise_and_keep_the_day_of_the_anchor(anchor, interval, n):
    parsed = parse_interval(interval)
    on, after = boundary(anchor, parsed, n), boundary(anchor, parsed, n + 1)
    assert on < after
    assert period_number(anchor, parsed, on) == n
    assert period_number(anchor, parsed, after - timedelta(days=1)) == n
    if parsed.months:
        is_last = (on + timedelta(days=1)).day == 1
        assert on.day == anchor.day or (is_last and on.day < anchor.day)
    else:
        assert (on - anchor).days == n * parsed.days


@given(anchor=DATES, interval=INTERVALS, start=DATES, days=st.integers(1, 900))
def test_periods_tile_the_time(anchor, interval, start, days):
    end = start + timedelta(days=days)
    tiles = periods(start, end, anchor, parse_interval(interval))
    assert tiles[0][0].start == start
    assert tiles[-1][0].end == end
    assert all(before[0].end == after[0].start for before, after in pairwise(tiles))
    assert all(reference.overlap(service) == service for service, reference in tiles)


@given(
    day=DATES,
    zone=st.sampled_from(["America/Sao_Paulo", "Europe/Berlin", "Asia/Tokyo", "Africa/Cairo", "UTC"]),
)
def test_days_of_a_zone_tile_the_instants(day, zone):
    start, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    assert timedelta(hours=22) < end - start < timedelta(hours=26)
    assert local_date(start, zone) == day
    assert local_date(end - timedelta(seconds=1), zone) == day
    assert local_date(end, zone) == day + timedelta(days=1)


def test_instants_become_dates_of_the_zone_in_columns_too():
    at = datetime(2023, 2, 7, 16, 0, tzinfo=UTC)
    assert local_date(at, "Asia/Tokyo") == D("2023-02-08")
    frame = pl.DataFrame({"at": [at]}, schema={"at": pl.Datetime("us", "UTC")})
    assert frame.select(local_dates(pl.col("at"), "Asia/Tokyo")).item() == D("2023-02-08")


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (lambda: period(D("2024-01-02"), D("2024-01-02")), "empty_period"),
        (lambda: parse_interval("1M"), "bad_interval"),
        (lambda: parse_interval("P0M"), "bad_interval"),
        (lambda: parse_interval("P1M2D"), "bad_interval"),
        (lambda: local_date(datetime(2024, 1, 1), "UTC"), "naive_time"),  # noqa: DTZ001
        (lambda: local_date(datetime(2024, 1, 1, tzinfo=UTC), "Mars/Olympus"), "unknown_time_zone"),
        (lambda: boundary(D("2024-01-01"), Interval(12, 0), 9000), "date_out_of_range"),
        (lambda: boundary(D("2024-01-01"), Interval(0, 30), 10**6), "date_out_of_range"),
        (
            lambda: factor(D("2024-01-01"), D("2024-01-02"), D("2024-01-01"), D("2024-02-01"), "act"),
            "unknown_setting",
        ),
        (lambda: factor(*[D("2024-01-01")] * 4, "second"), "naive_time"),
    ],
)
def test_impossible_time_is_refused_with_a_code(refused, code):
    with pytest.raises(BillingError) as raised:
        refused()
    assert raised.value.code == code


# Factors.


def as_number(service, reference, day_count):
    num, den = factor(*service, *reference, day_count)
    return Fraction(num, den)


def as_column(service, reference, day_count):
    ends = [*service, *reference]
    names = ["service_start", "service_end", "reference_start", "reference_end"]
    frame = pl.DataFrame({name: [end, end] for name, end in zip(names, ends, strict=True)})
    share = factor(*(pl.col(name) for name in names), day_count)
    num, den = frame.select(num=share.num, den=share.den).row(1)
    return Fraction(num, den)


BOTH_WAYS = [as_number, as_column]


def dates(start, end):
    return D(start), D(end)


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("day_count", "service", "reference", "expected"),
    [
        ("actual_day", ("2025-01-16", "2025-02-01"), ("2025-01-01", "2025-02-01"), "16/31"),
        ("actual_day", ("2025-01-17", "2025-02-01"), ("2025-01-01", "2025-02-01"), "15/31"),
        ("fixed_30", ("2025-01-16", "2025-02-01"), ("2025-01-01", "2025-02-01"), "15/30"),
        ("actual_over_30", ("2025-01-16", "2025-02-01"), ("2025-01-01", "2025-02-01"), "16/30"),
        ("strict_30_over_360", ("2025-01-16", "2025-02-01"), ("2025-01-01", "2025-02-01"), "15/30"),
        ("none", ("2025-01-16", "2025-02-01"), ("2025-01-01", "2025-02-01"), "1"),
        ("actual_day", ("2011-03-15", "2011-03-17"), ("2011-03-15", "2011-04-15"), "2/31"),
        ("actual_day", ("2023-11-19", "2024-07-19"), ("2023-07-19", "2024-07-19"), "243/366"),
        ("fixed_30", ("2023-05-15", "2023-05-23"), ("2023-05-15", "2023-06-15"), "8/30"),
        ("fixed_30", ("2023-05-23", "2023-06-15"), ("2023-05-15", "2023-06-15"), "22/30"),
        ("fixed_30", ("2024-02-10", "2024-02-29"), ("2024-01-31", "2024-02-29"), "19/30"),
        ("fixed_30", ("2024-01-01", "2024-02-15"), ("2024-01-01", "2024-04-01"), "44/90"),
        ("strict_30_over_360", ("2021-02-27", "2021-03-01"), ("2021-02-01", "2021-03-01"), "4/30"),
        ("actual_over_30", ("2024-01-01", "2024-01-31"), ("2024-01-01", "2024-02-01"), "1"),
        ("actual_over_30", ("2024-01-01", "2024-02-15"), ("2024-01-01", "2024-04-01"), "45/90"),
        ("fixed_30", ("2024-01-30", "2024-02-02"), ("2024-01-30", "2024-02-06"), "2/6"),
    ],
)
def test_each_day_count_has_its_share(apply, day_count, service, reference, expected):
    assert apply(dates(*service), dates(*reference), day_count) == Fraction(expected)


@pytest.mark.parametrize("apply", BOTH_WAYS)
def test_seconds_are_those_that_really_passed(apply):
    noon = datetime(2025, 1, 16, 12, tzinfo=UTC)
    january = (midnight(D("2025-01-01"), "UTC"), midnight(D("2025-02-01"), "UTC"))
    assert apply((noon, january[1]), january, "second") == Fraction(31, 62)
    march = (midnight(D("2025-03-01"), "Europe/Berlin"), midnight(D("2025-04-01"), "Europe/Berlin"))
    thirtieth = (midnight(D("2025-03-30"), "Europe/Berlin"), midnight(D("2025-03-31"), "Europe/Berlin"))
    assert apply(thirtieth, march, "second") == Fraction(23, 31 * 24 - 1)


@pytest.mark.parametrize(("exponent", "expected_minor"), [(0, 16), (2, 1600), (3, 16000)])
def test_a_prorated_price_is_posted_in_yen_euros_and_dinars(exponent, expected_minor):
    num, den = factor(*dates("2025-01-16", "2025-02-01"), *dates("2025-01-01", "2025-02-01"), "actual_day")
    assert post(31 * 10**exponent * num, den) == expected_minor


@given(
    start=DATES,
    before=st.integers(0, 100),
    service_days=st.integers(1, 100),
    after=st.integers(0, 100),
    day_count=st.sampled_from([count for count in DAY_COUNTS if count != "second"]),
)
def test_a_share_is_within_the_whole_and_the_same_both_ways(start, before, service_days, after, day_count):
    service = (start, start + timedelta(days=service_days))
    reference = (start - timedelta(days=before), service[1] + timedelta(days=after))
    share = as_number(service, reference, day_count)
    assert 0 <= share <= 1
    assert as_column(service, reference, day_count) == share
    assert as_number(reference, reference, day_count) == 1


@given(
    anchor=DATES, interval=st.sampled_from(["P1M", "P3M", "P1Y", "P1W"]), n=st.integers(0, 20), data=st.data()
)
def test_split_periods_add_up_to_the_whole_cent(anchor, interval, n, data):
    parsed = parse_interval(interval)
    whole = Period(boundary(anchor, parsed, n), boundary(anchor, parsed, n + 1))
    price_minor = data.draw(st.integers(1, 10**9))
    cuts = data.draw(st.sets(st.integers(1, whole.days - 1), max_size=5))
    posted_to = [
        post(price_minor * share.num, share.den)
        for cut in [*sorted(cuts), whole.days]
        for share in [factor(whole.start, whole.start + timedelta(days=cut), *whole, "actual_day")]
    ]
    parts = [after - before for before, after in zip([0, *posted_to], posted_to, strict=False)]
    assert sum(parts) == price_minor
    assert all(part >= 0 for part in parts)


def test_bare_counts_of_days_are_not_bounded():
    assert sample_factor(D("2021-02-27"), D("2021-02-28"), "actual_day") == (2, 28)
    assert sample_factor(D("2021-02-27"), D("2021-02-28"), "actual_over_30") == (2, 30)
    assert sample_factor(D("2021-02-27"), D("2021-02-28"), "strict_30_over_360") == (4, 30)
    assert sample_factor(D("2021-01-01"), D("2021-01-31"), "actual_over_30") == (31, 30)


def test_a_used_day_moves_the_cut_of_time():
    assert cut_of_time(D("2024-02-29"), is_used=False) == D("2024-02-29")
    assert cut_of_time(D("2024-12-31"), is_used=True) == D("2025-01-01")


def test_the_calendar_table_holds_each_distinct_anchor_once():
    table = calendar_table(
        [(D("2024-01-31"), "P1M"), (D("2024-01-31"), "P1M"), (D("2024-02-15"), "P1Y")],
        D("2024-02-01"),
        D("2024-03-31"),
    )
    rows = [(str(a), i, n, str(s), str(e)) for a, i, n, s, e in table.iter_rows()]
    assert rows == [
        ("2024-01-31", "P1M", 0, "2024-01-31", "2024-02-29"),
        ("2024-01-31", "P1M", 1, "2024-02-29", "2024-03-31"),
        ("2024-01-31", "P1M", 2, "2024-03-31", "2024-04-30"),
        ("2024-02-15", "P1Y", -1, "2023-02-15", "2024-02-15"),
        ("2024-02-15", "P1Y", 0, "2024-02-15", "2025-02-15"),
    ]
    assert calendar_table([], D("2024-01-01"), D("2024-02-01")).schema == table.schema


def test_the_boundary_after_a_day_is_never_the_day_itself():
    month = parse_interval("P1M")
    assert next_boundary(D("2024-01-31"), month, D("2024-02-29")) == D("2024-03-31")
    assert next_boundary(D("2024-01-31"), month, D("2024-02-28")) == D("2024-02-29")
