"""A small published company, made by hand: few customers, every figure checkable with a pencil.

Tables have the columns and types that the models promise in models/marts/*.yml, so that a page which reads a
column nobody promises fails here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import tiny_cash
import tiny_plan
import yaml

from churn_model.tables import create_tables as create_churn_tables
from pipelines.meta import registry_files, write_metrics

PROJECT = Path(__file__).resolve().parents[2]
BUILT_AT = datetime(2025, 4, 1, 4, 30, tzinfo=UTC)
# Customer → (name, segment, {month: MRR in minor units}). February and March 2025 by hand:
# opening 450.00 = 100 + 200 + 50 + 100; new 80.333333, expansion 50, reactivation 60, contraction −30, churn
# −50; closing 560.333333 = 100 + 250 + 80.333333 + 60 + 70.
FORMULA_NAME = "=SUM(A1:A9)"
MARKUP_NAME = "<b>Bold</b> & [Sons](https://example.org) *Ltd*"
ARABIC_NAME = "شركة النور للتوريدات"


def months_between(first: date, last: date) -> list[date]:
    """First days of the months from `first` to `last`."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    index = first.year * 12 + first.month - 1
    return [date((index + step) // 12, (index + step) % 12 + 1, 1) for step in range(count)]


MONTHS = months_between(date(2024, 1, 1), date(2025, 3, 1))


def _paid(amounts: Mapping[int, str]) -> dict[date, Decimal]:
    """MRR of each month from changes: index of the month → major units from then on."""
    result, amount = {}, Decimal(0)
    for index, month in enumerate(MONTHS):
        amount = Decimal(amounts[index]) * 100 if index in amounts else amount
        result[month] = amount
    return result


CUSTOMERS = {
    "C1": ("Acme Supplies", "enterprise", _paid({0: "100"})),
    "C2": (FORMULA_NAME, "enterprise", _paid({0: "200", 14: "250"})),
    "C3": (MARKUP_NAME, "smb", _paid({0: "50", 14: "0"})),
    "C4": (ARABIC_NAME, "smb", _paid({14: "80.333333"})),
    "C5": ("Birch & Co", "smb", _paid({0: "60", 6: "0", 14: "60"})),
    "C6": ("Cedar GmbH", "smb", _paid({1: "100", 14: "70"})),
}


def columns_of_marts() -> dict[str, list[tuple[str, str]]]:
    """Table → (column, type) as the models' contracts state them."""
    return {
        model["name"]: [(column["name"], column["data_type"]) for column in model["columns"]]
        for path in sorted((PROJECT / "models" / "marts").glob("_marts__*.yml"))
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    }


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Every raw table and every promised mart, empty."""
    connection.execute((PROJECT / "pipelines" / "raw_schema.sql").read_text(encoding="utf-8"))
    connection.execute("CREATE SCHEMA marts")
    for table, columns in columns_of_marts().items():
        parts = ", ".join(f'"{name}" {data_type}' for name, data_type in columns)
        connection.execute(f"CREATE TABLE marts.{table} ({parts})")


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows given by column; columns left out are null."""
    for row in rows:
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def describe_build(
    connection: duckdb.DuckDBPyConnection, build_id: str, *, as_of: date, currency: str, subscriptions: bool
) -> None:
    """The build, its policy, currencies and registry."""
    insert(
        connection,
        "raw_meta.build",
        [
            {
                "build_id": build_id,
                "company": "tiny",
                "as_of": as_of,
                "known_to": BUILT_AT,
                "built_at": BUILT_AT,
                "is_sample": True,
                "has_billing": subscriptions,
                "has_orders": not subscriptions,
                "has_crm": False,
            }
        ],
    )
    insert(
        connection,
        "raw_meta.policy",
        [
            {
                "definition_version": "1",
                "policy_hash": "abc",
                "reporting_currency": currency,
                "reporting_timezone": "UTC",
                "min_customers": 2,
            }
        ],
    )
    currencies = [("EUR", 2), ("GBP", 2), ("JPY", 0), ("KWD", 3)]
    insert(
        connection,
        "raw_meta.currencies",
        [{"code": code, "exponent": exponent} for code, exponent in currencies],
    )
    insert(
        connection,
        "raw_meta.test_results",
        [
            {
                "build_id": build_id,
                "test_name": "unique_customers",
                "kind": "test",
                "status": "pass",
                "failures": 0,
            }
        ],
    )
    write_metrics(connection, *registry_files(PROJECT / "models"))
    names = ", ".join(name for name, _ in columns_of_marts()["dim_metrics"])
    connection.execute(f"INSERT INTO marts.dim_metrics ({names}) SELECT {names} FROM raw_meta.metrics")
    insert(
        connection,
        "marts.dim_policy",
        [
            {
                "setting": "min_customers",
                "value": "2",
                "default_value": "30",
                "is_default": False,
                "is_supported": True,
                "definition_version": "1",
                "policy_hash": "abc",
            },
            {
                "setting": "reporting_currency",
                "value": currency,
                "default_value": None,
                "is_default": False,
                "is_supported": True,
                "definition_version": "1",
                "policy_hash": "abc",
            },
        ],
    )


def subscription_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """The marts of CUSTOMERS, by plain arithmetic."""
    insert(
        connection,
        "marts.dim_customers",
        [
            {
                "customer_id": key,
                "name": name,
                "segment": segment,
                "is_current": True,
                "valid_from": date(1, 1, 1),
            }
            for key, (name, segment, _) in CUSTOMERS.items()
        ],
    )
    insert(connection, "marts.dim_plans", [{"plan_id": "P", "plan_name": "Standard", "is_add_on": False}])
    for key, (_, segment, paid) in CUSTOMERS.items():
        _customer_months(connection, key, segment, paid)
    segments = ("enterprise", "smb")
    for index, month in enumerate(MONTHS):
        for segment in segments:
            _month_cell(connection, index, month, segment)
        for scope in ("all", *segments):
            _metric_values(connection, index, month, scope)
        for window in (1, 12):
            for segment in segments:
                _retention(connection, index, month, window, segment)
    _cohorts(connection, segments)
    tiny_cash.fill(connection, insert, MONTHS)
    tiny_plan.fill(connection, insert, MONTHS, closing_of("all"))


def category_of(opening: Decimal, closing: Decimal, has_paid: bool) -> str:
    """The movement of a customer over a month."""
    if opening == closing:
        return "none"
    if opening == 0:
        return "reactivation" if has_paid else "new"
    if closing == 0:
        return "churn"
    return "expansion" if closing > opening else "contraction"


def _customer_months(
    connection: duckdb.DuckDBPyConnection, key: str, segment: str, paid: Mapping[date, Decimal]
) -> None:
    has_paid, opening = False, Decimal(0)
    for month, closing in paid.items():
        category = category_of(opening, closing, has_paid)
        has_paid = has_paid or closing > 0
        if has_paid:
            insert(
                connection,
                "marts.fct_customer_months",
                [
                    {
                        "customer_id": key,
                        "month": month,
                        "currency": "EUR",
                        "opening_mrr": opening,
                        "closing_mrr": closing,
                        "transferred_mrr": Decimal(0),
                        "delta": closing - opening,
                        "transferred_booked": Decimal(0),
                        "delta_booked": closing - opening,
                        "category": category,
                        "main_reason": None if category == "none" else "quantity",
                        "cause": "voluntary" if category == "churn" else None,
                        "segment": segment,
                        "plan_id": "P",
                        "acquisition_channel": "unknown",
                        "is_provisional": False,
                    }
                ],
            )
        if closing:
            balance = {"customer_id": key, "month": month, "currency": "EUR", "closing_mrr": closing}
            insert(connection, "marts.fct_customer_month_balances", [balance])
        opening = closing


def _members(segment: str) -> list[Mapping[date, Decimal]]:
    return [paid for _, own, paid in CUSTOMERS.values() if segment in ("all", own)]


def closing_of(segment: str) -> list[Decimal]:
    """MRR at the close of each month."""
    return [sum((paid[month] for paid in _members(segment)), Decimal(0)) for month in MONTHS]


def _month_cell(connection: duckdb.DuckDBPyConnection, index: int, month: date, segment: str) -> None:
    movements = dict.fromkeys(("new", "expansion", "contraction", "churn", "reactivation"), Decimal(0))
    opening = closing = Decimal(0)
    for paid in _members(segment):
        before = paid[MONTHS[index - 1]] if index else Decimal(0)
        has_paid = any(paid[earlier] for earlier in MONTHS[:index])
        category = category_of(before, paid[month], has_paid)
        opening, closing = opening + before, closing + paid[month]
        if category != "none":
            movements[category] += paid[month] - before
    row: dict[str, Any] = {
        "month": month,
        "currency": "EUR",
        "segment": segment,
        "plan_id": "P",
        "acquisition_channel": "unknown",
        "fx_impact": Decimal(0),
        "is_provisional": False,
    }
    amounts = {"opening": opening, **movements, "entered": Decimal(0), "left": Decimal(0), "closing": closing}
    for name, amount in amounts.items():
        row[f"{name}_mrr"] = row[f"{name}_mrr_native"] = amount
    insert(connection, "marts.fct_mrr_months", [row])


def _window(index: int, window: int, segment: str) -> dict[str, Any] | None:
    """Parts of a window that ends with the month at `index`; None when it begins before the data."""
    if index < window:
        return None
    start = end = kept = Decimal(0)
    customers = lost = 0
    for paid in _members(segment):
        before, after = paid[MONTHS[index - window]], paid[MONTHS[index]]
        if before > 0:
            start, end, kept = start + before, end + after, kept + min(before, after)
            customers, lost = customers + 1, lost + (after == 0)
    return {"start": start, "end": end, "kept": kept, "customers": customers, "lost": lost}


def _metric_values(connection: duckdb.DuckDBPyConnection, index: int, month: date, segment: str) -> None:
    closing = sum((paid[month] for paid in _members(segment)), Decimal(0))
    paying = sum(1 for paid in _members(segment) if paid[month] > 0)
    parts: dict[str, tuple[Any, Any, int]] = {
        "mrr": (closing, None, paying),
        "arr": (12 * closing, None, paying),
        "customers": (paying, None, paying),
        "arpa": (closing, paying, paying),
    }
    moved = [(paid[MONTHS[index - 1]] if index else Decimal(0), paid[month]) for paid in _members(segment)]
    gains = sum((max(after - before, Decimal(0)) for before, after in moved), Decimal(0))
    losses = sum((max(before - after, Decimal(0)) for before, after in moved), Decimal(0))
    parts["quick_ratio"] = (gains, losses, paying)
    year, one = _window(index, 12, segment), _window(index, 1, segment)
    if year:
        parts["nrr_12m"] = (year["end"], year["start"], year["customers"])
        parts["grr_12m"] = (year["kept"], year["start"], year["customers"])
    if one:
        parts["gross_mrr_churn"] = (one["start"] - one["kept"], one["start"], one["customers"])
        parts["logo_churn"] = (one["lost"], one["customers"], one["customers"])
    for metric, (numerator, denominator, customers) in parts.items():
        insert(
            connection,
            "marts.fct_metric_values",
            [
                {
                    "month": month,
                    "currency": "EUR",
                    "segment": segment,
                    "metric_id": metric,
                    "numerator": numerator,
                    "denominator": denominator,
                    "value": float(numerator / (denominator or 1)) if denominator != 0 else None,
                    "why_null": "no_losses" if denominator == 0 else None,
                    "customers": customers,
                    "is_provisional": False,
                }
            ],
        )


def _retention(
    connection: duckdb.DuckDBPyConnection, index: int, month: date, window: int, segment: str
) -> None:
    parts = _window(index, window, segment)
    if parts:
        insert(
            connection,
            "marts.fct_retention",
            [
                {
                    "month": month,
                    "window_months": window,
                    "currency": "EUR",
                    "segment": segment,
                    "start_mrr": parts["start"],
                    "end_mrr": parts["end"],
                    "kept_mrr": parts["kept"],
                    "start_customers": parts["customers"],
                    "lost_customers": parts["lost"],
                    "is_provisional": False,
                }
            ],
        )


def _cohorts(connection: duckdb.DuckDBPyConnection, segments: Sequence[str]) -> None:
    for segment in segments:
        by_cohort: dict[int, list[Mapping[date, Decimal]]] = {}
        for paid in _members(segment):
            first = next(index for index, month in enumerate(MONTHS) if paid[month] > 0)
            by_cohort.setdefault(first, []).append(paid)
        for first, members in by_cohort.items():
            for index in range(first, len(MONTHS)):
                now = [paid[MONTHS[index]] for paid in members]
                start = [paid[MONTHS[first]] for paid in members]
                insert(
                    connection,
                    "marts.fct_cohorts",
                    [
                        {
                            "cohort_month": MONTHS[first],
                            "age_months": index - first,
                            "currency": "EUR",
                            "segment": segment,
                            "plan_id": "P",
                            "acquisition_channel": "unknown",
                            "start_customers": len(members),
                            "customers": sum(1 for amount in now if amount > 0),
                            "start_mrr": sum(start),
                            "net_mrr": sum(now),
                            "gross_mrr": sum(map(min, now, start)),
                            "is_provisional": False,
                        }
                    ],
                )


def publish(folder: Path, build_id: str, fill: Any, *, title: tuple[str, str]) -> Path:
    """Make a company's folder with one published snapshot that `fill` has filled."""
    warehouse = folder / "warehouse"
    warehouse.mkdir(parents=True)
    toml = f'title_en = "{title[0]}"\ntitle_ar = "{title[1]}"\nsample = true\n'
    (folder / "company.toml").write_text(toml, encoding="utf-8")
    path = warehouse / f"warehouse-{build_id}.duckdb"
    with duckdb.connect(str(path)) as connection:
        create_tables(connection)
        fill(connection, build_id)
    (warehouse / "current").write_text(path.name + "\n", encoding="utf-8")
    log_build(folder, build_id, "published")
    return path


def log_build(folder: Path, build_id: str, status: str, step: str = "publish", message: str = "") -> None:
    """Add a line to the company's build log."""
    (folder / "logs").mkdir(exist_ok=True)
    entry = {
        "build_id": build_id,
        "company": folder.name,
        "started_at": BUILT_AT.isoformat(),
        "finished_at": BUILT_AT.isoformat(),
        "status": status,
        "step": step,
        "message": message,
        "seconds": 12.5,
        "peak_memory_mb": 300,
        "steps": [{"name": "dbt", "seconds": 9.0}],
        "tests": {"passed": 1, "failed": 0, "warned": 0},
    }
    with (folder / "logs" / "builds.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


def fill_subscriptions(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    describe_build(connection, build_id, as_of=date(2025, 3, 31), currency="EUR", subscriptions=True)
    subscription_rows(connection)
    create_churn_tables(connection)
    insert(
        connection,
        "churn.churn_status",
        [
            {
                "as_of": date(2025, 3, 31),
                "state": "nothing_to_score",
                "reason_en": "No orders to score.",
                "reason_ar": "لا طلبات.",
            }
        ],
    )
