"""Reading a user's files: CSV, Parquet and XLSX, with an optional mapping.toml beside them.

Decides how a file becomes a frame of its own columns, row for row, and which rows are no rows at all (too
many or too few fields, bytes that are no text). What the values mean is decided in columns.py and in each
source.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines.sources.loading import REJECT_COLUMNS, SourceError

SUFFIXES = (".csv", ".parquet", ".xlsx")
ROW = "__row_number"
TROUBLE = "\ufffd"
FORMAT_KEYS = {"encoding", "delimiter", "decimal", "thousands", "date", "unit", "sheet"}
WHOLE_ROW = "(whole row)"
PIECE = 125_000
"""Rows that are worked on at a time where a file may be larger than memory."""
BLOCK = 2**20


@dataclass(frozen=True)
class FileFormat:
    """How a file writes its values. `date` is a strptime format for days and times; ISO 8601 when absent.

    `decimal` is the decimal sign, `thousands` the separator of groups. `unit` tells whether amounts are
    written in major units (12.34) or in minor ones (1234).
    """

    encoding: str | None = None
    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""
    date: str | None = None
    unit: str = "major"
    sheet: str | None = None


@dataclass(frozen=True)
class FileMapping:
    """What mapping.toml says: `columns` ours to theirs, `constants` ours to a text, `rest` a source's own.

    `may_lack` names columns that files no longer have although earlier ones had them.
    """

    path: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    format: FileFormat = field(default_factory=FileFormat)
    may_lack: frozenset[str] = frozenset()
    rest: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class FileRows:
    """The rows of one file. `frame` has the file's own columns and ROW, counted from 1 after the header.

    `broken` holds the rows that could not be split into columns, as rejects.
    """

    path: Path
    frame: pl.DataFrame
    broken: pl.DataFrame

    @property
    def rows_read(self) -> int:
        return self.frame.height + self.broken.height


def data_files(location: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The data files of a folder by name (or the one file); what begins with a dot or _ is passed over.

    Raises SourceError when there is none.
    """
    if location.is_file():
        return [location]
    files = sorted(
        path
        for path in (location.iterdir() if location.is_dir() else ())
        if path.suffix.lower() in suffixes and path.name[0] not in "._"
    )
    if not files:
        raise SourceError(
            f"No data file in {location}: put a file ending in {', '.join(suffixes)} there, "
            "or correct the source's location in company.toml."
        )
    return files


