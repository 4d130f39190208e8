"""A Stripe export as a source: a folder of objects, as JSON lines, list pages or tables.

Decides which raw tables the objects fill and what each load says. The files of the folder are read as one
export, whatever the order of rows. Amounts, statuses and history are decided in the modules beside this one.
History is added: a row that changed comes again with the moment of the build as `recorded_at`, for that is
when it was learned. What a later export does not hold stays known, but for rows that are worked out from all
of an export: versions, discounts and applications that are no more are withdrawn.

company.toml names, beside kind and location, keys of a customer's metadata:

    segment = "segment"                 its segment (default "segment")
    channel = "acquisition_channel"     how it was won (default "acquisition_channel")
    name = "account_name"               a name to show (default: the customer's id)
    country = "country"                 its country (default: none)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipelines.sources.files import content_hash, data_files
from pipelines.sources.loading import (
    REJECT_COLUMNS,
    Load,
    SourceConfig,
    SourceError,
    Stage,
    currency_exponents,
    newest_of,
)
from pipelines.sources.stripe_export import understood
from pipelines.sources.stripe_fields import Reader
from pipelines.sources.stripe_files import (
    SUFFIXES,
    Broken,
    ExportFile,
    read_export,
    restore,
    written,
)
from pipelines.sources.stripe_known import Export, Given, Reject
from pipelines.sources.stripe_rows import raw_rows
from pipelines.sources.stripe_shapes import FIELDS

TARGETS: Mapping[str, str] = {
    "customer": "customers",
    "product": "plans",
    "price": "prices",
    "plan": "prices",
    "coupon": "discounts",
    "discount": "discounts",
    "subscription": "subscription_versions",
    "subscription_item": "subscription_versions",
    "invoice": "invoices",
    "line_item": "invoice_lines",
    "credit_note": "credit_notes",
    "credit_note_line_item": "credit_note_lines",
    "charge": "payments",
    "refund": "refunds",
    "dispute": "disputes",
    "balance_transaction": "payments",
    "invoice_payment": "applications",
    "event": "subscription_versions",
}
"""The raw table that the rows of a kind are for, which is the one their rejects are counted with."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "customers": ("customer_id", "valid_from"),
    "plans": ("plan_id",),
    "prices": ("price_id",),
    "subscription_versions": ("subscription_item_id", "version_no"),
    "discounts": ("discount_id", "subscription_item_id"),
    "invoices": ("invoice_id",),
    "invoice_lines": ("line_id",),
    "credit_notes": ("credit_note_id",),
    "credit_note_lines": ("line_id",),
    "payments": ("payment_id", "attempt_no"),
    "applications": ("application_id",),
    "refunds": ("refund_id",),
    "disputes": ("dispute_id",),
    "dunning_events": ("invoice_id", "attempt_no"),
}
WITHDRAWN: Mapping[str, str] = {
    "subscription_versions": "true AS is_deleted",
    "discounts": "valid_from AS valid_to",
    "applications": "0 AS amount_minor",
}
"""How a row that an export no longer gives is written, in the tables that are worked out from all of it."""
METADATA = {"segment": "segment", "channel": "acquisition_channel", "name": None, "country": None}
NOTHING = "nothing read"


@dataclass
class _Book:
    """The rows of one kind in one file, and what became of them."""

    file_name: str
    kind: str
    load_id: str
    read: int = 0
    broken: list[Broken] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"raw_billing.{TARGETS.get(self.kind, 'customers')}"

    @property
    def name(self) -> str:
        return f"{self.file_name} ({self.kind})"


def load(stage: Stage, config: SourceConfig) -> None:
    """Load the export, unless no file of it changed since the last build.

    Raises SourceError for a file that can't be read and for a setting that there is not.
    """
    metadata = _metadata(config)
    files = data_files(Path(config.location), SUFFIXES)
    place = (stage.reporting_timezone, repr(sorted(metadata.items())))
    hashes = {path.name: content_hash(path, *place) for path in files}
    known = stage.known_files(config)
    if {_file_of(name): content for name, (content, _) in known.items()} == hashes:
        for name in sorted(known):
            table = f"raw_billing.{TARGETS.get(_kind_of(name), 'customers')}"
            stage.note_unchanged(config, table, name, "source_system = ?", [config.name])
        return
    books: dict[tuple[str, str], _Book] = {}
    given: dict[str, list[Given]] = defaultdict(list)
    for path in files:
        stage.progress(f"stripe: reading {path.name}")
        _take(stage, read_export(path, metadata), books, given)
    read = Reader(ZoneInfo(stage.reporting_timezone), currency_exponents(), stage.built_at)
    export = understood(given, read)
    rows = raw_rows(export, metadata)
    _set_aside(export, books)
    for path in files:
        mine = [one for book in books.values() if book.file_name == path.name for one in book.rejects]
        restore(path, metadata, (one.given.row for one in mine))
    _note(export, books)
    for name in known:
        stage.forget_file(config, name)
    for book in books.values():
        _record(stage, config, book, hashes[book.file_name])
    for table, table_rows in rows.items():
        _add_changes(stage, config, table, table_rows)


