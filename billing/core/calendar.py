"""Time as billing sees it: periods, the boundaries counted from an anchor, and how much of a period a
service is.

Periods are half-open dates of the customer's zone. Boundary n is the anchor moved by n intervals, never
boundary n - 1 moved by one, so the 31st is not lost in February. Date rules are plain Python, called once
for each distinct anchor and tabulated; day counts are arithmetic and take dates or columns of dates.

What a period costs, and which periods are due, is decided elsewhere.
"""

import calendar as month_calendar
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from billing.core.money import BillingError, Number, choose, greatest, least

DayCount: TypeAlias = Literal[
    "actual_day", "second", "fixed_30", "actual_over_30", "strict_30_over_360", "none"
]
DAY_COUNTS: tuple[DayCount, ...] = get_args(DayCount)
Day: TypeAlias = date | pl.Expr
"""A date, or a column of dates; for the day count `second` an aware instant, or a column of them."""


class Period(NamedTuple):
    """`[start, end)`: the end is the first day after it."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def contains(self, on: date) -> bool:
        return self.start <= on < self.end

    def overlap(self, other: "Period") -> "Period | None":
        """The days both have, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None


def period(start: date, end: date) -> Period:
    """A period of at least one day. Raises `empty_period`."""
    if end <= start:
        raise BillingError("empty_period", f"{start} to {end} holds no day")
    return Period(start, end)


class Interval(NamedTuple):
    """The length of a billing period: whole months or whole days, one of them 0."""

    months: int
    days: int


_INTERVAL = re.compile(r"P(?P<count>[1-9]\d{0,3})(?P<unit>[DWMY])", re.ASCII)


def parse_interval(text: str) -> Interval:
    """An ISO 8601 duration of one unit: P1W, P30D, P1M, P3M, P1Y. Raises `bad_interval`."""
    match = _INTERVAL.fullmatch(text)
    if not match:
        raise BillingError("bad_interval", f"{text!r} is not a duration such as P1W, P30D, P1M or P1Y")
    count = int(match["count"])
    return {
        "D": Interval(0, count),
        "W": Interval(0, 7 * count),
        "M": Interval(count, 0),
        "Y": Interval(12 * count, 0),
    }[match["unit"]]


def add_months(on: date, months: int) -> date:
    """The same day of another month; a day the month lacks falls on its last day. Raises
    `date_out_of_range`."""
    year, month_index = divmod(on.year * 12 + on.month - 1 + months, 12)
    if not date.min.year <= year <= date.max.year:
        raise BillingError("date_out_of_range", f"{on} moved by {months} months")
    last_day = month_calendar.monthrange(year, month_index + 1)[1]
    return date(year, month_index + 1, min(on.day, last_day))


def boundary(anchor: date, interval: Interval, n: int) -> date:
    """Boundary n, counted from the anchor; n may be negative. Raises `date_out_of_range`."""
    if interval.months:
        return add_months(anchor, n * interval.months)
    try:
        return anchor + timedelta(days=n * interval.days)
    except OverflowError:
        raise BillingError("date_out_of_range", f"{anchor} moved by {n * interval.days} days") from None


def period_number(anchor: date, interval: Interval, on: date) -> int:
    """The n of the last boundary on or before a day."""
    if interval.days:
        return (on - anchor).days // interval.days
    months = (on.year - anchor.year) * 12 + on.month - anchor.month
    n = months // interval.months
    return n if boundary(anchor, interval, n) <= on else n - 1


def period_containing(anchor: date, interval: Interval, on: date) -> Period:
    """The whole period a day lies in: the reference period of a service on that day."""
    n = period_number(anchor, interval, on)
    return Period(boundary(anchor, interval, n), boundary(anchor, interval, n + 1))


def next_boundary(anchor: date, interval: Interval, on: date) -> date:
    """The first boundary after a day."""
    return period_containing(anchor, interval, on).end


