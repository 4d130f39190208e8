"""Takes in usage events from files: CSV and Parquet, singly or as folders, in chunks of bounded size.

Each chunk is a transaction of its own, and events are known by their ids, so an import that was interrupted
is simply started again. Files are looked at before the first chunk: one that cannot be right refuses all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from billing.core.money import BillingError
from billing.jobs.import_usage import UsageTotals, check_columns, import_usage
from billing.store.store import Store

CHUNK_ROWS = 200_000
SUFFIXES = (".csv", ".parquet")


def import_usage_files(
    store: Store,
    at: datetime,
    paths: Sequence[Path],
    *,
    chunk_rows: int = CHUNK_ROWS,
    progress: Callable[[Path, UsageTotals], None] | None = None,
) -> UsageTotals:
    """Add the events of files, and of the CSV and Parquet files in folders, in order of their names.

    Columns are those of `import_usage`; CSV is read as text, so values stay exact. `progress` is called after
    each chunk. Raises `unreadable_file`, `missing_column` and `naive_time` with the file's name; what is
    wrong with single rows is counted in the answer.
    """
    files = [file for path in paths for file in _files(path)]
    for file in files:
        _check(file)
    totals = UsageTotals()
    for file in files:
        for chunk in _chunks(file, chunk_rows):
            totals = totals.plus(import_usage(store, at, chunk))
            if progress:
                progress(file, totals)
    return totals


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not found:
            raise BillingError("unreadable_file", f"{path} holds no {' or '.join(SUFFIXES)} file")
        return found
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise BillingError("unreadable_file", f"{path} is no {' or '.join(SUFFIXES)} file")
    return [path]


def _check(file: Path) -> None:
    """Raises what would refuse every row of a file."""
    try:
        check_columns(_first_rows(file).schema)
    except BillingError as error:
        raise BillingError(error.code, f"{file}: {error.detail}") from None


def _first_rows(file: Path) -> pl.DataFrame:
    """No rows of a file, but its columns."""
    try:
        if _is_csv(file):
            return pl.read_csv(file, infer_schema=False, n_rows=0)
        return _as_frame(pq.read_schema(file).empty_table())
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        raise BillingError("unreadable_file", _reason(error)) from None


def _chunks(file: Path, chunk_rows: int) -> Iterator[pl.DataFrame]:
    """The rows of a file, a part at a time: memory follows the part (and a row group of Parquet)."""
    read = 0
    try:
        for chunk in _csv_chunks(file, chunk_rows) if _is_csv(file) else _parquet_chunks(file, chunk_rows):
            yield chunk
            read += chunk.height
    except (pl.exceptions.PolarsError, pa.ArrowException, UnicodeDecodeError, OSError) as error:
        detail = f"{file}: {_reason(error)} (somewhere after row {read:,}; what comes before is taken in)"
        raise BillingError("unreadable_file", detail) from None


def _csv_chunks(file: Path, chunk_rows: int) -> Iterator[pl.DataFrame]:
    yield from pl.scan_csv(file, infer_schema=False).collect_batches(
        chunk_size=chunk_rows, maintain_order=True
    )


def _parquet_chunks(file: Path, chunk_rows: int) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(file, memory_map=False, pre_buffer=False) as opened:
        for batch in opened.iter_batches(batch_size=chunk_rows):
            yield _as_frame(pa.Table.from_batches([batch]))


def _as_frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _is_csv(file: Path) -> bool:
    return file.suffix.lower() == ".csv"


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