def _metadata(config: SourceConfig) -> dict[str, str]:
    unknown = sorted(set(config.options) - set(METADATA))
    if unknown:
        raise SourceError(
            f"Source '{config.name}': unknown setting {', '.join(unknown)}; known are {', '.join(METADATA)}."
        )
    keys = {name: config.options.get(name, default) for name, default in METADATA.items()}
    wrong = [name for name, value in keys.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise SourceError(f"Source '{config.name}': {wrong[0]} is the name of a metadata key, a text.")
    return {name: str(value) for name, value in keys.items() if value}


def _file_of(name: str) -> str:
    return name.rpartition(" (")[0]


def _kind_of(name: str) -> str:
    return name.rpartition(" (")[2].removesuffix(")")


def _take(
    stage: Stage,
    found: ExportFile,
    books: dict[tuple[str, str], _Book],
    given: dict[str, list[Given]],
) -> None:
    """Sort the rows of a file by kind, and open a book for each kind it has."""
    name = found.path.name

    def book(kind: str) -> _Book:
        if (name, kind) not in books:
            books[name, kind] = _Book(name, kind, stage.next_load_id())
        return books[name, kind]

    for row in found.rows:
        mine = book(row.kind)
        mine.read += 1
        given[row.kind].append(Given(row, mine.load_id))
    for broken in found.broken:
        mine = book(broken.kind or NOTHING)
        mine.read += 1
        mine.broken.append(broken)
    if not found.rows and not found.broken:
        book(NOTHING)
    if found.others:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.others.items()))
        next(one for (file_name, _), one in books.items() if file_name == name).notes.append(
            f"objects not read: {told}"
        )


def _set_aside(export: Export, books: Mapping[tuple[str, str], _Book]) -> None:
    """Give each reject to the load of its row; a row has the first reason found."""
    by_load = {book.load_id: book for book in books.values()}
    seen: set[int] = set()
    for one in export.rejects:
        if id(one.given) not in seen:
            seen.add(id(one.given))
            by_load[one.given.load_id].rejects.append(one)


def _note(export: Export, books: Mapping[tuple[str, str], _Book]) -> None:
    """Say, with the invoices, what of them could only be taken as far as it goes."""
    told = []
    if export.billed_alone:
        told.append(
            f"{export.billed_alone} subscriptions are known by their invoices alone: "
            "export subscriptions with status=all"
        )
    if export.unpriced_lines:
        told.append(
            f"{export.unpriced_lines} recurring lines name a price that the export lacks: "
            "no history is taken from them"
        )
    if export.cash.unlinked:
        told.append(
            f"{export.cash.unlinked} paid invoices name no payment that the export has: "
            "export invoice_payment too"
        )
    first = next((book for book in books.values() if book.kind == "invoice"), None)
    if first is not None:
        first.notes += told


def _record(stage: Stage, config: SourceConfig, book: _Book, content: str) -> None:
    rejects = [
        {
            "row_number": one.number,
            "row_key": None,
            "reason": one.reason,
            "column_name": one.column,
            "original_row": one.original,
            "amount_minor": None,
        }
        for one in book.broken
    ] + [
        {
            "row_number": one.given.row.number,
            "row_key": one.row_key,
            "reason": one.reason,
            "column_name": one.column,
            "original_row": written(one.given.body),
            "amount_minor": one.amount_minor,
        }
        for one in book.rejects
    ]
    frame = pl.DataFrame(rejects, schema=REJECT_COLUMNS, orient="row").sort("row_number")
    reasons = Counter(frame["reason"].to_list())
    stage.remember_file(config, book.name, book.target, content, book.load_id, columns=())
    count = Load(
        book.load_id, book.target, book.name, book.read, book.read - reasons.total(), reasons.total()
    )
    stage.record(config, count, frame, note="; ".join(book.notes))


def _add_changes(stage: Stage, config: SourceConfig, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the rows that differ from the newest known row of their key, and withdraw those that are gone."""
    connection, target, key = stage.connection, f"raw_billing.{table}", KEYS[table]
    has_rows = connection.execute(f"SELECT 1 FROM {target} WHERE source_system = ? LIMIT 1", [config.name])
    if not rows and not has_rows.fetchall():
        return
    frame = _frame(stage, target, rows)
    keys = ", ".join(key)
    content = [name for name in frame.columns if name not in ("load_id", *key)]
    same = " AND ".join(f'known."{name}" IS NOT DISTINCT FROM arriving."{name}"' for name in content)
    connection.register("arriving", frame.to_arrow())
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE known AS SELECT * FROM {target} WHERE source_system = ? "
            f"QUALIFY row_number() OVER ({newest_of(key)}) = 1",
            [config.name],
        )
        connection.execute(
            f"INSERT INTO {target} BY NAME SELECT arriving.*, $source AS source_system, "
            f"$now::TIMESTAMPTZ AS recorded_at FROM arriving LEFT JOIN known USING ({keys}) "
            f"WHERE known.source_system IS NULL OR NOT ({same})",
            {"source": config.name, "now": stage.built_at},
        )
        if table in WITHDRAWN:
            value, _, column = WITHDRAWN[table].partition(" AS ")
            connection.execute(
                f"INSERT INTO {target} BY NAME SELECT * REPLACE ({value} AS {column}, "
                f"?::TIMESTAMPTZ AS recorded_at) FROM known ANTI JOIN arriving USING ({keys}) "
                f"WHERE {column} IS DISTINCT FROM {value}",
                [stage.built_at],
            )
        connection.execute("DROP TABLE known")
    finally:
        connection.unregister("arriving")


def _frame(stage: Stage, target: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows in the types of their raw table; columns that no row has are left out."""
    types: dict[str, pl.DataType] = {
        "VARCHAR": pl.String(),
        "BIGINT": pl.Int64(),
        "INTEGER": pl.Int32(),
        "BOOLEAN": pl.Boolean(),
        "DATE": pl.Date(),
        "DECIMAL(38,12)": pl.Decimal(38, 12),
        "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
    }
    described = stage.connection.execute(f"DESCRIBE {target}").fetchall()
    given = ("recorded_at", "source_system")
    schema = {name: types[kind] for name, kind, *_ in described if name not in given}
    columns = {
        name: pl.Series(name, [row.get(name) for row in rows], dtype) for name, dtype in schema.items()
    }
    return pl.DataFrame(columns)


assert set(TARGETS) == set(FIELDS)
