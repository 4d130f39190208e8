"""The journal: every event balances, one or a frame of them."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.ledger import ACCOUNTS, EVENT_RULES, check_period_open, postings, postings_of
from billing.core.money import BillingError


def sides(event, *amounts):
    posted = postings(event, *amounts)
    debits = {line.account: line.debit_minor for line in posted if line.debit_minor}
    credits = {line.account: line.credit_minor for line in posted if line.credit_minor}
    return debits, credits


@pytest.mark.parametrize(
    ("event", "amounts", "debits", "credits"),
    [
        ("invoice_issued", (100, 20), {"receivable": 120}, {"deferred_revenue": 100, "tax_payable": 20}),
        (
            "credit_note_issued",
            (50, 10),
            {"deferred_revenue": 50, "tax_payable": 10},
            {"customer_credit": 60},
        ),
        ("payment_captured", (120,), {"gateway_clearing": 120}, {"customer_credit": 120}),
        ("credit_applied", (120,), {"customer_credit": 120}, {"receivable": 120}),
        ("credit_unapplied", (120,), {"receivable": 120}, {"customer_credit": 120}),
        ("payout_received", (118, 0, 2), {"bank": 118, "payment_fees": 2}, {"gateway_clearing": 120}),
        ("bank_transfer_received", (120,), {"bank": 120}, {"customer_credit": 120}),
        ("payment_refunded", (15,), {"customer_credit": 15}, {"gateway_clearing": 15}),
        ("transfer_refunded", (15,), {"customer_credit": 15}, {"bank": 15}),
        ("early_payment_discount", (20, 4), {"discounts_allowed": 20, "tax_payable": 4}, {"receivable": 24}),
        ("invoice_written_off", (120,), {"bad_debt": 120}, {"receivable": 120}),
        ("written_off_recovered", (120,), {"bank": 120}, {"bad_debt_recovered": 120}),
        ("wallet_topped_up", (100, 20), {"receivable": 120}, {"wallet": 100, "tax_payable": 20}),
        ("wallet_granted", (100,), {"discounts_allowed": 100}, {"wallet": 100}),
        ("wallet_drawn", (25,), {"wallet": 25}, {"receivable": 25}),
        ("wallet_expired", (75,), {"wallet": 75}, {"wallet_breakage": 75}),
        ("rebate_granted", (900,), {"rebate_accrued": 900}, {"customer_credit": 900}),
    ],
)
def test_an_event_posts_to_its_accounts(event, amounts, debits, credits):
    assert sides(event, *amounts) == (debits, credits)


EVENTS = st.lists(
    st.tuples(st.sampled_from(sorted(EVENT_RULES)), st.integers(0, 10**15), st.integers(0, 10**15)),
    max_size=12,
)


@given(events=EVENTS)
def test_every_entry_of_a_frame_balances_and_equals_its_own_frame_of_one(events):
    frame = pl.DataFrame(
        [(f"e{i}", event, "KWD", net, tax) for i, (event, net, tax) in enumerate(events)],
        schema={
            "entry_id": pl.String,
            "event": pl.String,
            "currency": pl.String,
            "net_minor": pl.Int64,
            "tax_minor": pl.Int64,
        },
        orient="row",
    )
    posted = postings_of(frame)
    assert posted.filter((pl.col("debit_minor") > 0) == (pl.col("credit_minor") > 0)).is_empty()
    assert set(posted["account"]) <= set(ACCOUNTS)
    for i in range(len(events)):
        entry = posted.filter(pl.col("entry_id") == f"e{i}")
        assert entry["debit_minor"].sum() == entry["credit_minor"].sum()
        assert entry["position"].to_list() == list(range(1, entry.height + 1))
        assert entry.equals(postings_of(frame[i]))


def test_bad_events_are_refused_with_a_code():
    for amounts, code in [
        ((-1,), "negative_quantity"),
        ((1, -1), "negative_quantity"),
        ((10**17 + 1,), "amount_out_of_range"),
    ]:
        with pytest.raises(BillingError) as refused:
            postings("invoice_issued", *amounts)
        assert refused.value.code == code
    for event in ("gift", None):
        with pytest.raises(BillingError, match="unknown_event"):
            postings_of(
                pl.DataFrame(
                    {"event": [event], "net_minor": [1]}, schema={"event": pl.String, "net_minor": pl.Int64}
                )
            )


def test_an_event_of_nothing_posts_nothing():
    assert postings("invoice_issued", 0, 0) == []
    empty = pl.DataFrame(schema={"event": pl.String, "net_minor": pl.Int64, "invoice_id": pl.String})
    assert postings_of(empty).columns == [
        "event",
        "invoice_id",
        "position",
        "account",
        "debit_minor",
        "credit_minor",
    ]


def test_a_locked_month_takes_no_posting():
    check_period_open(date(2024, 3, 1), {date(2024, 2, 1)})
    with pytest.raises(BillingError, match="period_locked"):
        check_period_open(date(2024, 2, 29), {date(2024, 2, 1)})
