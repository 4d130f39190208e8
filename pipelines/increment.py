"""Whether a build makes all rows anew, or only those of customers that something happened to, and whose.

Before the sources are loaded, `known` notes what the last build was made from. After it, `decide` compares:
where the models' text, the policy or the rates behind old figures are others, or rows of a source went, the
build is a full one, and it says why. Otherwise these customers are touched:

- whose rows of subscriptions, discounts, attributes, parents or CRM accounts came anew, or became known;
- those of an item whose plan became an add-on or ceased to be one;
- those with a change on a day between the last and this as-of day, or in a month between them (a term, a
  discount, a trial or a pause that ends is such a change; it stood there as a scheduled one);
- those with movements in a month whose opening rate came anew.

What is late on other days than before, and who is tied to a touched customer, the models add
(int_touched_customers), because they work both out anyway. macros/in_parts.sql says what the models do with
it. Too many is harmless: a row that is made anew from the same inputs is the same row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

READ = (
    "raw_billing.subscription_versions",
    "raw_billing.discounts",
    "raw_billing.customers",
    "raw_billing.customer_parents",
    "raw_billing.invoices",
    "raw_billing.plans",
    "raw_billing.fx_rates",
    "raw_crm.accounts",
)
"""What the tables that are rebuilt in parts are made from."""
MADE = (
    "intermediate.int_item_versions",
    "intermediate.int_item_steps",
    "intermediate.int_customer_attributes",
    "intermediate.int_customer_days",
    "intermediate.int_customer_month_cells",
    "intermediate.int_mrr_month_changes",
    "intermediate.int_past_due_days",
    "marts.fct_mrr_movements",
    "marts.fct_customer_month_changes",
)
"""What an increment finds in the last snapshot."""
ONLY_FULL: Mapping[str, tuple[str, ...]] = {
    "mrr_source": ("billed_lines",),
    "churn_at": ("cancel_request", "billing_end"),
    "usage": ("in_3m_mean",),
    "fx_movements": ("daily_rate",),
    "second_subscription": ("new_per_item",),
}
"""Settings under which rows of a customer change by what is no row of it, or with every day."""
MOST_TOUCHED = 5
"""From a fifth of the customers on, making all rows anew is no more work."""

WHY: Mapping[str, Mapping[str, str]] = {
    "en": {
        "first": "there is no earlier build to add to",
        "asked": "a full build was asked for",
        "code": "the models or the programs that make them changed since the last build",
        "policy": "the metric policy changed since the last build",
        "setting": "under the setting {about} every row may change from day to day",
        "day": "the as-of day is before that of the last build ({about})",
        "rows": "rows of {about} that the last build had are gone",
        "rates": "the constant rates of {about} came anew, and old amounts stand at them",
        "many": "more than a fifth of the customers were touched",
        "changes": "Only what changed since the build {about} was made anew",
    },
    "ar": {
        "first": "لا بناء سابقًا يُضاف إليه",
        "asked": "طُلب بناء كامل",
        "code": "تغيّرت النماذج أو البرامج التي تبنيها منذ البناء السابق",
        "policy": "تغيّرت سياسة المقاييس منذ البناء السابق",
        "setting": "مع الإعداد {about} قد يتغير كل صف من يوم إلى يوم",
        "day": "يوم الأرقام أسبق من يوم البناء السابق ({about})",
        "rows": "اختفت صفوف من {about} كانت في البناء السابق",
        "rates": "وردت أسعار ثابتة جديدة في {about}، وبها حُسبت المبالغ القديمة",
        "many": "مسّ التغيير أكثر من خُمس العملاء",
        "changes": "لم يُعَد إلا بناء ما تغيّر منذ البناء {about}",
    },
}
TOLD: Mapping[str, tuple[str, str]] = {
    "en": ("All rows were made anew: {why}.", "{why}: {touched:,} of {customers:,} customers."),
    "ar": ("أُعيد بناء كل الصفوف: {why}.", "{why}: {touched:,} من {customers:,} من العملاء."),
}
"""What is said of a full build, and of an increment."""


@dataclass(frozen=True)
class Known:
    """What the last build was made from: its moment and day, its policy, its code, and how many rows each
    table of READ held."""

    build_id: str
    as_of: date
    known_to: datetime
    policy: tuple[Any, ...]
    code: str | None
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Increment:
    """How a build is made. `why` is a word of WHY, `about` what it speaks of; `touched` is how many of the
    `customers` are touched, before the models have run without those tied to others. Both are 0 in a full
    build."""

    is_full: bool
    why: str
    about: str = ""
    touched: int = 0
    customers: int = 0

    def told(self, locale: str = "en") -> str:
        """In words, with the reason."""
        why = WHY[locale][self.why].format(about=self.about)
        full, part = TOLD[locale]
        return (full if self.is_full else part).format(
            why=why, touched=self.touched, customers=self.customers
        )


def known(connection: duckdb.DuckDBPyConnection) -> Known | None:
    """What the build in this stage was made from, before anything of it is changed; None in an empty one."""
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables"
        ).fetchall()
    }
    if not {*READ, *MADE, "raw_meta.build", "raw_meta.policy", "raw_meta.fingerprints"} <= tables:
        return None
    builds = connection.execute("SELECT build_id, as_of, known_to FROM raw_meta.build").fetchall()
    policy = connection.execute("SELECT * FROM raw_meta.policy").fetchall()
    code = connection.execute("SELECT value FROM raw_meta.fingerprints WHERE name = 'code'").fetchall()
    if not builds or not policy:
        return None
    rows = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in READ}
    build_id, as_of, known_to = builds[0]
    return Known(build_id, as_of, known_to, policy[0], code[0][0] if code else None, rows)


def decide(
    connection: duckdb.DuckDBPyConnection, before: Known | None, code: str | None, *, is_full: bool = False
) -> Increment:
    """Tell how this build is made, now that its raw rows are loaded, and write it for the models.

    `code` is the fingerprint of what makes the models; `is_full`: a full build is asked for.
    """
    connection.execute("DELETE FROM raw_meta.touched_customers")
    connection.execute("DELETE FROM raw_meta.past_due_days_before")
    connection.execute("DROP SCHEMA IF EXISTS touched CASCADE")
    found = _decided(connection, before, code, is_full=is_full)
    if not found.is_full:
        connection.execute("CREATE SCHEMA touched")
    connection.execute("DELETE FROM raw_meta.increment")
    connection.execute(
        "INSERT INTO raw_meta.increment BY NAME SELECT ? AS is_open, ? AS is_full, ? AS why, ? AS about, "
        "? AS since_build_id, ?::DATE AS since_as_of, ? AS touched_customers, ? AS customers",
        [
            *(not found.is_full, found.is_full, found.why, found.about),
            *((None, None) if before is None else (before.build_id, before.as_of)),
            *(found.touched, found.customers),
        ],
    )
    return found


def close(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that the models have been built: whoever builds on this file again makes all rows anew."""
    if connection.execute("SELECT 1 FROM raw_meta.increment WHERE is_open").fetchall():
        connection.execute(
            "UPDATE raw_meta.increment SET is_open = false, "
            "touched_customers = (SELECT count(*) FROM intermediate.int_touched_customers)"
        )
    connection.execute("DELETE FROM raw_meta.touched_customers")
    connection.execute("DELETE FROM raw_meta.past_due_days_before")
    connection.execute("DROP SCHEMA IF EXISTS touched CASCADE")