def content_hash(path: Path, *others: str) -> str:
    """A fingerprint of a file's bytes, and of whatever else decides how it is read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    for other in others:
        digest.update(other.encode() + b"\0")
    return digest.hexdigest()[:32]


def read_mapping(folder: Path, own_keys: Iterable[str] = (), table: str | None = None) -> FileMapping:
    """Read mapping.toml of a folder, where there is one; `table` reads its part [tables.<name>] over the
    rest.

    `own_keys` are the further keys a source understands. Raises SourceError for any other key.
    """
    path = folder / "mapping.toml"
    if not path.is_file():
        return FileMapping()
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no valid TOML: {error}.") from error
    parts = content.pop("tables", {})
    if table is not None:
        content = content | dict(parts.get(table, {}))
    known = {"columns", "constants", "format", "may_lack", *own_keys}
    unknown = sorted(set(content) - known)
    if unknown:
        raise SourceError(f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
    for name in ("columns", "constants", "format"):
        if not isinstance(content.get(name, {}), dict):
            raise SourceError(f"{path}: [{name}] must be a table of names and values.")
    may_lack = content.get("may_lack", [])
    if not isinstance(may_lack, list) or not all(isinstance(name, str) for name in may_lack):
        raise SourceError(f'{path}: may_lack is a list of columns, such as ["country"].')
    return FileMapping(
        path=path,
        may_lack=frozenset(may_lack),
        columns={str(ours): str(theirs) for ours, theirs in content.get("columns", {}).items()},
        constants={str(ours): str(value) for ours, value in content.get("constants", {}).items()},
        format=_format(path, content.get("format", {})),
        rest={key: content[key] for key in own_keys if key in content},
        text=text,
    )


def _format(path: Path, given: Mapping[str, Any]) -> FileFormat:
    unknown = sorted(set(given) - FORMAT_KEYS)
    if unknown:
        raise SourceError(
            f"{path}: unknown key {', '.join(unknown)} in [format]; "
            f"known are {', '.join(sorted(FORMAT_KEYS))}."
        )
    result = FileFormat(**{key: str(value) for key, value in given.items()})
    if len(result.delimiter) != 1 or len(result.decimal) != 1 or result.decimal == result.thousands:
        raise SourceError(f"{path}: [format] delimiter and decimal are one sign each, unlike thousands.")
    if result.unit not in ("major", "minor"):
        raise SourceError(f'{path}: [format] unit is "major" or "minor", not "{result.unit}".')
    if result.encoding is not None:
        try:
            "".encode(result.encoding)
        except LookupError as error:
            raise SourceError(f"{path}: [format] encoding {result.encoding!r} is not known.") from error
    return result


def read_rows(path: Path, file_format: FileFormat) -> FileRows:
    """All rows of a file: text columns from CSV and XLSX, typed ones from Parquet.

    Raises SourceError when the file can't be read or has no header.
    """
    (whole,) = read_pieces(path, file_format, size=None)
    return whole


def read_pieces(path: Path, file_format: FileFormat, size: int | None = PIECE) -> Iterator[FileRows]:
    """The rows of a file as `read_rows` gives them, but no more than `size` at a time; at least one piece.

    The broken rows of all come with the first piece. A sheet is one piece: it has at most a million rows.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not there.")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty, without even a header: export it again or remove it.")
    match path.suffix.lower():
        case ".csv":
            yield from _read_csv(path, file_format, size)
        case ".parquet":
            yield from _read_parquet(path, size)
        case ".xlsx":
            yield _without_blank_rows(_whole(path, _read_xlsx(path, file_format)))
        case other:
            raise SourceError(f"{path}: files ending in {other} are not read; use {', '.join(SUFFIXES)}.")


def matched(rows: FileRows, mapping: FileMapping, columns: Mapping[str, Iterable[str]]) -> FileRows:
    """Give the file's columns our names: by [columns] of the mapping, else by name, else by a synonym.

    `columns` is ours to its synonyms. Columns that are not ours keep their place in `original_rows` only.
    Raises SourceError when two of the file's columns claim one of ours, or a mapped one is missing.
    """
    headers = {header.strip().casefold(): header for header in rows.frame.columns if header != ROW}
    if len(headers) != len(rows.frame.columns) - 1:
        raise SourceError(f"{rows.path}: two columns have the same name; give each its own.")
    unknown = sorted((set(mapping.columns) | set(mapping.constants)) - set(columns))
    if unknown:
        raise SourceError(
            f"{mapping.path}: {', '.join(unknown)} is no column of this form; it has {', '.join(columns)}."
        )
    found: dict[str, str] = {}
    for ours, synonyms in columns.items():
        if ours in mapping.constants:
            continue
        wanted = [mapping.columns[ours]] if ours in mapping.columns else [ours, *synonyms]
        hits = [headers[name.strip().casefold()] for name in wanted if name.strip().casefold() in headers]
        if ours in mapping.columns and not hits:
            raise SourceError(
                f"{rows.path} has no column '{mapping.columns[ours]}', "
                f"which {mapping.path} names for {ours}. "
                f"Its columns are: {', '.join(headers.values())}."
            )
        if len(hits) > 1:
            raise SourceError(
                f"{rows.path}: columns {', '.join(hits)} all mean {ours}; "
                f"name one under [columns] in mapping.toml."
            )
        if hits:
            found[ours] = hits[0]
    frame = rows.frame.select(
        pl.col(ROW),
        *(pl.col(theirs).alias(ours) for ours, theirs in found.items()),
        *(pl.lit(value).alias(ours) for ours, value in mapping.constants.items()),
    )
    return FileRows(rows.path, frame, rows.broken)


def unknown_columns(rows: FileRows, mapping: FileMapping, columns: Mapping[str, Iterable[str]]) -> list[str]:
    """The file's columns that the form has no place for."""
    ours = {name.casefold() for name in columns} | {
        name.strip().casefold() for name in mapping.columns.values()
    }
    ours |= {synonym.casefold() for synonyms in columns.values() for synonym in synonyms}
    return [name for name in rows.frame.columns if name != ROW and name.strip().casefold() not in ours]


