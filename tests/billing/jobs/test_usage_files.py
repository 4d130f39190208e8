"""Usage from files: any way it is cut, each event once; what is refused waits and may come right."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.import_usage import import_usage, retry_rejected
from billing.jobs.usage_files import import_usage_files
from billing.service.catalog import create_meter
from billing.store.store import Store, open_store
from billing.store.tables import customers, items, rejected_inputs, resolved_inputs, usage_events

Make = Callable[..., str]
AT = datetime(2025, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def item(company: Store, customer: Make) -> str:
    customer("anna")
    row = company.row(select(items.c.item_id))
    assert row is not None
    return str(row["item_id"])


def events(item_id: str, count: int, first: int = 0, **more: Any) -> pl.DataFrame:
    numbers = range(first, first + count)
    columns = {
        "source": "file",
        "event_id": [f"e{number}" for number in numbers],
        "item_id": item_id,
        "meter_id": "calls",
        "value": [f"{number}.125" for number in numbers],
        "occurred_at": [f"2025-01-{1 + number % 14:02}T08:00:00Z" for number in numbers],
    } | more
    return pl.DataFrame(columns)


def add_item(store: Store, item_id: str) -> None:
    """One more item of the only subscription."""
    row = store.row(items.select())
    assert row is not None
    store.insert(items, [row | {"item_id": item_id}], AT)


def sums(store: Store) -> tuple[int, int]:
    frame = store.frame(usage_events.select())
    return frame.height, int(frame["value_mantissa"].sum())


def mantissas(count: int) -> int:
    return sum(1000 * number + 125 for number in range(count))


def test_a_folder_of_csv_and_parquet_is_taken_in_by_chunks(company: Store, item: str, tmp_path: Path) -> None:
    folder = tmp_path / "usage"
    (folder / "january").mkdir(parents=True)
    events(item, 500).write_csv(folder / "january" / "a.csv")
    pq.write_table(events(item, 500, first=500).to_arrow(), folder / "b.parquet", row_group_size=130)
    (folder / "notes.txt").write_text("not usage")
    seen: list[int] = []
    totals = import_usage_files(
        company, AT, [folder], chunk_rows=200, progress=lambda _file, so_far: seen.append(so_far.rows)
    )
    assert (totals.rows, totals.accepted, totals.duplicate, totals.rejected) == (1000, 1000, 0, 0)
    assert sums(company) == (1000, mantissas(1000))
    assert seen[-1] == 1000
    assert max(later - before for before, later in zip([0, *seen], seen, strict=False)) <= 200
    again = import_usage_files(company, AT, [folder], chunk_rows=333)
    assert (again.accepted, again.duplicate) == (0, 1000)
    assert sums(company) == (1000, mantissas(1000))


def test_values_of_a_csv_stay_exact_and_instants_of_parquet_may_be_typed(
    company: Store, item: str, tmp_path: Path
) -> None:
    exact = events(item, 1, value="123456789012.345", event_id="exact")
    exact.write_csv(tmp_path / "a.csv")
    typed = events(item, 1, event_id="typed", value=7).with_columns(
        pl.lit(datetime(2025, 1, 3, tzinfo=UTC)).alias("occurred_at")
    )
    typed.write_parquet(tmp_path / "b.parquet")
    decimal = events(item, 1, event_id="decimal").with_columns(pl.col("value").cast(pl.Decimal(10, 3)))
    decimal.write_parquet(tmp_path / "c.parquet")
    assert import_usage_files(company, AT, [tmp_path]).accepted == 3
    kept = company.frame(select(usage_events.c.event_id, usage_events.c.value_mantissa))
    assert dict(kept.iter_rows()) == {"exact": 123456789012345, "typed": 7000, "decimal": 125}


def test_a_wrong_file_refuses_the_import_before_its_first_row(
    company: Store, item: str, tmp_path: Path
) -> None:
    events(item, 3).write_csv(tmp_path / "a.csv")
    events(item, 3).drop("meter_id").write_csv(tmp_path / "b.csv")
    with pytest.raises(BillingError, match=r"missing_column: .*b\.csv: meter_id"):
        import_usage_files(company, AT, [tmp_path])
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(BillingError, match=r"unreadable_file: .*b\.parquet"):
        import_usage_files(company, AT, [tmp_path])
    (tmp_path / "b.parquet").unlink()
    naive = events(item, 1).with_columns(pl.lit(date(2025, 1, 3)).cast(pl.Datetime).alias("occurred_at"))
    naive.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(BillingError, match=r"naive_time: .*b\.parquet"):
        import_usage_files(company, AT, [tmp_path])
    assert sums(company)[0] == 0


def test_bad_rows_of_a_file_are_counted_and_kept_once(company: Store, item: str, tmp_path: Path) -> None:
    good, bad = events(item, 3), events(item, 2, first=10, value="x")
    pl.concat([good, bad, events("nothing", 1, first=20)]).write_csv(tmp_path / "a.csv")
    for accepted, duplicate in ((3, 0), (0, 3)):
        totals = import_usage_files(company, AT, [tmp_path / "a.csv"])
        assert (totals.accepted, totals.duplicate, totals.rejected) == (accepted, duplicate, 3)
        assert totals.codes == {"bad_decimal": 2, "unknown_item": 1}
        assert company.frame(rejected_inputs.select()).height == 3


def test_an_event_of_an_unknown_item_waits_until_the_item_exists(company: Store, customer: Make) -> None:
    waiting = pl.concat([events("?", 2), events("??", 1, first=5)]).with_columns(
        pl.lit("later").alias("meter_id")
    )
    assert import_usage(company, AT, waiting).rejected["code"].to_list() == ["unknown_item"] * 3
    nothing = retry_rejected(company, AT)
    assert (nothing.accepted, nothing.rejected, nothing.codes) == (0, 3, {"unknown_item": 3})
    assert company.frame(resolved_inputs.select()).is_empty()
    customer("anna")
    add_item(company, "?")
    half = retry_rejected(company, AT)
    assert (half.accepted, half.codes) == (0, {"unknown_item": 1, "unknown_meter": 2})
    create_meter(company, AT, meter_id="later", name="Later", scale=3)
    done = retry_rejected(company, AT, chunk_rows=1)
    assert (done.accepted, done.duplicate, done.codes) == (2, 0, {"unknown_item": 1})
    assert sums(company) == (2, mantissas(2))
    again = retry_rejected(company, AT)
    assert (again.accepted, again.duplicate, again.rejected) == (0, 0, 1)


def test_a_quarantined_event_sent_again_by_its_source_is_not_counted_twice(
    company: Store, customer: Make
) -> None:
    waiting = events("?", 2)
    import_usage(company, AT, waiting)
    customer("anna")
    add_item(company, "?")
    assert import_usage(company, AT, waiting).accepted == 2
    again = retry_rejected(company, AT)
    assert (again.accepted, again.duplicate, again.rejected) == (0, 2, 0)
    assert sums(company) == (2, mantissas(2))


def test_the_hash_of_an_event_is_the_documented_one(company: Store, item: str) -> None:
    import_usage(company, AT, events(item, 1, value="1.5", dimension="a\x1fb"))
    row = company.row(usage_events.select())
    content = f"{item}\x1f.calls\x1f.2025-01-01 08:00:00.000000+00:00\x1f.1500\x1f.\x1e\x1f.a\x1f\x1fb"
    assert row is not None
    assert row["payload_hash"] == hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def test_a_refused_row_is_kept_with_its_days_and_numbers_as_text(company: Store, item: str) -> None:
    bad = events(item, 1, meter_id="?").with_columns(
        pl.lit(datetime(2025, 1, 3, tzinfo=UTC)).alias("occurred_at"), pl.lit(5).alias("value")
    )
    import_usage(company, AT, bad)
    kept = company.row(rejected_inputs.select())
    assert kept is not None
    payload = json.loads(kept["payload"])
    assert payload["value"] == 5
    assert payload["occurred_at"].startswith("2025-01-03 00:00:00")
    create_meter(company, AT, meter_id="?", name="?", scale=3)
    assert retry_rejected(company, AT).accepted == 1
    assert sums(company) == (1, 5000)


def test_imports_of_the_same_events_at_once_take_turns(database_url: str, company: Store, item: str) -> None:
    answers = []

    def send(first: int) -> None:
        with open_store(database_url) as store:
            for start in range(first, first + 300, 50):
                answers.append(import_usage(store, AT, events(item, 50, first=start)))

    threads = [threading.Thread(target=send, args=(first,)) for first in (0, 150, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer.accepted for answer in answers) == 450
    assert sum(answer.duplicate for answer in answers) == 450
    assert sums(company) == (450, mantissas(450))
    assert sorted(company.frame(usage_events.select())["seq"]) == list(range(1, 451))


def test_an_import_holds_its_customers_until_it_commits(database_url: str, company: Store, item: str) -> None:
    """A bill run of another connection cannot settle their days meanwhile: it passes them over."""
    if company.is_sqlite:
        return
    due = select(customers.c.customer_id).with_for_update(skip_locked=True)
    with open_store(database_url) as other:
        with company.transaction():
            import_usage(company, AT, events(item, 1))
            with other.transaction():
                assert other.rows(due) == []
        with other.transaction():
            assert len(other.rows(due)) == 1