def made(connection: duckdb.DuckDBPyConnection) -> Increment | None:
    """How the snapshot behind a connection was made; None where it does not say so."""
    try:
        rows = connection.execute(
            "SELECT is_full, why, about, touched_customers, customers FROM raw_meta.increment"
        ).fetchall()
    except duckdb.CatalogException:
        return None
    return Increment(*rows[0]) if rows else None


def _decided(
    connection: duckdb.DuckDBPyConnection, before: Known | None, code: str | None, *, is_full: bool
) -> Increment:
    if before is None:
        return Increment(is_full=True, why="first")
    if is_full:
        return Increment(is_full=True, why="asked")
    if code is None or before.code != code:
        return Increment(is_full=True, why="code")
    policy = connection.execute("SELECT * FROM raw_meta.policy")
    names = [column[0] for column in policy.description or ()]
    if (values := policy.fetchall()[0]) != before.policy:
        return Increment(is_full=True, why="policy")
    settings = dict(zip(names, values, strict=True))
    for name, some in ONLY_FULL.items():
        if settings[name] in some:
            return Increment(is_full=True, why="setting", about=f"{name} = {settings[name]}")
    ((build_id, as_of, known_to),) = connection.execute(
        "SELECT build_id, as_of, known_to FROM raw_meta.build"
    ).fetchall()
    if as_of < before.as_of:
        return Increment(is_full=True, why="day", about=f"{before.as_of}")
    changes = _Changes(connection, before, build_id, as_of, known_to, settings)
    if (table := changes.table_that_lost_rows()) is not None:
        return Increment(is_full=True, why="rows", about=table)
    if changes.has_new_constant_rates():
        return Increment(is_full=True, why="rates", about=settings["constant_rate_set"])
    touched, customers = changes.touch_customers()
    if touched * MOST_TOUCHED > customers:
        connection.execute("DELETE FROM raw_meta.touched_customers")
        return Increment(is_full=True, why="many")
    connection.execute(
        "INSERT INTO raw_meta.past_due_days_before "
        "SELECT subscription_item_id, valid_from, valid_to FROM intermediate.int_past_due_days"
    )
    return Increment(False, "changes", before.build_id, touched, customers)