def require(rows: FileRows, matched_rows: FileRows, *needed: str) -> None:
    """Raise SourceError unless every needed column (or one of `a|b`) is there."""
    missing = [
        name.replace("|", " or ")
        for name in needed
        if not any(option in matched_rows.frame.columns for option in name.split("|"))
    ]
    if missing:
        there = [name for name in rows.frame.columns if name != ROW]
        hint = ""
        if len(there) == 1 and re.search(r"[;\t|,]", there[0]):
            hint = ' Perhaps mapping.toml should name the delimiter ([format] delimiter = ";").'
        raise SourceError(
            f"{rows.path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. It has: "
            f"{', '.join(there)}. Rename columns under [columns] in mapping.toml, "
            f"or give a constant under [constants].{hint}"
        )


def require_as_before(
    rows: FileRows,
    matched_rows: FileRows,
    mapping: FileMapping,
    columns: Mapping[str, Iterable[str]],
    before: tuple[str, list[str]] | None,
    either: Iterable[str] = (),
) -> None:
    """Raise SourceError when a column of ours is gone that the file before had (`Stage.columns_before`).

    Without it the rows would lose what it held, or get a default. `either` are columns of which one is
    needed, which `require` sees to.
    """
    if before is None:
        return
    earlier, had = before
    here = {*matched_rows.frame.columns, *mapping.may_lack, *either}
    gone = [name for name in had if name not in here]
    if gone:
        unread = unknown_columns(rows, mapping, columns)
        found = f" It has columns that are not read: {', '.join(unread)}." if unread else ""
        names = ", ".join(f'"{name}"' for name in gone)
        raise SourceError(
            f"{rows.path} has no column {', '.join(gone)} any more, which {earlier} had.{found} "
            f"Export it with {'it' if len(gone) == 1 else 'them'}, or name what it is called now under "
            f"[columns] in mapping.toml; if it is gone for good, write there: may_lack = [{names}]"
        )


def original_rows(rows: FileRows, row_numbers: pl.Series) -> pl.DataFrame:
    """The rows with these numbers as received: ROW and `original_row`, a JSON object of texts."""
    names = [name for name in rows.frame.columns if name != ROW]
    picked = rows.frame.filter(pl.col(ROW).is_in(row_numbers.implode()))
    texts = (_written(picked[name]) for name in names)
    return picked.select(ROW).with_columns(original_row=pl.struct(*texts).struct.json_encode())


def _written(values: pl.Series) -> pl.Series:
    """A column of any type as texts."""
    kind = values.dtype
    if kind == pl.Binary:
        return values.bin.encode("hex")
    if kind.is_nested() or kind in (pl.Duration, pl.Object):
        texts = [None if value is None else str(value) for value in values.to_list()]
        return pl.Series(values.name, texts, dtype=pl.String)
    return values.cast(pl.String)


def _whole(path: Path, frame: pl.DataFrame, before: int = 0) -> FileRows:
    if ROW in frame.columns:
        raise SourceError(f"{path}: a column can't be named {ROW}; rename it.")
    numbered = frame.with_row_index(ROW, offset=1 + before).with_columns(pl.col(ROW).cast(pl.Int64))
    return FileRows(path, numbered, pl.DataFrame(schema=REJECT_COLUMNS))


def _without_blank_rows(rows: FileRows) -> FileRows:
    """A sheet's rows without a single filled cell are no rows, as a CSV file's blank lines are none."""
    is_blank = pl.all_horizontal(pl.exclude(ROW).is_null())
    return FileRows(rows.path, rows.frame.filter(~is_blank), rows.broken)


def _read_parquet(path: Path, size: int | None) -> Iterator[FileRows]:
    try:
        rows = pl.scan_parquet(path)
        height = rows.select(pl.len()).collect().item()
        for before in range(0, max(height, 1), size or max(height, 1)):
            yield _whole(path, rows.slice(before, size).collect(), before)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path} can't be read as Parquet: {error}. Export it again.") from error


