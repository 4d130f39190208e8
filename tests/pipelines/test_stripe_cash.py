"""Money in a Stripe export: what invoices come to, how they are settled, fees, refunds, disputes, dunning.

Every case is worked out by hand, and all of them together keep the identities of the warehouse.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from stripe_warehouse import broken_identities, built, loaded
from stripe_world import at, charge, invoice, line, price, write

FLAT = price("flat", "10000")
APRIL = date(2024, 4, 1)


def of(who: str, day: str = "04-01", **more: Any) -> dict[str, Any]:
    return invoice(who, day, [line(who, FLAT, day, "05-01", id=f"il_{who}_{day}")], **more)


def off(who: str, minor: int, inclusive: bool) -> dict[str, Any]:
    return line(
        who, FLAT, "04-01", "05-01", id=f"il_{who}", tax_amounts=[{"amount": minor, "inclusive": inclusive}]
    )


INVOICES = [
    # one charge, settled in dollars: 100.00 euros came as 110.00, the fee of 3.30 dollars is 3.00 euros
    of("charged"),
    # a payment of a newer API version: the charge names no invoice, an invoice_payment does
    of("linked"),
    # paid, but no charge says that it was for it
    of("loose"),
    # paid by bank transfer, outside of Stripe
    of("transfer", paid_out_of_band=True),
    # 30.00 from the customer's balance, 20.00 credited before payment, 50.00 paid
    of("shared", amount_due=5000, amount_paid=5000, starting_balance=-3000, ending_balance=0),
    # 20 % tax on top; half of it credited after it was paid
    invoice("taxed", "04-01", [off("taxed", 2000, False)]),
    # 100.00 with 20 % tax inside
    invoice("inside", "04-01", [off("inside", 1667, True)]),
    # older exports tell tax and discount of the whole alone: 100.00 + 50.00 - 15.00 + 13.51
    invoice(
        "old",
        "04-01",
        [
            line("old", FLAT, "04-01", "05-01", id="il_old1"),
            line("old", FLAT, "04-01", "05-01", id="il_old2", amount=5000, type="invoiceitem"),
        ],
        total=14851,
        tax=1351,
        amount_paid=14851,
        total_discount_amounts=[{"amount": 1500, "discount": "di_old"}],
    ),
    # failed on 1 and 4 April, collected on 9 April
    of("late", status="paid"),
    # failed and given up: 40.00 of it were paid, the rest is written off on 20 April
    of(
        "lost",
        status="uncollectible",
        amount_paid=4000,
        status_transitions={"finalized_at": at("04-01"), "marked_uncollectible_at": at("04-20")},
    ),
    # credit for the rest of a period goes to the balance
    invoice(
        "owed", "04-01", [line("owed", FLAT, "04-01", "05-01", id="il_owed", amount=-2500, proration=True)]
    ),
    of("void", status="void", status_transitions={"finalized_at": at("04-01"), "voided_at": at("04-03")}),
    of("draft", status="draft"),
    # sent, due on 15 April
    of("sent", status="open", due_date=at("04-15")),
]
CHARGES = [
    charge("loose", "04-01", 10000, invoice=None),
    charge("charged", "04-01", 10000, balance_transaction="txn_usd"),
    charge(
        "linked",
        "04-01",
        10000,
        invoice=None,
        balance_transaction={
            "id": "txn_eur",
            "object": "balance_transaction",
            "amount": 10000,
            "fee": 175,
            "currency": "eur",
            "created": at("04-01"),
        },
    ),
    charge("shared", "04-01", 5000),
    charge("taxed", "04-01", 12000),
    charge("inside", "04-01", 10000),
    charge("old", "04-01", 14851),
    *(
        charge("late", "04-01", 10000, id=f"ch_late{day}", created=at(day), status=status, failure_code=code)
        for day, status, code in (
            ("04-01", "failed", "card_declined"),
            ("04-04", "failed", "insufficient_funds"),
            ("04-09", "succeeded", None),
        )
    ),
    charge("lost", "04-01", 10000, id="ch_lost1", status="failed", failure_code="card_declined"),
    charge("lost", "04-01", 4000, id="ch_lost2", created=at("04-05"), payment_intent="pi_lost2"),
    charge(
        "lost", "04-01", 6000, id="ch_lost3", created=at("04-08"), payment_intent="pi_lost3", status="failed"
    ),
]
OTHERS: list[dict[str, Any]] = [
    {"id": "txn_usd", "object": "balance_transaction", "amount": 11000, "fee": 330, "currency": "usd",
     "created": at("04-01")},
    {"id": "inpay_1", "object": "invoice_payment", "invoice": "in_linked_04-01", "amount_paid": 10000,
     "status": "paid", "created": at("04-01"), "payment": {"type": "payment_intent",
                                                            "payment_intent": "pi_linked_04-01"}},
    {"id": "cn_before", "object": "credit_note", "invoice": "in_shared_04-01", "customer": "cus_shared",
     "currency": "eur", "created": at("04-01"), "status": "issued", "type": "pre_payment", "total": 2000,
     "lines": {"data": [{"id": "cnli_1", "amount": 2000, "invoice_line_item": "il_shared_04-01"}]}},
    {"id": "cn_after", "object": "credit_note", "invoice": "in_taxed_04-01", "customer": "cus_taxed",
     "currency": "eur", "created": at("04-12"), "status": "issued", "type": "post_payment", "total": 6000,
     "lines": {"data": [{"id": "cnli_2", "amount": 5000, "invoice_line_item": "il_taxed",
                         "tax_amounts": [{"amount": 1000, "inclusive": False}]}]}},
    {"id": "cn_void", "object": "credit_note", "invoice": "in_taxed_04-01", "customer": "cus_taxed",
     "currency": "eur", "created": at("04-12"), "status": "void", "type": "post_payment", "total": 1,
     "lines": {"data": [{"id": "cnli_3", "amount": 1}]}},
    {"id": "re_1", "object": "refund", "charge": "ch_taxed_04-01", "amount": 6000, "currency": "eur",
     "created": at("04-12"), "status": "succeeded"},
    {"id": "re_2", "object": "refund", "payment_intent": "pi_old_04-01", "amount": 1, "currency": "eur",
     "created": at("04-12"), "status": "failed"},
    {"id": "dp_lost", "object": "dispute", "charge": "ch_inside_04-01", "amount": 10000, "currency": "eur",
     "created": at("04-05"), "status": "lost"},
    {"id": "dp_won", "object": "dispute", "charge": "ch_old_04-01", "amount": 14851, "currency": "eur",
     "created": at("04-05"), "status": "won",
     "balance_transactions": [{"id": "txn_back", "created": at("04-18"), "amount": 14851, "fee": 0}]},
    {"id": "dp_asked", "object": "dispute", "charge": "ch_old_04-01", "amount": 14851, "currency": "eur",
     "created": at("04-05"), "status": "warning_closed"},
]  # fmt: skip
CLOSED = {
    "id": "evt_1",
    "object": "event",
    "type": "charge.dispute.closed",
    "created": at("04-22"),
    "data": {"object": OTHERS[-3]},
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    folder = write(
        tmp_path_factory.mktemp("cash"), invoices=INVOICES, charges=CHARGES, rest=[*OTHERS, CLOSED]
    )
    connection = built(folder)
    assert connection.execute("SELECT * FROM raw_meta.rejects").fetchall() == []
    return connection


def test_the_identities_of_the_warehouse_hold(warehouse):
    assert broken_identities(warehouse) == {}


def test_invoices_come_to_net_and_tax_and_are_settled(warehouse):
    rows = warehouse.execute(
        "SELECT customer_id[5:], net_minor, tax_minor, applied_minor, written_off_minor, remaining_minor, "
        "due_on FROM marts.fct_invoices ORDER BY 1"
    )
    assert rows.fetchall() == [
        ("charged", 10000, 0, 10000, 0, 0, APRIL),
        ("inside", 8333, 1667, 10000, 0, 0, APRIL),
        ("late", 10000, 0, 10000, 0, 0, APRIL),
        ("linked", 10000, 0, 10000, 0, 0, APRIL),
        ("loose", 10000, 0, 10000, 0, 0, APRIL),
        ("lost", 10000, 0, 4000, 6000, 0, APRIL),
        ("old", 13500, 1351, 14851, 0, 0, APRIL),
        ("owed", -2500, 0, -2500, 0, 0, APRIL),
        ("sent", 10000, 0, 0, 0, 10000, date(2024, 4, 15)),
        ("shared", 10000, 0, 10000, 0, 0, APRIL),
        ("taxed", 10000, 2000, 12000, 0, 0, APRIL),
        ("transfer", 10000, 0, 10000, 0, 0, APRIL),
        ("void", 10000, 0, 0, 0, 0, APRIL),
    ]


def test_discount_and_tax_of_a_whole_are_shared_by_its_lines(warehouse):
    # 15.00 off by 2 to 1; 13.51 tax by 90 to 45, from running totals: 9.01 and 4.50
    rows = warehouse.execute(
        "SELECT line_id, kind, net_minor, discount_minor, tax_minor FROM raw_billing.invoice_lines "
        "WHERE invoice_id = 'in_old_04-01' ORDER BY 1"
    )
    assert rows.fetchall() == [
        ("il_old1", "recurring", 9000, 1000, 901),
        ("il_old2", "one_time", 4500, 500, 450),
    ]


def test_the_lines_of_an_invoice_stand_beside_it_and_add_up_to_it(warehouse):
    lines = warehouse.execute(
        "SELECT line_id, customer_id, currency, kind, net_minor, discount_minor, tax_minor "
        "FROM marts.fct_invoice_lines WHERE invoice_id = 'in_old_04-01' ORDER BY 1"
    )
    customer = "cus_old"
    assert lines.fetchall() == [
        ("il_old1", customer, "EUR", "recurring", 9000, 1000, 901),
        ("il_old2", customer, "EUR", "one_time", 4500, 500, 450),
    ]
    wrong = warehouse.execute(
        "SELECT invoice_id FROM marts.fct_invoices JOIN (SELECT invoice_id, sum(net_minor) AS net, "
        "sum(tax_minor) AS tax FROM marts.fct_invoice_lines GROUP BY 1) USING (invoice_id) "
        "WHERE net <> net_minor OR tax <> tax_minor"
    )
    assert wrong.fetchall() == []


def test_one_invoice_is_read_without_the_lines_of_others(warehouse):
    """A filter on the invoice stands where raw lines are read, below the search for the newest of each."""
    ((_, plan),) = warehouse.execute(
        "EXPLAIN (FORMAT json) SELECT * FROM marts.fct_invoice_lines WHERE invoice_id = 'in_old_04-01'"
    ).fetchall()
    steps = json.loads(plan)
    for step in steps:
        steps.extend(step["children"])
    scans = [step["extra_info"] for step in steps if "invoice_lines" in str(step["extra_info"].get("Table"))]
    assert len(scans) == 1
    assert "invoice_id='in_old_04-01'" in str(scans[0].get("Filters"))


def test_an_invoice_is_settled_by_balance_then_credit_then_payment(warehouse):
    rows = warehouse.execute(
        "SELECT source_kind, source_id, amount_minor, applied_on FROM raw_billing.applications "
        "WHERE invoice_id = 'in_shared_04-01' ORDER BY amount_minor"
    )
    assert rows.fetchall() == [
        ("credit_note", "cn_before", 2000, APRIL),
        ("wallet", "cus_shared", 3000, APRIL),
        ("payment", "pi_shared_04-01", 5000, APRIL),
    ]


def test_attempts_of_an_intent_are_one_payment_with_its_fee(warehouse):
    rows = warehouse.execute(
        "SELECT payment_id, attempt_no, status, amount_minor, fee_minor, method, failure_code, "
        "invoice_id[4:], received_on FROM raw_billing.payments WHERE customer_id IN "
        "('cus_charged', 'cus_late', 'cus_linked', 'cus_transfer') ORDER BY 1, 2"
    )
    late, paid = ("pi_late_04-01", "late_04-01"), date(2024, 4, 9)
    assert rows.fetchall() == [
        ("in_transfer_04-01-paid", 1, "captured", 10000, 0, "out_of_band", None, "transfer_04-01", APRIL),
        ("pi_charged_04-01", 1, "captured", 10000, 300, "card", None, "charged_04-01", APRIL),
        (late[0], 1, "declined", 10000, 0, "card", "card_declined", late[1], None),
        (late[0], 2, "declined", 10000, 0, "card", "insufficient_funds", late[1], None),
        (late[0], 3, "captured", 10000, None, "card", None, late[1], paid),
        ("pi_linked_04-01", 1, "captured", 10000, 175, "card", None, "linked_04-01", APRIL),
    ]


def test_refunds_and_disputes_by_their_days(warehouse):
    assert warehouse.execute(
        "SELECT refund_id, payment_id, amount_minor FROM raw_billing.refunds"
    ).fetchall() == [("re_1", "pi_taxed_04-01", 6000)]
    rows = warehouse.execute(
        "SELECT dispute_id, payment_id, opened_on, closed_on, outcome FROM raw_billing.disputes ORDER BY 1"
    )
    # the lost one is closed on the day an event tells, the won one when its money came back
    assert rows.fetchall() == [
        ("dp_lost", "pi_inside_04-01", date(2024, 4, 5), date(2024, 4, 22), "lost"),
        ("dp_won", "pi_old_04-01", date(2024, 4, 5), date(2024, 4, 18), "won"),
    ]


def test_what_failed_once_is_followed_to_its_end(warehouse):
    rows = warehouse.execute(
        "SELECT invoice_id[4:], attempt_no, outcome FROM raw_billing.dunning_events ORDER BY 1, 2"
    )
    assert rows.fetchall() == [
        ("late_04-01", 1, "failed"),
        ("late_04-01", 2, "failed"),
        ("late_04-01", 3, "recovered"),
        ("lost_04-01", 1, "failed"),
        ("lost_04-01", 2, "recovered"),
        ("lost_04-01", 3, "exhausted"),
    ]


def test_cash_of_the_month(warehouse):
    # received: 6 x 100.00 (charged, linked, loose, transfer, inside, late), 120.00, 148.51, 50.00, 40.00
    rows = warehouse.execute(
        "SELECT sum(received_minor), sum(refunded_minor), sum(disputes_lost_minor), sum(fees_minor) "
        "FROM marts.fct_cash_days WHERE currency = 'EUR'"
    )
    assert rows.fetchall() == [(60000 + 12000 + 14851 + 5000 + 4000, 6000, 10000, 475)]


def test_without_charges_what_invoices_say_was_paid_is_a_payment(tmp_path):
    connection = loaded(write(tmp_path / "stripe", invoices=[of("charged")]))
    assert connection.execute(
        "SELECT payment_id, amount_minor, received_on FROM raw_billing.payments"
    ).fetchall() == [("in_charged_04-01-paid", 10000, APRIL)]


def test_with_charges_that_name_no_invoice_only_the_application_is_known(tmp_path):
    loose = charge("charged", "04-01", 10000, invoice=None)
    connection = loaded(write(tmp_path / "stripe", invoices=[of("charged")], charges=[loose]))
    assert connection.execute("SELECT payment_id FROM raw_billing.payments").fetchall() == [
        ("pi_charged_04-01",)
    ]
    (note,) = connection.execute("SELECT note FROM raw_meta.loads WHERE note <> ''").fetchall()
    assert "1 paid invoices name no payment that the export has" in note[0]
