"""Exchange rates: files of daily rates and of named budget sets, as raw_billing.fx_rates.

A rate turns a minor unit of one currency into minor units of another: a dollar at 0.92 euro is 0.92, a dinar
(of a thousand fils) at 3.00 euro is 0.3. A row enters when it is new or says something else than before, with
the moment of the build (unless the file brings a `recorded_at`), so that a revised rate can be told from the
one it revises.
"""

from __future__ import annotations

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
from pipelines.sources.loading import Load, SourceConfig, Stage, currency_exponents

TARGET = "raw_billing.fx_rates"
KEY = ("rate_on", "from_currency", "to_currency", "rate_set")
KINDS = {"rate_on": "day", "from_currency": "text", "to_currency": "text", "rate_set": "text"}
DAILY = "daily"
PLACES, WHOLE_DIGITS = 10, 8


def load(stage: Stage, config: SourceConfig) -> None:
    """Load the files that changed since the last build.

    Columns: rate_on, from_currency, to_currency, rate; if any rate_set (daily, or the name of a budget) and
    recorded_at.

    Raises SourceError for a file that can't be read or lacks a column.
    """
    known = stage.known_files(config)
    for path in data_files(Path(config.location)):
        mapping = read_mapping(path.parent)
        mark = content_hash(path, mapping.text, stage.reporting_timezone)
        before, load_id = known.get(path.name, ("", ""))
        if before == mark:
            stage.note_unchanged(config, TARGET, path.name, "load_id = ?", [load_id])
        else:
            stage.progress(f"rates: reading {path.name}")
            _load_file(stage, config, path, mapping, mark)


def _load_file(stage: Stage, config: SourceConfig, path: Path, mapping: FileMapping, mark: str) -> None:
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys((*KINDS, "rate", "recorded_at"), ())
    rows = read_rows(path, mapping.format)
    ours = matched(rows, mapping, wanted)
    require(rows, ours, "rate_on", "from_currency", "to_currency", "rate")
    require_as_before(rows, ours, mapping, wanted, stage.columns_before(config, TARGET, path.name))
    columns = [name for name in ours.frame.columns if name != ROW]
    frame, checks = ours.frame, list[Check]()
    if "rate_set" not in frame.columns:
        frame = frame.with_columns(rate_set=pl.lit(DAILY))
    zone = stage.reporting_timezone
    kinds = KINDS | ({"recorded_at": "instant"} if "recorded_at" in frame.columns else {})
    for name, kind in kinds.items():
        required = name in ("rate_on", "from_currency", "to_currency")
        frame, found = read.parse(frame, name, kind, mapping.format, zone, path, is_required=required)
        checks += found
    frame = read.number(frame, "rate", mapping.format, path)
    learned_at = pl.lit(stage.built_at).cast(pl.Datetime("us", "UTC"))
    given_at = pl.col("recorded_at").fill_null(learned_at) if "recorded_at" in kinds else learned_at
    frame = frame.with_columns(
        pl.col("rate_set").fill_null(DAILY),
        pl.col("rate_text").cast(pl.Decimal(PLACES + WHOLE_DIGITS, PLACES), strict=False).alias("rate"),
        given_at.alias("recorded_at"),
    )
    checks += [*_rules(), Check("future_recorded_at", "recorded_at", pl.col("recorded_at") > learned_at)]
    accepted, rejects = read.split(rows, frame, checks, KEY)
    rejects = pl.concat([rows.broken, rejects]).sort("row_number")
    load_id = stage.next_load_id()
    names = [*KEY, "rate", "recorded_at"]
    unchanged = stage.append_changed(config, TARGET, accepted.select(names), KEY, [*KEY, "rate"], load_id)
    stage.remember_file(config, path.name, TARGET, mark, load_id, columns)
    unknown = unknown_columns(rows, mapping, wanted)
    stage.record(
        config,
        Load(load_id, TARGET, path.name, rows.rows_read, accepted.height, rejects.height),
        rejects,
        unchanged=unchanged,
        note=f"columns not read: {', '.join(unknown)}" if unknown else "",
    )


def _rules() -> list[Check]:
    known = list(currency_exponents())
    return [
        *(
            Check("unknown_currency", name, ~pl.col(name).is_in(known).fill_null(False))
            for name in ("from_currency", "to_currency")
        ),
        *read.number_checks("rate"),
        Check("too_large", "rate", pl.col("rate").is_null() | (pl.col("rate_scale") > PLACES)),
        Check("bad_amount", "rate", pl.col("rate") <= 0),
        Check("duplicate_key", "rate_on", ~pl.struct(KEY).is_first_distinct()),
    ]