def _read_xlsx(path: Path, file_format: FileFormat) -> pl.DataFrame:
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        sheets = list(book.sheet_names)
        if file_format.sheet is None and len(sheets) > 1:
            raise SourceError(
                f"{path} has the sheets {', '.join(sheets)}: say which with [format] sheet in mapping.toml."
            )
        sheet = file_format.sheet or sheets[0]
        if sheet not in sheets:
            raise SourceError(f"{path} has no sheet '{sheet}'; it has {', '.join(sheets)}.")
        frame: pl.DataFrame = book.load_sheet(sheet, dtypes="string").to_polars()
        # load_sheet gives a name that comes again a number, so that it can't be told from another column
        top = book.load_sheet(sheet, header_row=None, n_rows=1, dtypes="string").to_polars()
    except SourceError:
        raise
    except Exception as error:
        # fastexcel's own error types have no public base class
        raise SourceError(
            f"{path} can't be read as XLSX: {str(error).splitlines()[0]}. Save it again from the program."
        ) from error
    if not frame.columns:
        raise SourceError(f"{path}: sheet '{sheet}' is empty, without even a header.")
    names = [str(name).strip() for name in top.row(0) if name is not None]
    if len({name.casefold() for name in names}) != len(names):
        raise SourceError(f"{path}: every column needs a name of its own; the header is: {', '.join(names)}.")
    return frame


def _read_csv(path: Path, file_format: FileFormat, size: int | None) -> Iterator[FileRows]:
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(":memory:") as connection:
        text_file = _as_utf8(path, file_format, Path(scratch))
        header = _header(path, text_file, file_format)
        lines = _Lines(connection, text_file, header, file_format.delimiter)
        try:
            broken = lines.broken()
        except duckdb.Error:
            # Mostly line ends of both kinds in one file, which DuckDB refuses: once more with one kind.
            even = Path(scratch) / "even.csv"
            with text_file.open(encoding="utf-8") as mixed, even.open("w", encoding="utf-8") as target:
                shutil.copyfileobj(mixed, target, BLOCK)
            lines = _Lines(connection, even, header, file_format.delimiter)
            try:
                broken = lines.broken()
            except duckdb.Error as error:
                raise SourceError(
                    f"{path} can't be read as CSV: {error}. Export it again, or correct what is said here."
                ) from error
        swallowed = broken.filter(pl.col("is_quote") & pl.col("line").str.contains("\n"))
        if swallowed.height:
            raise SourceError(
                f"{path}, line {swallowed['row_number'][0] + 1}: a quotation mark opens and never closes, so "
                "the rows after it can't be told apart. Correct the line and load the file again."
            )
        before = 0
        for frame in lines.split(size):
            rejects = _rejects(broken, "bad_row", pl.struct(line=pl.col("line"), error=pl.col("message")))
            numbered = frame.with_columns(_places(frame.height, before, broken["row_number"]).alias(ROW))
            yield _without_trouble(path, numbered, rejects if before == 0 else rejects.clear())
            before += frame.height


@dataclass(frozen=True)
class _Lines:
    """A CSV file in UTF-8, which DuckDB parts into the header's columns: twice, for which of its lines have
    other columns is known when all are read."""

    connection: duckdb.DuckDBPyConnection
    file: Path
    header: list[str]
    delimiter: str

    def broken(self) -> pl.DataFrame:
        """The lines that have not the header's columns."""
        self._read("SELECT count(*), count(COLUMNS(*))").fetchall()
        return self.connection.sql(
            "SELECT min(line)::BIGINT - 1 AS row_number, any_value(csv_line) AS line, "
            "bool_or(error_type = 'UNQUOTED VALUE') AS is_quote, min(error_message) AS message "
            "FROM reject_errors GROUP BY line ORDER BY 1"
        ).pl()

    def split(self, size: int | None) -> Iterator[pl.DataFrame]:
        """The lines that have them, as texts: at most `size` at a time, and one frame at least."""
        answer = self._read("SELECT *")
        if size is None:
            yield answer.pl()
            return
        is_empty, reader = True, answer.to_arrow_reader(size)
        for batch in reader:
            is_empty = False
            yield pl.DataFrame(pl.from_arrow(batch))
        if is_empty:
            yield pl.DataFrame(schema=dict.fromkeys(self.header, pl.String))

    def _read(self, select: str) -> duckdb.DuckDBPyConnection:
        self.connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        return self.connection.execute(
            f"{select} FROM read_csv($file, auto_detect = false, header = true, delim = $delimiter, "
            "quote = '\"', escape = '\"', columns = $columns, store_rejects = true, "
            "max_line_size = 8388608)",
            {
                "file": str(self.file),
                "delimiter": self.delimiter,
                "columns": dict.fromkeys(self.header, "VARCHAR"),
            },
        )