def boundaries(start: date, anchor: date, interval: Interval) -> Iterator[date]:
    """The start, then every boundary after it, without end: a start beside the anchor opens with a stub."""
    yield start
    n = period_number(anchor, interval, start) + 1
    while True:
        yield boundary(anchor, interval, n)
        n += 1


def periods(start: date, end: date, anchor: date, interval: Interval) -> list[tuple[Period, Period]]:
    """The services that tile `[start, end)`, each with its reference period, the whole period it lies in."""
    tiles = []
    while start < end:
        reference = period_containing(anchor, interval, start)
        service = Period(start, min(end, reference.end))
        tiles.append((service, reference))
        start = service.end
    return tiles


CALENDAR_SCHEMA = pl.Schema(
    {
        "anchor_on": pl.Date(),
        "interval": pl.String(),
        "n": pl.Int64(),
        "period_start": pl.Date(),
        "period_end": pl.Date(),
    }
)


def calendar_table(anchors: Iterable[tuple[date, str]], first: date, last: date) -> pl.DataFrame:
    """Periods of distinct (anchor, ISO interval) pairs that hold a day of `[first, last]`.

    Columns and types as CALENDAR_SCHEMA, ordered by anchor, interval and n.
    """
    rows = []
    for anchor, text in sorted(set(anchors)):
        interval = parse_interval(text)
        numbers = range(period_number(anchor, interval, first), period_number(anchor, interval, last) + 1)
        starts = [boundary(anchor, interval, n) for n in [*numbers, numbers.stop]]
        rows += [(anchor, text, n, starts[i], starts[i + 1]) for i, n in enumerate(numbers)]
    return pl.DataFrame(rows, schema=CALENDAR_SCHEMA, orient="row")


# Instants and dates.


def zone_of(name: str) -> ZoneInfo:
    """A time zone of the IANA database. Raises `unknown_time_zone`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BillingError("unknown_time_zone", f"{name!r}") from None


def local_date(at: datetime, zone: str) -> date:
    """The date an instant has in a zone. Raises `naive_time` for an instant without zone."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no zone")
    return at.astimezone(zone_of(zone)).date()


def local_dates(at: pl.Expr, zone: str) -> pl.Expr:
    """`local_date` for a column of UTC instants of one zone."""
    zone_of(zone)
    return at.dt.convert_time_zone(zone).dt.date()


def midnight(on: date, zone: str) -> datetime:
    """The UTC instant at which a date begins in a zone; where the clock skips midnight, the moment of the
    skip."""
    return datetime(on.year, on.month, on.day, tzinfo=zone_of(zone)).astimezone(UTC)


# How much of a period.


class Factor(NamedTuple):
    """A share of a period as an exact fraction, `num / den`: two numbers or two columns."""

    num: Number
    den: Number


def days_between(start: Day, end: Day) -> Number:
    """Days of `[start, end)`."""
    return _day_number(end) - _day_number(start)


def days_of_30_between(start: Day, end: Day) -> Number:
    """Days of `[start, end)` on a calendar whose months all have 30 days, the 31st falling on the 30th."""
    return _day_number_of_30(end) - _day_number_of_30(start)


