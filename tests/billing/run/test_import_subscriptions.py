"""Running subscriptions are taken over without billing their past, row by row, and once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from shop import Part, at, fee, join, lines, open_shop, run, sell
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service.migration import import_subscription_files, import_subscriptions
from billing.store import tables
from billing.store.store import Store

TODAY = date(2025, 3, 10)


def shop(store: Store, currency: str = "EUR") -> Store:
    open_shop(store)
    sell(store, "basic", fee("31"), currency=currency)
    sell(store, "team", [Part("seat", "seat", "10", "per_unit")], currency=currency)
    for customer_id in ("anna", "bert"):
        join(store, customer_id, currency=currency)
    return store


def sent(**changed: object) -> pl.DataFrame:
    row = {
        "subscription_id": "old-1",
        "customer_id": "anna",
        "plan_id": "basic",
        "quantity": "1",
        "anchor_on": "2023-01-15",
        "billed_until": "2025-03-15",
        "started_on": "2023-01-15",
    }
    return pl.DataFrame([row | changed])


@pytest.mark.parametrize(("currency", "net"), [("USD", 3100), ("JPY", 31), ("KWD", 31000)])
def test_billing_starts_where_it_ended_elsewhere(store: Store, currency: str, net: int) -> None:
    shop(store, currency)
    answer = import_subscriptions(store, at(TODAY), sent())
    assert (answer.accepted, answer.duplicate, answer.rejected.height) == (1, 0, 0)
    assert run(store, TODAY).lines == 0
    run(store, date(2025, 3, 15))
    assert lines(store) == [("basic.1.fee", "charge", date(2025, 3, 15), date(2025, 4, 15), net)]


def test_a_period_billed_in_part_elsewhere_is_billed_for_the_rest(store: Store) -> None:
    shop(store)
    import_subscriptions(store, at(TODAY), sent(anchor_on="2023-01-01", billed_until="2025-03-11"))
    run(store, date(2025, 3, 11))
    assert lines(store) == [("basic.1.fee", "charge", date(2025, 3, 11), date(2025, 4, 1), 2100)]


def test_the_same_rows_again_change_nothing_and_other_content_is_refused(store: Store) -> None:
    shop(store)
    import_subscriptions(store, at(TODAY), sent())
    again = import_subscriptions(store, at(TODAY), sent())
    assert (again.accepted, again.duplicate, again.rejected.height) == (0, 1, 0)
    other = import_subscriptions(store, at(TODAY), sent(plan_id="team"))
    assert other.rejected["code"].to_list() == ["duplicate_conflict"]
    assert len(store.rows(select(tables.items))) == 1


def test_a_bad_row_never_refuses_the_others_and_the_counts_add_up(store: Store) -> None:
    shop(store)
    bad = {
        "unknown_customer": {"customer_id": "nobody"},
        "unknown_plan": {"plan_id": "none"},
        "negative_quantity": {"quantity": "-1"},
        "missing_value": {"anchor_on": "soon"},
        "empty_period": {"started_on": "2025-04-01"},
        "before_horizon": {"billed_until": "2020-01-01", "started_on": "2019-01-01"},
        "bad_interval": {"term": "one year"},
    }
    rows = [sent(subscription_id=code, **{"term": None} | changed) for code, changed in bad.items()]
    good = sent(subscription_id="good", customer_id="bert", plan_id="team", quantity="2.5", term="P1Y")
    batch = pl.concat([*rows, good, good], how="diagonal_relaxed")
    answer = import_subscriptions(store, at(TODAY), batch)
    assert answer.rejected.select("subscription_id", "code").rows() == [(code, code) for code in bad]
    assert (answer.accepted, answer.duplicate) == (1, 1)
    kept = store.rows(select(tables.rejected_inputs.c.code))
    assert sorted(row["code"] for row in kept) == sorted(bad)
    contract = store.rows(select(tables.contracts))
    assert [(row["term_start"], row["term_end"]) for row in contract] == [
        (date(2025, 1, 15), date(2026, 1, 15))
    ]
    run(store, date(2025, 3, 15))
    assert [line[4] for line in lines(store)] == [2500]


def test_files_are_imported_and_a_file_of_another_shape_is_refused(store: Store, tmp_path: Path) -> None:
    shop(store)
    sent().write_csv(tmp_path / "one.csv")
    sent(subscription_id="old-2", customer_id="bert").write_parquet(tmp_path / "two.parquet")
    answers = import_subscription_files(
        store, at(TODAY), [tmp_path / "one.csv", tmp_path / "two.parquet", tmp_path / "one.csv"]
    )
    assert [(one.accepted, one.duplicate) for one in answers] == [(1, 0), (1, 0), (0, 1)]
    with pytest.raises(BillingError, match="missing_column"):
        import_subscriptions(store, at(TODAY), sent().drop("plan_id"))
