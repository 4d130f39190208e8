"""The periods runner: a folder of periods in, tables out, held against plain arithmetic on random files."""

from __future__ import annotations

import csv
import io
import random
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tajdid.cli import app

HEADER = "subscription_id,customer_id,period_start,period_end,amount,currency,interval,interval_count\n"
AS_OF = date(2024, 8, 20)
MONTHS = {"day": Fraction(12, 365), "week": Fraction(12, 52), "month": Fraction(1), "year": Fraction(12)}
EXPONENT = {"EUR": 2, "JPY": 0, "KWD": 3}
ZERO = Fraction(0)


def run(folder: Path, *options: str, as_of: date = AS_OF) -> tuple[int, list[dict[str, str]], str]:
    """Exit code, rows and what was told on standard error."""
    done = CliRunner().invoke(
        app, ["conformance", "periods", str(folder), "--as-of", as_of.isoformat(), *options]
    )
    return done.exit_code, list(csv.DictReader(io.StringIO(done.stdout))), done.stderr


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    (folder / "periods.csv").write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def test_a_customer_from_its_first_paying_month_to_the_as_of_month(tmp_path):
    folder = written(
        tmp_path,
        "s,007,2024-01-31,2024-03-15,120,EUR,year,1",
        "s,007,2024-03-15,2024-06-01,30.00,EUR,month,1",
        "s,007,2024-08-01,,30.00,EUR,month,1",
        "later,new one,2024-08-21,,99,EUR,month,1",
    )
    code, rows, told = run(folder)
    assert (code, told) == (0, "")
    assert [tuple(row.values()) for row in rows] == [
        ("007", "2024-01", "EUR", "10.0000", "new", "10.0000", "false"),
        ("007", "2024-02", "EUR", "10.0000", "none", "0.0000", "false"),
        ("007", "2024-03", "EUR", "30.0000", "expansion", "20.0000", "false"),
        ("007", "2024-04", "EUR", "30.0000", "none", "0.0000", "false"),
        ("007", "2024-05", "EUR", "30.0000", "none", "0.0000", "false"),
        ("007", "2024-06", "EUR", "0.0000", "churn", "-30.0000", "false"),
        ("007", "2024-07", "EUR", "0.0000", "none", "0.0000", "false"),
        ("007", "2024-08", "EUR", "30.0000", "reactivation", "30.0000", "true"),
    ]
    assert [row["month"] for row in run(folder, "--sparse")[1]] == [
        "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-08"
    ]  # fmt: skip


def test_bad_rows_are_told_and_the_others_still_printed(tmp_path):
    folder = written(
        tmp_path,
        "a,x,2024-01-01,,10,EUR,month,1",
        "b,x,2024-01-01,2024-01-01,10,EUR,month,1",
        "c,x,2024-02-30,,10,EUR,month,1",
        "d,x,2024-01-01,,-10,EUR,month,1",
        "e,x,2024-01-01,,10,XXY,month,1",
        "f,x,2024-01-01,,10,EUR,fortnight,1",
        ",x,2024-01-01,,10,EUR,month,1",
        "a,x,2024-05-01,,10,EUR,month,1",
    )
    code, rows, told = run(folder)
    assert code == 3
    assert len(rows) == 8
    reasons = "empty_range bad_date negative_amount unknown_currency unknown_interval missing_key"
    for reason in [*reasons.split(), "overlap_in_subscription"]:
        assert reason in told
    assert "7 rows rejected" in told


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    folder = written(tmp_path, "a,x", header="subscription_id,customer_id\n")
    code, rows, told = run(folder)
    assert (code, rows) == (2, [])
    assert "period_start" in told


def test_a_policy_changes_the_answer_and_one_not_followed_is_refused(tmp_path):
    folder = written(tmp_path, "a,x,2024-08-01,,10,EUR,week,1")
    policy = tmp_path / "policy.toml"
    policy.write_text('week_factor = "4"\n', encoding="utf-8")
    assert run(folder, "--policy", str(policy))[1][0]["mrr"] == "40.0000"
    policy.write_text("cac_lag_quarters = 5\n", encoding="utf-8")
    code, _, told = run(folder, "--policy", str(policy))
    assert (code, told.strip()) == (2, "cac_lag_quarters = 5 is not supported yet.")


# Against plain arithmetic.