def _places(count: int, before: int, broken: pl.Series) -> pl.Series:
    """The numbers in the file of the next rows, `before` of which came earlier, beside the broken ones."""
    passed = broken - 1 - pl.int_range(broken.len(), eager=True, dtype=pl.Int64)
    ours = pl.int_range(before, before + count, eager=True, dtype=pl.Int64)
    return ours + 1 + passed.search_sorted(ours, side="right").cast(pl.Int64)


def _as_utf8(path: Path, file_format: FileFormat, scratch: Path) -> Path:
    """The file itself when it is UTF-8, else a copy where TROUBLE stands before bytes that are no text."""
    with path.open("rb") as file:
        head = file.read(4096)
    is_utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\x00" in head and not is_utf_16 and file_format.encoding is None:
        raise SourceError(
            f"{path} is no text file, although its name says CSV. Export it again as CSV, or name its "
            'encoding in mapping.toml ([format] encoding = "utf-16-le").'
        )
    encoding = file_format.encoding or ("utf-16" if is_utf_16 else "utf-8-sig")
    if encoding == "utf-8-sig" and not head.startswith(codecs.BOM_UTF8) and _is_utf8(path):
        return path
    copy = scratch / path.name
    decoder = codecs.getincrementaldecoder(encoding)(errors="tajdid_trouble")
    with path.open("rb") as file, copy.open("w", encoding="utf-8", newline="") as text_file:
        while block := file.read(BLOCK):
            text_file.write(decoder.decode(block))
        text_file.write(decoder.decode(b"", final=True))
    return copy


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _trouble(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    shown = "".join(f"\\x{byte:02x}" for byte in error.object[error.start : error.end])
    return TROUBLE + shown, error.end


codecs.register_error("tajdid_trouble", _trouble)


def _header(path: Path, text_file: Path, file_format: FileFormat) -> list[str]:
    with text_file.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file, delimiter=file_format.delimiter), [])
    names = [name.strip() for name in header]
    if any(TROUBLE in name for name in names):
        raise SourceError(
            f"{path}: the names of the columns are not all UTF-8: {', '.join(names)}. "
            'Save the file as UTF-8, or name its encoding in mapping.toml ([format] encoding = "cp1252").'
        )
    if ROW in names:
        raise SourceError(f"{path}: a column can't be named {ROW}; rename it.")
    if not any(names):
        raise SourceError(f"{path}: the first line must hold the names of the columns.")
    if len({name.casefold() for name in names}) != len(names) or not all(names):
        raise SourceError(f"{path}: every column needs a name of its own; the header is: {', '.join(names)}.")
    return names


def _without_trouble(path: Path, numbered: pl.DataFrame, broken: pl.DataFrame) -> FileRows:
    """Set aside rows whose bytes are no text, beside those that are broken."""
    names = [name for name in numbered.columns if name != ROW]
    garbled = pl.any_horizontal(pl.col(name).str.contains(f"[{TROUBLE}\x00]") for name in names)
    bad_text = numbered.filter(garbled.fill_null(False))
    texts = pl.struct(pl.col(name) for name in names)
    rejects = [broken, _rejects(bad_text.rename({ROW: "row_number"}), "bad_encoding", texts)]
    return FileRows(path, numbered.filter(~garbled.fill_null(False)), pl.concat(rejects))


def _rejects(frame: pl.DataFrame, reason: str, original: pl.Expr) -> pl.DataFrame:
    return frame.select(
        pl.col("row_number").cast(pl.Int64),
        row_key=pl.lit(None, dtype=pl.String),
        reason=pl.lit(reason),
        column_name=pl.lit(WHOLE_ROW),
        original_row=original.struct.json_encode(),
        amount_minor=pl.lit(None, dtype=pl.Int64),
    )
