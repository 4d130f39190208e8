"""How an event file becomes orders, and which features its columns allow."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from churn_model.events import features_for, form_of

AT = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
FILE = pl.DataFrame(
    {
        "Customer ID": [17.0, 17.0, 18.0],
        "when": [AT, AT, AT],
        "Amount": [10.5, -2.5, 3.0],
        "No": ["1", "1", "C2"],
        "is back": ["no", "yes", "no"],
    }
)
NAMED = {
    "customer_id": "Customer ID",
    "invoice_ts": "when",
    "amount": "Amount",
    "sku": None,
    "is_credit": None,
}


def test_each_row_is_an_order_of_its_own_where_nothing_says_which_belong_together() -> None:
    rows = form_of(FILE, NAMED)
    assert rows["order_id"].is_unique().all()
    assert rows["customer_id"].to_list() == ["17", "17", "18"]
    assert rows["sku"].unique().to_list() == ["all"]
    assert rows["quantity"].to_list() == [1, 1, 1]
    assert rows["unit_price"].to_list() == [10.5, -2.5, 3.0]


@pytest.mark.parametrize(
    ("rule", "credits"),
    [
        (None, [False, True, False]),
        ("is back", ["no", "yes", "no"]),
        ({"column": "No", "starts_with": "C"}, [False, False, True]),
        ({"amount_below": 3.5}, [False, True, True]),
    ],
)
def test_credits_are_told_by_column_by_rule_or_by_the_sign(rule: object, credits: list[object]) -> None:
    assert form_of(FILE, NAMED | {"is_credit": rule})["is_credit"].to_list() == credits


def test_with_a_quantity_the_amount_is_the_price_of_one() -> None:
    frame = FILE.with_columns(units=pl.Series([2, -3, 1]))
    rows = form_of(frame, NAMED | {"quantity": "units"})
    assert rows["quantity"].to_list() == [2, -3, 1]
    assert rows["unit_price"].to_list() == form_of(FILE, NAMED)["unit_price"].to_list()
    assert rows["is_credit"].to_list() == [
        price * units < 0 for price, units in zip(rows["unit_price"], [2, -3, 1], strict=True)
    ]


def test_what_an_invoice_gives_back_is_a_credit_note_of_its_own() -> None:
    assert form_of(FILE, NAMED | {"invoice_id": "No"})["order_id"].to_list() == ["1", "1|credit", "C2"]


def test_days_written_as_whole_numbers_are_texts_for_the_date_format() -> None:
    frame = FILE.with_columns(when=pl.lit(20250301))
    assert form_of(frame, NAMED)["ordered_at"].to_list() == ["20250301"] * 3


def test_a_missing_column_removes_features_and_says_which() -> None:
    with_sku, none = features_for({"sku": "Article"})
    without, left_out = features_for({"sku": None})
    assert none == ()
    of_articles = {"skus_180", "breadth_change", "sku_days", "skus_last_order", "sku_days_365"}
    assert set(left_out) == of_articles | {"repeat_share_365"}
    assert len(with_sku) == len(without) + 6