class Periods:
    """A random file: non-overlapping periods of many subscriptions, a currency a customer."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.rows: list[tuple[str, str, date, date | None, Decimal, str, str, int]] = []
        for number in range(40):
            customer = f"c{number % 25:02d}"
            currency = ("EUR", "EUR", "JPY", "KWD")[number % 25 % 4]
            start = date(2022, 11, 1) + timedelta(days=draw.randrange(500))
            for _ in range(draw.randint(1, 6)):
                end = start + timedelta(days=draw.choice([1, 28, 31, 45, 90, 365]))
                places = EXPONENT[currency]
                amount = Decimal(draw.choice([0, 1, 999, 12000, 12345])).scaleb(-places)
                interval, count = draw.choice(
                    [("month", 1), ("month", 3), ("year", 1), ("week", 2), ("day", 1)]
                )
                is_open = draw.random() < 0.1
                self.rows.append(
                    (
                        f"s{number}",
                        customer,
                        start,
                        None if is_open else end,
                        amount,
                        currency,
                        interval,
                        count,
                    )
                )
                if is_open:
                    break
                start = end + timedelta(days=draw.choice([0, 0, 0, 10, 70]))
        draw.shuffle(self.rows)

    def write(self, folder: Path) -> Path:
        return written(
            folder, *(",".join("" if one is None else str(one) for one in row) for row in self.rows)
        )

    def rate(self, row: tuple[str, str, date, date | None, Decimal, str, str, int]) -> Fraction:
        """Major units a month, exact to six places of a minor unit; nothing below one minor unit."""
        *_, amount, currency, interval, count = row
        minor = Fraction(amount) * 10 ** EXPONENT[currency] / (MONTHS[interval] * count)
        rounded = Fraction((minor * 2_000_000 + 1).__floor__() // 2, 1_000_000)
        return rounded / 10 ** EXPONENT[currency] if rounded >= 1 else ZERO

    def balances(self, on: date) -> dict[tuple[str, str], Fraction]:
        found: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for row in self.rows:
            if row[2] <= on and (row[3] is None or on < row[3]):
                found[row[1], row[5]] += self.rate(row)
        return {key: amount for key, amount in found.items() if amount}

    def closes(self) -> dict[str, dict[tuple[str, str], Fraction]]:
        found, month = {}, min(row[2] for row in self.rows).replace(day=1)
        while month <= AS_OF:
            following = (month + timedelta(days=32)).replace(day=1)
            found[f"{month:%Y-%m}"] = self.balances(min(following - timedelta(days=1), AS_OF))
            month = following
        return found

    def ever_paid(self, month: str) -> set[tuple[str, str]]:
        """Who paid on any day before the month."""
        first = date.fromisoformat(f"{month}-01")
        return {(row[1], row[5]) for row in self.rows if row[2] < first and self.rate(row)}


def four(value: Fraction) -> str:
    """Four places, half away from zero."""
    scaled = (abs(value) * 20_000 + 1).__floor__() // 2
    return str(
        (Decimal(scaled) / 10_000 * (-1 if value < 0 else 1)).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    )


def movement(opening: Fraction, closing: Fraction, has_paid: bool) -> str:
    if opening == closing:
        return "none"
    if not opening:
        return "reactivation" if has_paid else "new"
    if not closing:
        return "churn"
    return "expansion" if closing > opening else "contraction"


@pytest.mark.parametrize("seed", range(5))
def test_every_customer_month_of_a_random_file_agrees(seed, tmp_path):
    periods = Periods(seed)
    closes = periods.closes()
    expected = []
    for key in sorted({key for close in closes.values() for key in close}):
        before, is_there = ZERO, False
        for month, close in closes.items():
            now = close.get(key, ZERO)
            is_there = is_there or now > 0
            if is_there:
                name = movement(before, now, key in periods.ever_paid(month))
                is_running = "true" if month == "2024-08" else "false"
                expected.append((key[0], month, key[1], four(now), name, four(now - before), is_running))
            before = now
    code, rows, told = run(periods.write(tmp_path))
    assert (code, told) == (0, "")
    assert [tuple(row.values()) for row in rows] == expected


@pytest.mark.parametrize("seed", range(5))
def test_totals_of_a_random_file_agree(seed, tmp_path):
    periods = Periods(seed)
    closes = periods.closes()
    months = list(closes)
    code, rows, _ = run(periods.write(tmp_path), "--totals", "--out", str(tmp_path / "totals.csv"))
    assert (code, rows) == (0, [])
    totals = list(csv.DictReader((tmp_path / "totals.csv").open(encoding="utf-8")))
    assert totals
    for row in totals:
        now = {key: amount for key, amount in closes[row["month"]].items() if key[1] == row["currency"]}
        assert row["closing"] == four(sum(now.values(), ZERO))
        assert int(row["customers"]) == len(now)
        assert row["arpa"] == (four(sum(now.values(), ZERO) / len(now)) if now else "")
        for window in (1, 12):
            position = months.index(row["month"]) - window
            start = closes[months[position]] if position >= 0 else {}
            start = {key: amount for key, amount in start.items() if key[1] == row["currency"]}
            opening = sum(start.values(), ZERO)
            kept = sum((min(amount, now.get(key, ZERO)) for key, amount in start.items()), ZERO)
            stayed = sum((now.get(key, ZERO) for key in start), ZERO)
            assert row[f"nrr_{window}m"] == (four(stayed / opening) if start else "")
            assert row[f"grr_{window}m"] == (four(kept / opening) if start else "")
            if window == 1:
                lost = sum(1 for key in start if key not in now)
                assert row["logo_churn"] == (four(Fraction(lost, len(start))) if start else "")
        opened, *moves, closed = (
            Decimal(row[name])
            for name in ("opening", "new", "expansion", "contraction", "churn", "reactivation", "closing")
        )
        assert abs(opened + sum(moves) - closed) <= Decimal("0.0003")


@pytest.mark.parametrize("seed", range(3))
def test_cohorts_of_a_random_file_agree(seed, tmp_path):
    periods = Periods(seed)
    closes = periods.closes()
    months = list(closes)
    first: dict[tuple[str, str], str] = {}
    for month, close in closes.items():
        for key in close:
            first.setdefault(key, month)
    rows = run(periods.write(tmp_path), "--cohorts")[1]
    assert rows
    for row in rows:
        members = [key for key, month in first.items() if (month, key[1]) == (row["cohort"], row["currency"])]
        now = closes[months[months.index(row["cohort"]) + int(row["age"])]]
        start = [closes[row["cohort"]][key] for key in members]
        assert int(row["start_customers"]) == len(members)
        assert int(row["customers"]) == sum(1 for key in members if key in now)
        assert row["start_mrr"] == four(sum(start, ZERO))
        assert row["net_mrr"] == four(sum((now.get(key, ZERO) for key in members), ZERO))
        pairs = zip(start, members, strict=True)
        kept = sum((min(amount, now.get(key, ZERO)) for amount, key in pairs), ZERO)
        assert row["gross_mrr"] == four(kept)
    ages = {(row["cohort"], row["currency"], row["age"]) for row in rows}
    assert len(ages) == len(rows)
