"""CRM: what a CRM exports, one file a table, the whole table each time.

A CRM overwrites, so every export that differs from the one before is kept as it was received, under
history/crm/<when received>/. A row enters raw_crm when its content is new, with the day its export was
received as `recorded_at` (unless the file brings one); a rebuild from nothing reads the kept exports in
their order and finds the same rows. What disappears from a later export stays known.

A row of another table that names an account no export has is set aside, where the CRM gives accounts at all.
It is read again when accounts arrive.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pipelines.sources import columns as read
from pipelines.sources.columns import Check
from pipelines.sources.files import (
    ROW,
    FileMapping,
    content_hash,
    data_files,
    matched,
    read_mapping,
    read_rows,
    require,
    require_as_before,
    unknown_columns,
)
from pipelines.sources.loading import Load, SourceConfig, SourceError, Stage, currency_exponents

STAMP = "%Y%m%dT%H%M%S%fZ"
ACCOUNTS = "raw_crm.accounts"
NAMES_AN_ACCOUNT = ("contacts", "activities")


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
            accounts = newest.get("accounts")
            if accounts is not None and _waits_for_accounts(stage, config, before):
                stage.progress(f"crm: reading {path.name} again: it names accounts that were not there")
                received_at = max(before.received_at, accounts.received_at)
                _load_export(stage, config, replace(before, received_at=received_at))
                continue
            target = f"raw_crm.{before.table}"
            stage.note_unchanged(config, target, before.name, "source_system = ?", [config.name])
            continue
        stage.progress(f"crm: reading {path.name}")
        export = newest[path.stem.lower()] = _receive(stage, path)
        try:
            _load_export(stage, config, export)
        except SourceError as error:
            # The copy goes with a failed build: name the file that can be corrected.
            told = str(error).replace(str(export.path.parent), str(folder))
            raise SourceError(told) from error


def _waits_for_accounts(stage: Stage, config: SourceConfig, export: Export) -> bool:
    """Whether rows of an export name accounts that were not there, and accounts came in with this build."""
    return bool(
        stage.connection.execute(
            "SELECT 1 FROM raw_meta.files AS files JOIN raw_meta.rejects AS rejects USING (load_id) "
            "WHERE files.source_name = $source AND files.file_name = $file "
            "AND rejects.reason = 'unknown_reference' AND EXISTS (FROM raw_meta.files "
            "WHERE source_name = $source AND target_table = $accounts AND build_id = $build) LIMIT 1",
            {"source": config.name, "file": export.name, "accounts": ACCOUNTS, "build": stage.build_id},
        ).fetchall()
    )


def kept_exports(folder: Path) -> list[Export]:
    """The exports a company has kept, oldest first; of one moment, accounts before what names them."""
    exports = []
    for path in sorted((folder / "history" / "crm").glob("*Z/*")):
        if path.stem.lower() in TABLES:
            received_at = datetime.strptime(path.parent.name, STAMP).replace(tzinfo=UTC)
            exports.append(Export(f"{path.parent.name}/{path.name}", path, received_at))
    return sorted(exports, key=lambda export: (export.received_at, list(TABLES).index(export.table)))


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
    return sorted(ours, key=lambda path: list(TABLES).index(path.stem.lower()))


def _fingerprint(path: Path) -> str:
    mapping = path.with_name("mapping.toml")
    return content_hash(path, mapping.read_text(encoding="utf-8") if mapping.is_file() else "")


def _load_export(stage: Stage, config: SourceConfig, export: Export) -> None:
    path, form = export.path, TABLES[export.table]
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys((*form.columns, "recorded_at"), ())
    mapping: FileMapping = read_mapping(path.parent, table=export.table)
    target = f"raw_crm.{export.table}"
    rows = read_rows(path, mapping.format)
    ours = matched(rows, mapping, wanted)
    require(rows, ours, *form.required)
    require_as_before(rows, ours, mapping, wanted, stage.columns_before(config, target, export.name))
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
    if export.table in NAMES_AN_ACCOUNT and (accounts := _accounts(stage, config)):
        is_unknown = ~pl.col("account_id").is_in(accounts)
        checks.append(Check("unknown_reference", "account_id", is_unknown))
    checks += _rules(export.table, frame, form)
    amount = pl.col("amount_minor") if "amount_minor" in form.columns else None
    accepted, rejects = read.split(rows, frame, checks, form.key, amount)
    rejects = pl.concat([rows.broken, rejects]).sort("row_number")
    load_id = stage.next_load_id()
    names = [*form.columns, "recorded_at"]
    unchanged = stage.append_changed(
        config, target, accepted.select(names), form.key, list(form.columns), load_id, export.received_at
    )
    unknown = unknown_columns(rows, mapping, wanted)
    columns = [name for name in ours.frame.columns if name != ROW]
    stage.remember_file(config, export.name, target, _fingerprint(path), load_id, columns)
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


def _accounts(stage: Stage, config: SourceConfig) -> list[str]:
    """Every account that an export of the source has ever had."""
    rows = stage.connection.execute(
        f"SELECT DISTINCT account_id FROM {ACCOUNTS} WHERE source_system = ?", [config.name]
    ).fetchall()
    return [account_id for (account_id,) in rows]


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
