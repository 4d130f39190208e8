"""The order models on rows of a test's own: compiled once by dbt for all models, then executed in memory.

The compiled text is that of the product; only the raw tables differ from test to test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import duckdb
import polars as pl
from subscription_models import models

from pipelines.compiled import needed

PROJECT = Path(__file__).resolve().parents[2]
LINES = PROJECT / "data" / "online_retail_ii" / "lines.parquet"
MARTS = ("fct_order_months", "fct_repeat_months", "fct_order_cohorts", "fct_second_order_months", "fct_rfm")
MARTS += (
    "fct_reorder_cadence",
    "fct_opportunity_summary",
    "fct_customer_snapshots",
    "fct_orders",
    "fct_order_lines",
)
RECORDED = datetime(2000, 1, 1, tzinfo=UTC)
KNOWN_TO = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Model:
    name: str
    schema: str
    is_view: bool
    sql: str
    reads: tuple[str, ...]


Models = Mapping[str, Model]


@cache
def order_models() -> Models:
    """Every model that the order marts are made from, in an order in which they can be executed."""
    found = {one.name: one for one in needed(models(), *MARTS)}
    return {
        name: Model(name, one.relation.split(".")[1], one.is_view, one.sql, one.reads)
        for name, one in found.items()
    }


def ancestors(models: Models, *names: str) -> set[str]:
    """The named models and all that they are made from."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += models[name].reads
    return found


class Warehouse:
    """Raw tables in memory, and the models made from them as of a day."""

    def __init__(self, timezone: str = "UTC") -> None:
        self._models = order_models()
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; ATTACH ':memory:' AS warehouse; USE warehouse")
        self.connection.execute((PROJECT / "pipelines" / "raw_schema.sql").read_text(encoding="utf-8"))
        self.connection.execute(
            "INSERT INTO raw_meta.policy (reporting_timezone, week_factor, day_factor, past_due_grace_days) "
            "VALUES (?, '52/12', '365/12', '30')",
            [timezone],
        )

    def build(self, as_of: date, *marts: str, known_to: datetime = KNOWN_TO) -> Warehouse:
        """Make the marts (all of them when none is named) as of a day, from what was known by then."""
        self.connection.execute("DELETE FROM raw_meta.build")
        self.connection.execute(
            "INSERT INTO raw_meta.build (build_id, as_of, known_to, built_at) VALUES ('t', ?, ?, ?)",
            [as_of, known_to, known_to],
        )
        for schema in ("staging", "intermediate", "marts"):
            self.connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
        wanted = ancestors(self._models, *(marts or MARTS))
        for model in self._models.values():
            if model.name in wanted:
                kind = "VIEW" if model.is_view else "TABLE"
                self.connection.execute(f"CREATE {kind} {model.schema}.{model.name} AS {model.sql}")
        return self

    def insert(self, table: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows by column; columns left out are null, `recorded_at` is long ago."""
        for row in rows:
            filled = {"recorded_at": RECORDED, "load_id": "1"} | dict(row)
            marks = ", ".join("?" for _ in filled)
            self.connection.execute(
                f"INSERT INTO {table} ({', '.join(filled)}) VALUES ({marks})", list(filled.values())
            )

    def order(
        self,
        order_id: str,
        customer_id: str,
        day: date | datetime,
        lines: Sequence[tuple[str, int, int]],
        *,
        currency: str = "EUR",
        country: str = "DE",
        recorded_at: datetime = RECORDED,
    ) -> None:
        """One order of lines (sku, quantity, amount_minor); one of negative amounts is a credit note."""
        at = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        order = {
            "order_id": order_id,
            "customer_id": customer_id,
            "ordered_at": at,
            "currency": currency,
            "is_credit": any(amount < 0 for _, _, amount in lines),
            "country": country,
            "recorded_at": recorded_at,
        }
        self.insert("raw_orders.orders", [order])
        numbered = [
            {
                "order_id": order_id,
                "line_no": number,
                "sku": sku,
                "quantity": quantity,
                "amount_minor": amount,
                "recorded_at": recorded_at,
            }
            for number, (sku, quantity, amount) in enumerate(lines, start=1)
        ]
        self.insert("raw_orders.order_lines", numbered)

    def not_goods(self, *skus: str) -> None:
        self.insert("raw_orders.skus", [{"sku": sku, "is_goods": False} for sku in skus])

    def rows(self, sql: str) -> list[dict[str, object]]:
        """The answer as one mapping a row."""
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def row(self, sql: str) -> dict[str, object]:
        (only,) = self.rows(sql)
        return only

    def frame(self, sql: str) -> pl.DataFrame:
        return self.connection.sql(sql).pl()


def fill_with_retail(warehouse: Warehouse) -> None:
    """The raw tables as the wholesaler's file fills them: credit notes begin with C, goods with digits."""
    stamp = "timestamptz '2000-01-01 00:00:00+00' as recorded_at, '1' as load_id"
    run = warehouse.connection.execute
    run(f"create temp table given as select *, row_number() over () as place from '{LINES.as_posix()}'")
    run(
        "insert into raw_orders.orders by name select invoice_no as order_id, "
        "customer_id::varchar as customer_id, invoice_no like 'C%' as is_credit, "
        "min(invoice_ts)::timestamp at time zone 'Europe/London' as ordered_at, "
        f"'GBP' as currency, min(country) as country, {stamp} from given group by all"
    )
    run(
        "insert into raw_orders.order_lines by name select invoice_no as order_id, "
        "row_number() over (partition by invoice_no order by place) as line_no, stock_code as sku, quantity, "
        f"round(quantity * unit_price::decimal(18, 6) * 100)::bigint as amount_minor, {stamp} from given"
    )
    run(
        "insert into raw_orders.skus by name select distinct stock_code as sku, "
        f"regexp_matches(stock_code, '^[0-9]{{5}}') as is_goods, {stamp} from given"
    )
