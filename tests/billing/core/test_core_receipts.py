"""Whose a bank transfer is, and what it pays: rules on frames."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from billing.core.receipts import (
    early_discount,
    matched_by_amount,
    named_invoices,
    named_numbers,
    named_payers,
    paid_in_turn,
    possible_totals,
)

JAN = date(2025, 1, 10)


def numbers(reference: str) -> set[str]:
    found = named_numbers(pl.DataFrame({"transfer_id": ["t"], "reference": [reference]}))
    return {number for number in found["number"] if number.startswith("INV-")}


@pytest.mark.parametrize(
    "reference",
    [
        "INV-2025-000012",
        "inv-2025-000012",
        "Rechnung INV 2025 000012 vom 3.1.",
        "INV2025000012",
        "inv 2025/12",
        "INV-2025-12, danke",
        "INV-2025-000 012",
        "(Inv. 2025 - 000012)",
    ],
)
def test_a_number_is_read_however_people_write_it(reference: str) -> None:
    assert "INV-2025-000012" in numbers(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "thanks",
        "2025-12-01",
        "CN-2025-000012",
        "INV-1825-12",
        "INV-2025-1234567890",
        "INV-2025-12A",
        "REINV-2025-12",
    ],
)
def test_what_is_no_number_is_not_taken_for_one(reference: str) -> None:
    assert "INV-2025-000012" not in numbers(reference)


def test_several_numbers_are_read_and_two_readings_of_one_are_kept_apart() -> None:
    assert numbers("INV-2025-000012 + INV-2025-000013") == {"INV-2025-000012", "INV-2025-000013"}
    found = named_numbers(pl.DataFrame({"transfer_id": ["t"], "reference": ["INV-2025-12 1234"]}))
    readings = found.filter(pl.col("number").str.len_chars() == len("INV-2025-000012"))
    assert readings["mention"].n_unique() == 1
    assert set(readings["number"]) == {"INV-2025-000012", "INV-2025-121234"}


def named(*found: tuple[str, str, str, str, str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """found: mention, invoice, payer, currency, state of one EUR transfer."""
    rows = pl.DataFrame(
        found, schema=["mention", "invoice_id", "payer_id", "currency", "state"], orient="row"
    )
    transfers = pl.DataFrame({"transfer_id": ["t"], "currency": ["EUR"]})
    of, unclear = named_invoices(transfers, rows.with_columns(pl.lit("t").alias("transfer_id")))
    return of.sort("invoice_id").select("payer_id", "invoice_id").rows(), unclear["transfer_id"].to_list()


def test_named_invoices_of_one_payer_are_a_match_and_anything_else_is_left_to_a_person() -> None:
    one, two = ("a", "1", "anna", "EUR", "open"), ("b", "2", "anna", "EUR", "open")
    assert named(one, two) == ([("anna", "1"), ("anna", "2")], [])
    assert named(("a", "1", "anna", "EUR", "paid")) == ([("anna", "1")], [])
    assert named(one, ("a", "2", "anna", "EUR", "open")) == ([], ["t"])  # two readings
    assert named(one, ("b", "2", "bruno", "EUR", "open")) == ([], ["t"])  # two payers
    assert named(("a", "1", "anna", "USD", "open")) == ([], ["t"])
    assert named(("a", "1", "anna", "EUR", "void")) == ([], ["t"])


def debt(invoice_id: str, payer_id: str, open_minor: int, **named: Any) -> dict[str, Any]:
    return {
        "invoice_id": invoice_id,
        "payer_id": payer_id,
        "entity_id": "seller",
        "currency": "EUR",
        "open_minor": open_minor,
        "net_minor": open_minor * 5 // 6,
        "total_minor": open_minor,
        "discount_ppm": 0,
        "discount_until": None,
        "noted_minor": 0,
        "in_time_minor": 0,
        "is_discounted": False,
    } | named


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"discount_until": pl.Date}, infer_schema_length=None)


def transfer(transfer_id: str, amount_minor: int, **named: Any) -> dict[str, Any]:
    return {
        "transfer_id": transfer_id,
        "entity_id": "seller",
        "currency": "EUR",
        "amount_minor": amount_minor,
        "received_on": JAN,
        "payer_name": "",
        "reference": "",
    } | named


PAYERS = pl.DataFrame(
    {"payer_id": ["anna", "bruno"], "entity_id": ["seller"] * 2, "name": ["Anna & Co. GmbH", "Bruno"]}
)


def by_amount(transfers: list[dict[str, Any]], *debts: dict[str, Any]) -> list[tuple[str, str]]:
    money = pl.DataFrame(transfers)
    found = matched_by_amount(money, frame(*debts), named_payers(money, PAYERS))
    return found.sort("transfer_id", "invoice_id").select("transfer_id", "invoice_id").rows()


def test_the_only_open_invoice_of_an_amount_is_meant_and_of_two_none() -> None:
    debts = [debt("1", "anna", 100), debt("2", "bruno", 200), debt("3", "bruno", 300)]
    assert by_amount([transfer("t", 200)], *debts) == [("t", "2")]
    assert by_amount([transfer("t", 200)], *debts, debt("4", "anna", 200)) == []
    assert by_amount([transfer("t", 201)], *debts) == []
    assert by_amount([transfer("t", 200), transfer("u", 200)], *debts) == []


def test_a_payer_who_is_named_pays_only_what_is_theirs() -> None:
    debts = [debt("1", "anna", 100), debt("2", "bruno", 200), debt("4", "anna", 200)]
    anna, bruno = {"payer_name": "ANNA & Co GmbH"}, {"reference": "customer bruno"}
    assert by_amount([transfer("t", 200, **anna)], *debts) == [("t", "4")]
    assert by_amount([transfer("t", 200, **bruno)], *debts) == [("t", "2")]
    assert by_amount([transfer("t", 300, **anna)], *debts) == [("t", "1"), ("t", "4")]
    assert by_amount([transfer("t", 100, **bruno)], *debts) == []


def test_a_sum_is_meant_only_where_the_payer_is_named() -> None:
    debts = [debt("1", "anna", 100), debt("4", "anna", 200)]
    assert by_amount([transfer("t", 300)], *debts) == []


@pytest.mark.parametrize("share", [1, 20_000, 333_333, 500_000, 999_000])
def test_whatever_total_a_discount_brings_down_to_an_amount_is_looked_for(share: int) -> None:
    totals = [*range(1, 200), 120_000, 999_999, 10**15]
    kept = [total - early_discount(total, share) for total in totals]
    for total, amount in zip(totals, kept, strict=True):
        transfer = pl.DataFrame({"entity_id": ["s"], "currency": ["EUR"], "amount_minor": [amount]})
        assert total in possible_totals(transfer, pl.Series([share])).get_column("total_minor")


def test_what_early_payment_leaves_to_pay_is_an_amount_too_while_it_is_early() -> None:
    late = transfer("t", 117_600, received_on=date(2025, 1, 11))
    paper = debt("1", "anna", 120_000, discount_ppm=20_000, discount_until=JAN)
    assert by_amount([transfer("t", 117_600)], paper) == [("t", "1")]
    assert by_amount([transfer("t", 120_000)], paper) == [("t", "1")]
    assert by_amount([late], paper) == []


def pay(
    money: list[tuple[int, date]], targets: list[str], *debts: dict[str, Any]
) -> tuple[list[tuple[str, str, int]], list[tuple[str, int, int]], dict[str, int]]:
    """Anna's transfers t0, t1, … pay targets in order: applications, discounts (net, tax), what is left."""
    rows = [transfer(f"t{n}", amount, received_on=on) for n, (amount, on) in enumerate(money)]
    named = pl.DataFrame(
        [{"transfer_id": row["transfer_id"], "invoice_id": one} for row in rows for one in targets]
    )
    paid = paid_in_turn(
        pl.DataFrame(rows).with_columns(pl.lit("anna").alias("payer_id")), named, frame(*debts)
    )
    return (
        paid.applications.rows(),
        paid.discounts.select("invoice_id", "net_minor", "tax_minor").rows(),
        dict(paid.debts.select("invoice_id", "open_minor").iter_rows()),
    )


