"""CRM: what a CRM exports, one file a table, the whole table each time.

A CRM overwrites, so every export that differs from the one before is kept as it was received, under
history/crm/<when received>/. A row enters raw_crm when its content is new, with the day its export was
received as `recorded_at` (unless the file brings one); a rebuild from nothing reads the kept exports in
their order and finds the same rows. What disappears from a later export stays known.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pipelines.sources import columns as read
from pipelines.sources.columns import Check
from pipelines.sources.files import (
    FileMapping,
    content_hash,
    data_files,
    matched,
    read_mapping,
    read_rows,
    require,
    unknown_columns,
)
from pipelines.sources.loading import Load, SourceConfig, SourceError, Stage, currency_exponents

STAMP = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class Table:
    """A table of the export: its columns and kinds (see `columns.parse`), its key, what must be filled."""

    columns: Mapping[str, str]
    key: tuple[str, ...]
    required: tuple[str, ...]


TABLES: Mapping[str, Table] = {
    "accounts": Table(
        {
            "account_id": "text",
            "customer_id": "text",
            "name": "text",
            "owner": "text",
            "csm": "text",
            "stage": "text",
            "segment": "text",
            "acquisition_channel": "text",
            "valid_from": "day",
            "valid_to": "day",
        },
        ("account_id", "valid_from"),
        ("account_id",),
    ),
    "contacts": Table(
        {
            "contact_id": "text",
            "account_id": "text",
            "role": "text",
            "is_champion": "flag",
            "left_on": "day",
        },
        ("contact_id",),
        ("contact_id", "account_id"),
    ),
    "activities": Table(
        {"activity_id": "text", "account_id": "text", "kind": "text", "happened_at": "instant"},
        ("activity_id",),
        ("activity_id", "account_id", "happened_at"),
    ),
    "tickets": Table(
        {
            "ticket_id": "text",
            "customer_id": "text",
            "opened_at": "instant",
            "closed_at": "instant",
            "priority": "text",
            "first_response_at": "instant",
            "csat": "whole",
        },
        ("ticket_id",),
        ("ticket_id", "customer_id", "opened_at"),
    ),
    "nps": Table(
        {"response_id": "text", "customer_id": "text", "answered_on": "day", "score": "whole"},
        ("response_id",),
        ("response_id", "customer_id", "answered_on", "score"),
    ),
    "sales_marketing_costs": Table(
        {"month": "month", "channel": "text", "amount_minor": "whole", "currency": "text"},
        ("month", "channel", "currency"),
        ("month", "amount_minor"),
    ),
    "gross_margins": Table(
        {"month": "month", "segment": "text", "margin_bp": "whole"},
        ("month", "segment"),
        ("month", "margin_bp"),
    ),
}


@dataclass(frozen=True)
class Export:
    """One file of one export. `name` is `<when received>/<file>`, as it is kept in history/crm/."""

    name: str
    path: Path
    received_at: datetime

    @property
    def table(self) -> str:
        return self.path.stem.lower()


def load(stage: Stage, config: SourceConfig) -> None:
    """Load every export that is not in the warehouse yet: kept ones first, then what lies in the folder now.

    Raises SourceError for a file that can't be read or lacks a column, and when two files hold one table.
    """
    folder = Path(config.location)
    known = stage.known_files(config)
    kept = kept_exports(stage.folder)
    for export in kept:
        if export.name not in known:
            _load_export(stage, config, export)
    newest = {export.table: export for export in kept}
    for path in _current_files(folder):
        before = newest.get(path.stem.lower())
        if before is not None and _fingerprint(before.path) == _fingerprint(path):
            target = f"raw_crm.{before.table}"
            stage.note_unchanged(config, target, before.name, "source_system = ?", [config.name])
            continue
        stage.progress(f"crm: reading {path.name}")
        export = _receive(stage, path)
        try:
            _load_export(stage, config, export)
        except SourceError as error:
            # The copy goes with a failed build: name the file that can be corrected.
            told = str(error).replace(str(export.path.parent), str(folder))
            raise SourceError(told) from error


def kept_exports(folder: Path) -> list[Export]:
    """The exports a company has kept, oldest first."""
    exports = []
    for path in sorted((folder / "history" / "crm").glob("*Z/*")):
        if path.stem.lower() in TABLES:
            received_at = datetime.strptime(path.parent.name, STAMP).replace(tzinfo=UTC)
            exports.append(Export(f"{path.parent.name}/{path.name}", path, received_at))
    return exports


def keep_received(stage: Stage) -> None:
    """Move what this build received to history/crm/, once its rows are accepted. It is never rewritten."""
    received = _received_folder(stage)
    if received.is_dir():
        target = stage.folder / "history" / "crm" / received.name
        target.parent.mkdir(parents=True, exist_ok=True)
        received.rename(target)


def _received_folder(stage: Stage) -> Path:
    return stage.folder / "warehouse" / "stage" / "received" / stage.built_at.astimezone(UTC).strftime(STAMP)


def _receive(stage: Stage, path: Path) -> Export:
    """Copy a file of the folder, with its mapping, so that what is read is what will be kept."""
    target = _received_folder(stage)
    target.mkdir(parents=True, exist_ok=True)
    mapping = path.with_name("mapping.toml")
    if mapping.is_file():
        shutil.copyfile(mapping, target / mapping.name)
    shutil.copyfile(path, target / path.name)
    return Export(f"{target.name}/{path.name}", target / path.name, stage.built_at)


def _current_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"The CRM folder {folder} is not there; see the source's location in company.toml.")
    files = data_files(folder)
    ours = [path for path in files if path.stem.lower() in TABLES]
    if not ours:
        raise SourceError(
            f"{folder} holds no table of a CRM: name the files {', '.join(TABLES)} (.csv, .parquet or .xlsx)."
        )
    names = [path.stem.lower() for path in ours]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{folder} holds more than one file of {', '.join(twice)}: leave one.")
    return ours


def _fingerprint(path: Path) -> str:
    mapping = path.with_name("mapping.toml")
    return content_hash(path, mapping.read_text(encoding="utf-8") if mapping.is_file() else "")


def _load_export(stage: Stage, config: SourceConfig, export: Export) -> None:
    path, form = export.path, TABLES[export.table]
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys((*form.columns, "recorded_at"), ())
    mapping: FileMapping = read_mapping(path.parent, table=export.table)
    rows = read_rows(path, mapping.format)
    ours = matched(rows, mapping, wanted)
    require(rows, ours, *form.required)
    frame, checks = ours.frame, list[Check]()
    for name, kind in form.columns.items():
        if name not in frame.columns:
            frame = frame.with_columns(_default(name, kind, stage).alias(name))
        else:
            frame, found = read.parse(
                frame,
                name,
                kind,
                mapping.format,
                stage.reporting_timezone,
                path,
                is_required=name in form.required,
            )
            checks += found
    received_at = pl.lit(export.received_at).cast(pl.Datetime("us", "UTC"))
    if "recorded_at" in frame.columns:
        frame, found = read.parse(
            frame, "recorded_at", "instant", mapping.format, stage.reporting_timezone, path
        )
        checks += [*found, Check("future_recorded_at", "recorded_at", pl.col("recorded_at") > received_at)]
        frame = frame.with_columns(pl.col("recorded_at").fill_null(received_at))
    else:
        frame = frame.with_columns(recorded_at=received_at)
    checks += _rules(export.table, frame, form)
    amount = pl.col("amount_minor") if "amount_minor" in form.columns else None
    accepted, rejects = read.split(rows, frame, checks, form.key, amount)
    rejects = pl.concat([rows.broken, rejects]).sort("row_number")
    load_id = stage.next_load_id()
    target = f"raw_crm.{export.table}"
    names = [*form.columns, "recorded_at"]
    unchanged = stage.append_changed(
        config, target, accepted.select(names), form.key, list(form.columns), load_id
    )
    unknown = unknown_columns(rows, mapping, wanted)
    stage.remember_file(config, export.name, target, _fingerprint(path), load_id)
    stage.record(
        config,
        Load(
            load_id,
            target,
            export.name,
            rows.rows_read,
            accepted.height,
            rejects.height,
        ),
        rejects,
        unchanged=unchanged,
        note=f"columns not read: {', '.join(unknown)}" if unknown else "",
    )


def _default(name: str, kind: str, stage: Stage) -> pl.Expr:
    """The value of a column that the file does not have."""
    if name == "currency":
        return pl.lit(stage.reporting_currency)
    types: dict[str, pl.DataType] = {
        "text": pl.String(),
        "day": pl.Date(),
        "month": pl.Date(),
        "instant": pl.Datetime("us", "UTC"),
        "flag": pl.Boolean(),
        "whole": pl.Int64(),
    }
    return pl.lit(None, dtype=types[kind])


def _rules(table: str, frame: pl.DataFrame, form: Table) -> list[Check]:
    rules = []
    if table == "accounts":
        rules.append(Check("empty_range", "valid_to", pl.col("valid_to") <= pl.col("valid_from")))
    if table == "nps":
        rules.append(Check("bad_amount", "score", ~pl.col("score").is_between(0, 10)))
    if table == "gross_margins":
        rules.append(Check("bad_amount", "margin_bp", pl.col("margin_bp") > 10_000))
    if "currency" in form.columns:
        known = list(currency_exponents())
        rules.append(Check("unknown_currency", "currency", ~pl.col("currency").is_in(known).fill_null(False)))
    if "amount_minor" in form.columns:
        rules.append(Check("too_large", "amount_minor", pl.col("amount_minor").abs() > read.LINE_LIMIT))
        rules.append(Check("negative_amount", "amount_minor", pl.col("amount_minor") < 0))
    rules.append(Check("duplicate_key", form.key[0], ~pl.struct(form.key).is_first_distinct()))
    return rules