def factor(
    service_start: Day, service_end: Day, reference_start: Day, reference_end: Day, day_count: DayCount
) -> Factor:
    """The share a service has in its reference period: always within 0 and 1, and 1 where both are the same.

    Takes four dates or four columns of dates; for `second` four aware UTC instants or columns of them, and
    the seconds that really passed are counted. The denominator is always the whole reference period: its
    days (`actual_day`), its seconds (`second`), or 30 for each of its months (a reference that is not whole
    months: its days). `none` charges a started period whole. Raises `unknown_setting`.
    """
    if day_count == "none":
        return Factor(*_bounded(days_between(service_start, service_end), 1, 1))
    if day_count == "second":
        num = _seconds_between(service_start, service_end)
        whole = den = _seconds_between(reference_start, reference_end)
    elif day_count == "actual_day":
        num = days_between(service_start, service_end)
        whole = den = days_between(reference_start, reference_end)
    elif day_count == "actual_over_30":
        num = days_between(service_start, service_end)
        whole, den = (
            days_between(reference_start, reference_end),
            _days_of_months(reference_start, reference_end),
        )
    elif day_count in ("fixed_30", "strict_30_over_360"):
        num = days_of_30_between(service_start, service_end)
        whole = days_of_30_between(reference_start, reference_end)
        den = _days_of_months(reference_start, reference_end)
    else:
        raise BillingError("unknown_setting", f"day_count {day_count!r}")
    return Factor(*_bounded(num, whole, den))


def _bounded(num: Number, whole: Number, den: Number) -> tuple[Number, Number]:
    """num / den held within 0..1, and 1 once num reaches what the whole reference counts."""
    return choose(num >= whole, den, least(greatest(num, 0), den)), den


def sample_factor(first_day: date, last_day: date, day_count: DayCount) -> tuple[int, int]:
    """A bare count of service days, both included, against the month they lie in: num and den, neither
    bounded."""
    end = last_day + timedelta(days=1)
    month_start = first_day.replace(day=1)
    if day_count == "actual_day":
        return (end - first_day).days, (add_months(month_start, 1) - month_start).days
    if day_count == "actual_over_30":
        return (end - first_day).days, 30
    if day_count in ("fixed_30", "strict_30_over_360"):
        num = days_of_30_between(first_day, end)
        assert isinstance(num, int)
        return num, 30
    raise BillingError("unknown_setting", f"day_count {day_count!r} has no bare count")


def cut_of_time(on: date, *, is_used: bool) -> date:
    """The first day that no longer belongs to terms that end on a day.

    It is that day itself, or the next where the day of a change (setting `change_day`) or of a cancellation
    (`cancel_day`) counts as used.
    """
    return on + timedelta(days=1) if is_used else on


def _day_number(on: Day) -> Number:
    if isinstance(on, pl.Expr):
        return on.cast(pl.Date).cast(pl.Int32).cast(pl.Int64)
    return on.toordinal()


def _seconds_between(start: Day, end: Day) -> Number:
    if isinstance(start, pl.Expr) and isinstance(end, pl.Expr):
        return end.dt.epoch("s") - start.dt.epoch("s")
    if not (isinstance(start, datetime) and isinstance(end, datetime)) or start.tzinfo is None:
        raise BillingError("naive_time", "real seconds are counted between aware instants")
    return int((end - start).total_seconds())


def _year_month_day(on: Day) -> tuple[Number, Number, Number]:
    if isinstance(on, pl.Expr):
        return on.dt.year().cast(pl.Int64), on.dt.month().cast(pl.Int64), on.dt.day().cast(pl.Int64)
    return on.year, on.month, on.day


def _day_number_of_30(on: Day) -> Number:
    year, month, day = _year_month_day(on)
    return 360 * year + 30 * month + least(day, 30)


def _days_of_months(start: Day, end: Day) -> Number:
    """30 for each month of a reference of whole months, else its days on the calendar of 30-day months."""
    (year, month, day), (end_year, end_month, end_day) = _year_month_day(start), _year_month_day(end)
    has_whole_months = (
        (day == end_day)
        | ((day > end_day) & (end_day == _days_in_month(end)))
        | ((day < end_day) & (day == _days_in_month(start)))
    )
    months = 12 * (end_year - year) + end_month - month
    return choose(has_whole_months & (months > 0), 30 * months, days_of_30_between(start, end))


def _days_in_month(on: Day) -> Number:
    if isinstance(on, pl.Expr):
        return on.dt.month_end().dt.day().cast(pl.Int64)
    return month_calendar.monthrange(on.year, on.month)[1]