def early(invoice_id: str, open_minor: int, **named: Any) -> dict[str, Any]:
    return debt(invoice_id, "anna", open_minor, discount_ppm=20_000, discount_until=JAN, **named)


def test_money_pays_in_order_and_the_rest_is_left_over() -> None:
    debts = [debt("1", "anna", 100), debt("2", "anna", 200)]
    assert pay([(150, JAN)], ["1", "2"], *debts)[0] == [("t0", "1", 100), ("t0", "2", 50)]
    assert pay([(350, JAN)], ["1", "2"], *debts)[0] == [("t0", "1", 100), ("t0", "2", 200)]
    both = pay([(80, JAN), (80, JAN)], ["1"], *debts)
    assert both[0] == [("t0", "1", 80), ("t1", "1", 20)]
    assert both[2] == {"1": 0, "2": 200}


def test_two_percent_are_kept_back_in_time_and_not_a_day_later() -> None:
    # 2/10 net 30: 1,200.00 (1,000 + 200) paid with 1,176.00.
    assert pay([(117_600, JAN)], ["1"], early("1", 120_000)) == (
        [("t0", "1", 117_600)],
        [("1", 2000, 400)],
        {"1": 0},
    )
    late = pay([(117_600, date(2025, 1, 11))], ["1"], early("1", 120_000))
    assert late[1:] == ([], {"1": 2400})


