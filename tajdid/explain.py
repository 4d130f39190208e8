"""What each source gave to a build, why rows of it were set aside, and what of the models was made anew: what
`--explain` shows.

Reads raw_meta of a snapshot, or the listing of rejects that a refused build leaves. It decides how that is
told; which rows are set aside, the sources decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl

from pipelines import increment
from pipelines.increment import Increment
from pipelines.sources.loading import currency_exponents
from pipelines.warehouse import Snapshot, quoted

REASONS: Mapping[str, str] = {
    "bad_row": "The line has more or fewer fields than the header, or is no JSON object. Look for a missing "
    "quotation mark or a delimiter inside a value.",
    "bad_encoding": "Some bytes are no text in the file's encoding. Save the file as UTF-8, or name its "
    "encoding in mapping.toml.",
    "missing_key": "A column that tells rows apart, or says whose the row is, is empty.",
    "duplicate_key": "The same key came before, in this file or another; the first row counts.",
    "bad_date": "The value is no day or time. Write 2025-12-31, or name the format in mapping.toml.",
    "bad_amount": "The value is no number, or no number that can stand in this column.",
    "bad_flag": "The value is neither true nor false (yes/no, y/n, t/f, 1/0).",
    "empty_range": "The stretch of days ends on or before the day it begins.",
    "negative_amount": "The amount is below zero where only a credit may be.",
    "negative_quantity": "The quantity is below zero outside a credit.",
    "unknown_currency": "The currency is no ISO 4217 code such as EUR.",
    "unknown_interval": "The interval is not day, week, month or year, or its count is no number from 1 to "
    "1200.",
    "unknown_value": "The word is none of those this column may hold.",
    "unknown_reference": "The row names something that no other row is about.",
    "overlap_in_subscription": "The days overlap an earlier row of the same subscription, which counts.",
    "future_recorded_at": "The row says it was recorded after this build began.",
    "too_large": "The number has more digits than are kept, or would make an absurd amount.",
}
REASONS_AR: Mapping[str, str] = {
    "bad_row": "عدد الحقول في السطر أكثر أو أقل من أعمدة الترويسة. "
    "ابحث عن علامة اقتباس ناقصة أو فاصل داخل قيمة.",
    "bad_encoding": "بعض البايتات ليست نصًا في ترميز الملف. احفظ الملف بترميز UTF-8، "
    "أو اذكر ترميزه في mapping.toml.",
    "missing_key": "عمود يميّز الصفوف، أو يبيّن لمن الصف، فارغ.",
    "duplicate_key": "سبق هذا المفتاح في هذا الملف أو في غيره؛ والمعتمد هو الصف الأول.",
    "bad_date": "القيمة ليست يومًا ولا وقتًا. اكتب 2025-12-31، أو اذكر الصيغة في mapping.toml.",
    "bad_amount": "القيمة ليست عددًا، أو ليست عددًا يصلح لهذا العمود.",
    "bad_flag": "القيمة ليست نعم ولا لا (yes/no أو y/n أو t/f أو 1/0).",
    "empty_range": "تنتهي مدة الأيام في يوم بدايتها أو قبله.",
    "negative_amount": "المبلغ أقل من صفر حيث لا يجوز ذلك إلا لإشعار دائن.",
    "negative_quantity": "الكمية أقل من صفر في غير إشعار دائن.",
    "unknown_currency": "العملة ليست رمزًا من ISO 4217 مثل EUR.",
    "unknown_interval": "الفترة ليست يومًا ولا أسبوعًا ولا شهرًا ولا سنة (day, week, month, year)، "
    "أو عددها ليس من 1 إلى 1200.",
    "unknown_value": "الكلمة ليست مما يقبله هذا العمود.",
    "unknown_reference": "يشير الصف إلى ما ليس له صف، كحساب لا يرد في أي تصدير.",
    "overlap_in_subscription": "تتداخل الأيام مع صف سابق للاشتراك نفسه، وهو المعتمد.",
    "future_recorded_at": "يقول الصف إنه سُجّل بعد بدء هذا البناء.",
    "too_large": "أرقام العدد أكثر مما يُحفظ، أو ينتج عنه مبلغ غير معقول.",
}
IN_WORDS: Mapping[str, Mapping[str, str]] = {"en": REASONS, "ar": REASONS_AR}
HEADINGS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "loads": "What each source gave:",
        "nothing": "No row is set aside.",
        "rejects": "Rows set aside (amounts: sizes added, debits and credits alike):",
        "further": "See docs/metrics.md, section 1.",
    },
    "ar": {
        "loads": "ما قدّمه كل مصدر:",
        "nothing": "لا صفوف مستبعدة.",
        "rejects": "الصفوف المستبعدة (المبالغ: مجموع القيم المطلقة، مدينةً كانت أو دائنة):",
        "further": "انظر القسم 1 من docs/metrics.md.",
    },
}
CURRENCY = r'"currency"\s*:\s*"\s*(\w+)'
"""Where a reject's original row, a JSON object of the file's columns, tells its currency."""


@dataclass(frozen=True)
class Explanation:
    """A row a file or table in `loads`; a row a file, reason and column in `rejects`, largest first; in
    `way`, whether all rows were made anew and why, where there is a build to tell of."""

    loads: pl.DataFrame
    rejects: pl.DataFrame
    way: Increment | None = None

    def reasons(self, locale: str = "en") -> dict[str, str]:
        """What each reason among the rejects means, in plain words of a language."""
        found = self.rejects["reason"].unique(maintain_order=True).to_list()
        words, further = IN_WORDS[locale], HEADINGS[locale]["further"]
        return {reason: words.get(reason, further) for reason in found}


def of_snapshot(snapshot: Snapshot, sources: Iterable[str]) -> Explanation:
    """What the build of a snapshot was given by the sources with these names.

    The rejects are all that are set aside now, also of files that did not change since an earlier build.
    """
    with snapshot.cursor() as connection:
        return of_build(connection, snapshot.build_id, sources)


def of_build(connection: duckdb.DuckDBPyConnection, build_id: str, sources: Iterable[str]) -> Explanation:
    """The same from a connection to a warehouse."""
    loads = connection.sql(
        "SELECT source_name AS source, target_table AS table, file_name AS file, rows_read AS read, "
        "rows_accepted AS accepted, rows_rejected AS 'set aside', rows_unchanged AS unchanged, note "
        "FROM raw_meta.loads WHERE build_id = $build_id ORDER BY source_name, target_table, file_name",
        params={"build_id": build_id},
    ).pl()
    silent = [name for name in sources if name not in loads["source"].to_list()]
    nothing = pl.DataFrame({"source": silent}, {"source": pl.String}).with_columns(
        note=pl.lit("gave nothing")
    )
    return Explanation(
        pl.concat([loads, nothing], how="diagonal"),
        _rejects(connection, "raw_meta.rejects"),
        increment.made(connection),
    )


def of_listing(listing: Path) -> Explanation:
    """The rejects that a refused build listed; what it loaded went with it."""
    with duckdb.connect(":memory:") as connection:
        relation = f"read_csv({quoted(str(listing))}, header = true, all_varchar = true)"
        return Explanation(pl.DataFrame(), _rejects(connection, relation))


def _rejects(connection: duckdb.DuckDBPyConnection, relation: str) -> pl.DataFrame:
    """Rejects of a relation by file, reason and column; sizes of amounts add up by currency."""
    rows = connection.sql(
        "WITH rejects AS ("
        "SELECT *, abs(amount_minor::BIGINT)::HUGEINT AS size, row_number::BIGINT AS place, "
        f"coalesce(regexp_extract(original_row, {quoted(CURRENCY)}, 1, 'i'), '') AS currency "
        f"FROM {relation}), amounts AS ("
        "SELECT target_table, file_name, reason, column_name, currency, count(*) AS rows, "
        "sum(size)::VARCHAR AS size, min(place) AS first_row FROM rejects GROUP BY ALL) "
        "SELECT target_table, file_name, reason, column_name, sum(rows)::BIGINT AS rows, "
        "min(first_row) AS first_row, "
        "list({'currency': currency, 'size': size} ORDER BY currency) AS amounts "
        "FROM amounts GROUP BY ALL ORDER BY rows DESC, target_table, file_name, reason, column_name"
    ).pl()
    told = [", ".join(_amount(part) for part in parts if part["size"]) for parts in rows["amounts"].to_list()]
    return rows.select(
        pl.col("target_table").alias("table"),
        pl.col("file_name").alias("file"),
        "reason",
        pl.col("column_name").alias("column"),
        "rows",
        pl.Series("amount", told, pl.String),
        pl.col("first_row").alias("first in row"),
    )


def _amount(part: Mapping[str, str]) -> str:
    exponents = currency_exponents()
    code, size = part["currency"].upper(), Decimal(part["size"])
    if code not in exponents:
        return f"{size:,f} minor units"
    return f"{size.scaleb(-exponents[code]):,.{exponents[code]}f} {code}"