@dataclass(frozen=True)
class _Changes:
    """The rows that came since the last build."""

    connection: duckdb.DuckDBPyConnection
    before: Known
    build_id: str
    as_of: date
    known_to: datetime
    settings: Mapping[str, Any]

    def table_that_lost_rows(self) -> str | None:
        """A raw table that holds less than what it held and what this build loaded."""
        for table in READ:
            ((now, loaded),) = self.connection.execute(
                f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {table} WHERE {self._came})"
            ).fetchall()
            if now != self.before.rows[table] + loaded:
                return table
        return None

    def has_new_constant_rates(self) -> bool:
        """Whether rates came in that amounts of any day stand at."""
        return bool(
            self.connection.execute(
                f"SELECT 1 FROM ({self._new('raw_billing.fx_rates')}) "
                "WHERE rate_set = ? AND to_currency = ? LIMIT 1",
                [self.settings["constant_rate_set"], self.settings["reporting_currency"]],
            ).fetchall()
        )

    def touch_customers(self) -> tuple[int, int]:
        """Write raw_meta.touched_customers; returns how many there are, and how many customers in all."""
        parts = [*self._by_rows(), *self._by_days()]
        self.connection.execute(
            "INSERT INTO raw_meta.touched_customers "
            f"SELECT customer_id FROM ({' UNION '.join(parts)}) WHERE customer_id IS NOT NULL"
        )
        counts = self.connection.execute(
            "SELECT (SELECT count(*) FROM raw_meta.touched_customers), "
            "(SELECT count(*) FROM intermediate.int_customer_attributes WHERE valid_to = '9999-12-31')"
        ).fetchall()
        return counts[0][0], counts[0][1]

    @property
    def _loaded(self) -> str:
        """The condition that this build loaded a row: its load_id begins with the build's."""
        return f"load_id >= '{self.build_id}-' AND load_id < '{self.build_id}.'"

    @property
    def _came(self) -> str:
        """The condition that this build wrote a row: it loaded it, or a source withdrew one that keeps the
        load_id it came with."""
        return f"({self._loaded} OR recorded_at = TIMESTAMPTZ '{self.known_to.isoformat()}')"

    def _new(self, table: str) -> str:
        """The rows that this build is the first to know: it loaded them, or they were dated ahead before."""
        since, until = (f"TIMESTAMPTZ '{one.isoformat()}'" for one in (self.before.known_to, self.known_to))
        return (
            f"SELECT * FROM {table} WHERE {self._loaded} AND recorded_at <= {until} "
            f"UNION ALL SELECT * FROM {table} WHERE recorded_at > {since} AND recorded_at <= {until}"
        )

    def _by_rows(self) -> list[str]:
        """Selections of customer_id: whose rows came, in one table after the other."""
        versions, invoices = "raw_billing.subscription_versions", "raw_billing.invoices"
        return [
            # a corrected row leaves the customer, or the parent, that it named before
            f"SELECT customer_id FROM {versions} WHERE subscription_item_id IN "
            f"(SELECT subscription_item_id FROM ({self._new(versions)}))",
            f"SELECT customer_id FROM {versions} WHERE subscription_item_id IN "
            f"(SELECT subscription_item_id FROM ({self._new('raw_billing.discounts')}))",
            f"SELECT customer_id FROM ({self._new('raw_billing.customers')})",
            f"SELECT unnest([customer_id, parent_customer_id]) AS customer_id "
            "FROM raw_billing.customer_parents WHERE customer_id IN "
            f"(SELECT customer_id FROM ({self._new('raw_billing.customer_parents')}))",
            # an account that goes over to another customer leaves the one it was with
            "SELECT customer_id FROM raw_crm.accounts WHERE account_id IN "
            f"(SELECT account_id FROM ({self._new('raw_crm.accounts')}))",
            # an invoice tells of a customer only that it is there
            f"SELECT customer_id FROM ({self._new(invoices)}) WHERE issued_on IS NULL "
            "OR customer_id NOT IN (SELECT customer_id FROM intermediate.int_customer_attributes "
            "WHERE customer_id IS NOT NULL)",
            f"SELECT unnest(list(DISTINCT customer_id)) AS customer_id FROM {invoices} "
            f"WHERE invoice_id IN (SELECT invoice_id FROM ({self._new(invoices)})) "
            "GROUP BY invoice_id HAVING count(DISTINCT customer_id) > 1",
            f"SELECT customer_id FROM {versions} WHERE coalesce(plan_id, 'unknown') IN ({self._plans()})",
        ]

    def _plans(self) -> str:
        """Plans that became an add-on or ceased to be one; a plan that is not known is none."""
        return (
            "SELECT plan_id FROM raw_billing.plans "
            f"WHERE plan_id IN (SELECT plan_id FROM ({self._new('raw_billing.plans')})) "
            "GROUP BY plan_id HAVING bool_or(is_add_on) "
            f"AND NOT (bool_and(coalesce(is_add_on, false)) AND bool_or(NOT ({self._loaded}) "
            f"AND recorded_at <= TIMESTAMPTZ '{self.before.known_to.isoformat()}'))"
        )

    def _by_days(self) -> list[str]:
        """Selections of customer_id: who has a change that this as-of day counts and the last did not, and
        who has movements that are booked at another rate now."""
        since, until = f"DATE '{self.before.as_of}'", f"DATE '{self.as_of}'"
        month = f"date_trunc('month', {until})"
        passed = (
            f"BETWEEN {since} + 1 AND {until}",
            f"BETWEEN date_trunc('month', {since}) + INTERVAL 1 MONTH AND {month}",
        )
        found = [
            f"SELECT customer_id FROM intermediate.int_customer_days WHERE changed_on {passed[0]}",
            f"SELECT customer_id FROM intermediate.int_customer_days WHERE month {passed[1]}",
            f"SELECT customer_id FROM marts.fct_mrr_movements WHERE movement_on {passed[0]}",
            f"SELECT customer_id FROM marts.fct_mrr_movements WHERE month {passed[1]}",
        ]
        if self.settings["fx_movements"] != "constant":
            currency = self.settings["reporting_currency"].replace("'", "''")
            found.append(
                "SELECT movements.customer_id FROM marts.fct_mrr_movements AS movements JOIN ("
                "SELECT from_currency AS currency, date_trunc('month', min(rate_on)) AS month "
                f"FROM ({self._new('raw_billing.fx_rates')}) "
                f"WHERE rate_set = 'daily' AND to_currency = '{currency}' GROUP BY 1) AS rates "
                f"USING (currency) WHERE movements.month > rates.month AND movements.month <= {month}"
            )
        return found