def test_who_keeps_back_less_than_allowed_is_given_that_and_who_pays_all_nothing() -> None:
    assert pay([(119_000, JAN)], ["1"], early("1", 120_000))[1:] == ([("1", 833, 167)], {"1": 0})
    assert pay([(120_000, JAN)], ["1"], early("1", 120_000))[1:] == ([], {"1": 0})
    assert pay([(117_599, JAN)], ["1"], early("1", 120_000))[1:] == ([], {"1": 2401})


def test_parts_that_came_in_time_count_together_and_late_ones_do_not() -> None:
    assert pay([(60_000, JAN), (57_600, JAN)], ["1"], early("1", 120_000))[1] == [("1", 2000, 400)]
    late = date(2025, 1, 11)
    assert pay([(60_000, JAN), (57_600, late)], ["1"], early("1", 120_000))[1] == []
    before = early("1", 60_000, total_minor=120_000, net_minor=100_000, in_time_minor=60_000)
    assert pay([(57_600, JAN)], ["1"], before)[1] == [("1", 2000, 400)]
    not_in_time = before | {"in_time_minor": 0}
    assert pay([(57_600, JAN)], ["1"], not_in_time)[1] == []


def test_one_payment_of_several_invoices_keeps_back_the_discount_of_each() -> None:
    papers = [early("1", 120_000), early("2", 120_000)]
    paid = pay([(235_200, JAN)], ["1", "2"], *papers)
    assert paid[0] == [("t0", "1", 117_600), ("t0", "2", 117_600)]
    assert paid[1] == [("1", 2000, 400), ("2", 2000, 400)]
    # The first is settled, the second has a part of its money: no discount of it.
    assert pay([(150_000, JAN)], ["1", "2"], *papers)[1:] == ([("1", 2000, 400)], {"1": 0, "2": 87_600})


def test_a_discount_is_of_what_money_has_to_pay_and_is_given_once() -> None:
    # A credit note paid 240.00 of 1,200.00: 2 % of 960.00 are 19.20 = 16.00 + 3.20.
    noted = early("1", 96_000, total_minor=120_000, net_minor=100_000, noted_minor=24_000)
    assert pay([(94_080, JAN)], ["1"], noted)[1] == [("1", 1600, 320)]
    assert pay([(94_080, JAN)], ["1"], noted | {"is_discounted": True})[1] == []


def test_money_that_pays_nothing_of_an_invoice_gives_no_discount_of_it() -> None:
    """1: 10.00 less 0.20 of a note; 9.70 came in time, so that 0.10 are open and may be kept back. A transfer
    of 1.00 that names none pays 2, due first, and nothing of 1. A cent more pays something of it."""
    second = debt("2", "anna", 100)
    first = early("1", 10, total_minor=1000, net_minor=833, noted_minor=20, in_time_minor=970)
    assert pay([(100, JAN)], ["2", "1"], first, second) == ([("t0", "2", 100)], [], {"1": 10, "2": 0})
    more = pay([(101, JAN)], ["2", "1"], first, second)
    assert more[0] == [("t0", "2", 100), ("t0", "1", 1)]
    assert more[1:] == ([("1", 7, 2)], {"1": 0, "2": 0})


@pytest.mark.parametrize(("total", "kept", "net", "tax"), [(99, 2, 2, 0), (25, 1, 1, 0), (24, 0, 0, 0)])
def test_small_discounts_round_once_and_their_parts_add_up(total: int, kept: int, net: int, tax: int) -> None:
    # 2 % of 0.99 are 0.0198, of 0.25 half a cent, of 0.24 less than that.
    paid = pay([(total - kept, JAN)], ["1"], early("1", total))
    assert paid[1] == ([("1", net, tax)] if kept else [])
