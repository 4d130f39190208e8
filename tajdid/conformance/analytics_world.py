"""A small company for one worked case: raw rows, executed by the production models, and read back.

Amounts come and go in major units as exact fractions; a world takes the first currency fine enough for them.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb

from pipelines.compiled import Model, execute, needed
from pipelines.policy import PolicyError, read_policy
from tajdid.conformance.analytics_models import insert, open_warehouse
from tajdid.conformance.billing_form import Unsupported

CURRENCIES = {2: "EUR", 3: "KWD", 4: "CLF"}
MOVEMENTS = ("new", "expansion", "contraction", "churn", "reactivation")


def first_day(month: str) -> date:
    """The first day of a month written 2024-01."""
    year, number = month.split("-")
    return date(int(year), int(number), 1)


def last_day(month: str) -> date:
    first = first_day(month)
    return first.replace(day=calendar.monthrange(first.year, first.month)[1])


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def months_later(month: str, count: int) -> str:
    first = first_day(month)
    number = first.year * 12 + first.month - 1 + count
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


@dataclass
class World:
    """Rows of one case under one policy. `settings` are those the case names, the others the defaults."""

    models: tuple[Model, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    discounts: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    applications: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)

    def under(self, **settings: Any) -> World:
        """The same rows under other settings."""
        return World(
            self.models,
            {**self.settings, **settings},
            self.items,
            self.versions,
            self.discounts,
            self.invoices,
            self.lines,
            self.applications,
            self.rates,
        )

    def item(self, customer: str | None = None) -> str:
        """A new subscription of one item; a customer of its own unless one is named."""
        item_id = f"item-{len(self.items) + 1}"
        self.items.append({"item_id": item_id, "customer_id": customer or f"customer of {item_id}"})
        return item_id

    def version(
        self,
        item_id: str,
        amount: Fraction,
        start: date,
        end: date | None = None,
        *,
        interval: str | None = "month",
        interval_count: int = 1,
        quantity: int = 1,
        status: str = "active",
        currency: str | None = None,
        **rest: Any,
    ) -> None:
        """A stretch of days of an item at a price of one interval for its whole quantity."""
        if end is not None and end <= start:
            return
        self.versions.append(
            {
                "subscription_item_id": item_id,
                "version_no": len(self.versions) + 1,
                "amount": amount,
                "currency": currency,
                "interval": interval,
                "interval_count": interval_count,
                "quantity": quantity,
                "status": status,
                "valid_from": start,
                "valid_to": end,
                **rest,
            }
        )

    def discount(
        self,
        item_id: str,
        percent: Fraction | None,
        amount: Fraction | None,
        duration: str,
        start: date,
        end: date | None,
    ) -> None:
        """A discount of an item; a later one comes after an earlier one."""
        number = len(self.discounts) + 1
        self.discounts.append(
            {
                "discount_id": f"discount-{number}",
                "subscription_item_id": item_id,
                "percent_ppm": None if percent is None else _whole(percent * 10_000, "a percentage"),
                "amount": amount,
                "duration": duration,
                "valid_from": start,
                "valid_to": end,
                "order_no": number,
            }
        )

    def invoice(
        self,
        total: Fraction,
        due: date,
        *,
        item_id: str | None = None,
        customer: str = "debtor",
        issued: date | None = None,
    ) -> str:
        """An issued invoice of one line."""
        invoice_id = f"invoice-{len(self.invoices) + 1}"
        owner = next((item["customer_id"] for item in self.items if item["item_id"] == item_id), customer)
        self.invoices.append(
            {
                "invoice_id": invoice_id,
                "customer_id": owner,
                "status": "open",
                "issued_on": issued or due - timedelta(days=1),
                "due_on": due,
                "amount": total,
            }
        )
        self.lines.append(
            {
                "line_id": f"line of {invoice_id}",
                "invoice_id": invoice_id,
                "subscription_item_id": item_id,
                "kind": "recurring",
                "amount": total,
            }
        )
        return invoice_id

    def pay(self, invoice_id: str, amount: Fraction, on: date) -> None:
        self.applications.append(
            {
                "application_id": f"application-{len(self.applications) + 1}",
                "source_kind": "payment",
                "invoice_id": invoice_id,
                "amount": amount,
                "applied_on": on,
            }
        )

    def run(self, as_of: date, *marts: str) -> Answers:
        """Execute the models as of this day. Raises Unsupported for a setting they do not follow."""
        exponent = self._exponent()
        try:
            policy = read_policy(None, {"reporting_currency": CURRENCIES[exponent], **self.settings})
        except PolicyError as error:
            raise Unsupported(str(error)) from None
        connection = open_warehouse(policy, as_of)
        self._fill(connection, exponent)
        execute(connection, needed(self.models, "dim_policy", *marts))
        unsupported = connection.sql(
            "SELECT setting, value FROM marts.dim_policy WHERE NOT is_supported ORDER BY setting"
        ).fetchall()
        if unsupported:
            raise Unsupported(", ".join(f"policy {setting} = {value}" for setting, value in unsupported))
        return Answers(connection, exponent)

    def _exponent(self) -> int:
        """Decimals that every amount of the case fits."""
        amounts = [
            row["amount"]
            for rows in (self.versions, self.discounts, self.invoices, self.applications)
            for row in rows
            if row["amount"] is not None
        ]
        for exponent in CURRENCIES:
            if all((amount * 10**exponent).denominator == 1 for amount in amounts):
                return exponent
        raise Unsupported("an amount of more than four decimals")

    def _fill(self, connection: duckdb.DuckDBPyConnection, exponent: int) -> None:
        code = CURRENCIES[exponent]

        def money(rows: Iterable[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
            return [
                {
                    **{name: value for name, value in row.items() if name != "amount"},
                    **{
                        name: None if row["amount"] is None else int(row["amount"] * 10**exponent)
                        for name in names
                    },
                    "currency": row.get("currency") or code,
                }
                for row in rows
            ]

        owners = {item["item_id"]: item["customer_id"] for item in self.items}
        versions = money(self.versions, "amount_minor")
        for version in versions:
            version["customer_id"] = owners[version["subscription_item_id"]]
            version["subscription_id"] = version["subscription_item_id"]
        insert(connection, "raw_billing.subscription_versions", versions)
        insert(connection, "raw_billing.discounts", money(self.discounts, "amount_minor"))
        insert(connection, "raw_billing.invoices", money(self.invoices, "net_minor", "total_minor"))
        insert(connection, "raw_billing.invoice_lines", _without(money(self.lines, "net_minor"), "currency"))
        insert(
            connection,
            "raw_billing.applications",
            _without(money(self.applications, "amount_minor"), "currency"),
        )
        insert(connection, "raw_billing.fx_rates", self.rates)


@dataclass
class Answers:
    """The marts of an executed world, read in major units."""

    connection: duckdb.DuckDBPyConnection
    exponent: int

    def metric(self, metric_id: str, month: str) -> Fraction | None:
        """A metric of all segments: the quotient of its parts, money in major units, or None."""
        rows = self.rows(
            "SELECT numerator, denominator FROM marts.fct_metric_values "
            "WHERE segment = 'all' AND metric_id = ? AND month = ?",
            metric_id,
            first_day(month),
        )
        is_money = metric_id.endswith("mrr") or metric_id in ("arr", "arpa", "asp_new", "fx_impact")
        if not rows:
            return Fraction(0) if metric_id.endswith("mrr") or metric_id == "arr" else None
        ((numerator, denominator),) = rows
        if numerator is None or denominator == 0:
            return None
        value = Fraction(numerator) / (1 if denominator is None else Fraction(denominator))
        return value / 10**self.exponent if is_money else value

    def movements(self) -> dict[str, dict[str, Fraction]]:
        """Month → movement → amount, months without a movement left out."""
        names = (*MOVEMENTS, "fx_impact")
        columns = ", ".join(f"sum({name if name == 'fx_impact' else name + '_mrr'})" for name in names)
        found = {}
        for month, *amounts in self.rows(f"SELECT month, {columns} FROM marts.fct_mrr_months GROUP BY month"):
            named = {name: self.major(amount) for name, amount in zip(names, amounts, strict=True) if amount}
            if named:
                found[month_of(month)] = named
        return found

    def events(self) -> list[tuple[date, str, str, Fraction]]:
        """Day, customer, movement and amount of every change of a customer and day."""
        rows = self.rows(
            "SELECT movement_on, customer_id, category, sum(delta_constant) FROM marts.fct_mrr_movements "
            "WHERE measure = 'mrr' AND NOT is_scheduled AND category NOT IN ('left', 'entered') "
            "GROUP BY ALL HAVING sum(delta_constant) <> 0 ORDER BY ALL"
        )
        return [(day, customer, category, self.major(amount)) for day, customer, category, amount in rows]

    def mrr_on(self, day: date) -> Fraction:
        """MRR at the close of a day."""
        rows = self.rows(
            "SELECT coalesce(sum(mrr_constant), 0) FROM marts.fct_mrr_spells "
            "WHERE valid_from <= ? AND (valid_to IS NULL OR valid_to > ?)",
            day,
            day,
        )
        ((amount,),) = rows
        return self.major(amount)

    def major(self, amount: Decimal) -> Fraction:
        return Fraction(amount) * Fraction(1, 10**self.exponent)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, list(values)).fetchall()


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise Unsupported(f"{what} finer than a millionth")
    return value.numerator


def _without(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in rows]
