"""The seller's office at work: what is done about bills and payments that go wrong, through the engine's
acts.

What happens, and how it ends, is planned in `incidents`; this module keeps what is to be done on which day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl
from sqlalchemy import bindparam, func, select

from billing.jobs.credit import open_credit
from billing.jobs.match_transfers import import_transfers
from billing.service import approvals, refunds, transfers
from billing.service.chargebacks import close_chargeback, open_chargeback
from billing.service.credit_notes import issue_credit_note
from billing.service.invoice_disputes import close_invoice_dispute, dispute_invoice
from billing.service.payouts import receive_payout
from billing.service.periods import lock_period
from billing.service.voids import void_invoice
from billing.service.write_offs import reinstate, write_off
from billing.simulator.catalogue import SELLER
from billing.simulator.causes import Cause
from billing.simulator.incidents import HOPED_DAYS, Billed, Incident, aftermath_of, asks_back, incident_of
from billing.simulator.life import Life
from billing.simulator.population import CURRENCY, Calendar, Customer
from billing.simulator.settlement import Payment
from billing.store.debts import DEBT
from billing.store.store import Row, Store
from billing.store.tables import bank_transfers, invoices, journal_lines, line_items, payments, write_offs
from billing.store.tables import refunds as refunds_table

Work = Callable[[datetime], None]

PAYOUT_DAY = 26
STRAY_DAY, STRAY_MONTHS = 16, 5
FOUND_DAYS = 3
CLOSING_DAY = 12


class Office:
    """What there is to do, day by day. `payments`: the money on its way, which is what customers find out
    about their invoices changes."""

    def __init__(
        self,
        store: Store,
        seed: int,
        calendar: Calendar,
        people: Sequence[Customer],
        lives: Sequence[Life],
        payments: dict[date, list[Payment]],
    ) -> None:
        self.store, self.seed, self.calendar = store, seed, calendar
        self.by_id = {one.customer_id: one for one in people}
        self.lives = lives
        self.payments = payments
        self.todo: dict[date, list[Work]] = defaultdict(list)
        self.paid_out_until = calendar.first_day
        self.followed_up: set[str] = set()
        for customer, life in zip(people, lives, strict=True):
            if Cause.PAYMENT in life.ended.values():
                on = life.left_on[-1] + timedelta(days=HOPED_DAYS)
                self.later(on, partial(self._give_up, customer))
        for month in range(2, calendar.months, STRAY_MONTHS):
            self.later(calendar.day(month, STRAY_DAY), self._receive_stray)
        self.meant: dict[str, str] = {}  # The invoice a transfer is for, by the bank's reference.

    def is_busy(self, day: date) -> bool:
        return day in self.todo

    def work(self, day: date, at: datetime) -> None:
        """Do what was put off to this day."""
        for one in self.todo.pop(day, []):
            one(at)

    def later(self, on: date, work: Work) -> None:
        """Do something on a later day, if the world lasts."""
        if on <= self.calendar.last_day:
            self.todo[on].append(work)

    # Invoices.

    def watch(self, row: Row) -> None:
        """Plan what will go wrong with an invoice that was issued today."""
        customer = self.by_id[row["customer_id"]]
        billed = Billed(row["invoice_id"], row["number"], row["issued_on"], row["collection"] == "terms")
        life = self.lives[customer.number]
        found = incident_of(self.seed, customer, life, self.calendar, billed)
        if found is not None:
            self.later(found.on, partial(getattr(self, f"_{found.kind}"), customer, billed, found))

    def _credit_note(self, customer: Customer, billed: Billed, incident: Incident, at: datetime) -> None:
        """A part of the goods was missing or broken."""
        line = self._largest(billed)
        if line is None:
            return
        net = max(int(line["net_minor"] * incident.share), 1)
        back = incident.kind == "give_back"
        reason = "Short delivery" if incident.share < 0.12 else "Damaged goods"
        lines = [(str(line["line_id"]), net)]
        issue_credit_note(self.store, at, reason=reason, lines=lines, give_back=back)
        self._pays_less(billed)

    _give_back = _credit_note

    def _void(self, customer: Customer, billed: Billed, incident: Incident, at: datetime) -> None:
        """It names the wrong department; the next run bills it anew."""
        if self._debt(billed.invoice_id)["state"] != "open":
            return
        void_invoice(self.store, at, invoice_id=billed.invoice_id, reason="Wrong cost centre")
        for waiting in self.payments.values():
            waiting[:] = [one for one in waiting if one.number != billed.number]

    def _dispute(self, customer: Customer, billed: Billed, incident: Incident, at: datetime) -> None:
        """The customer does not agree to the largest line, or to a part of the whole."""
        debt = self._debt(billed.invoice_id)
        line = self._largest(billed)
        if debt["state"] != "open" or line is None:
            return
        is_of_line = incident.share >= 0.5
        dispute_id = dispute_invoice(
            self.store,
            at,
            invoice_id=billed.invoice_id,
            reason="Not what was ordered",
            line_id=str(line["line_id"]) if is_of_line else None,
            amount_minor=None if is_of_line else max(int(debt["open_minor"] * incident.share), 1),
        )
        self.later(incident.closes_on, partial(self._close_dispute, billed, dispute_id, incident.outcome))

    def _close_dispute(self, billed: Billed, dispute_id: str, outcome: str, at: datetime) -> None:
        close_invoice_dispute(self.store, at, dispute_id=dispute_id, outcome=outcome)
        self._pays_less(billed)

    def _pays_less(self, billed: Billed) -> None:
        """Who is to pay an invoice leaves out what was credited of it before."""
        if not billed.is_on_terms:
            return
        left = int(self._debt(billed.invoice_id)["open_minor"])
        for day in sorted(self.payments):
            for place, one in enumerate(self.payments[day]):
                if one.number == billed.number:
                    self.payments[day][place] = replace(one, amount_minor=min(one.amount_minor, left))
                    left -= min(one.amount_minor, left)
            self.payments[day] = [one for one in self.payments[day] if one.amount_minor > 0]

    def _largest(self, billed: Billed) -> Row | None:
        return self.store.row(_LARGEST, {"id": billed.invoice_id})

    def _debt(self, invoice_id: str) -> Row:
        found = self.store.row(_DEBT, {"id": invoice_id})
        assert found is not None
        return found

    # Payments.

    def _chargeback(self, customer: Customer, billed: Billed, incident: Incident, at: datetime) -> None:
        """The customer does not know the charge on the statement."""
        paid = self.store.row(_CHARGED, {"id": billed.invoice_id})
        if paid is None:
            return
        dispute_id = open_chargeback(
            self.store, at, payment_id=paid["payment_id"], gateway_ref=f"dispute-{paid['payment_id']}"
        )
        self.later(
            incident.closes_on, partial(self._close_chargeback, customer, billed, dispute_id, incident)
        )

    def _close_chargeback(
        self, customer: Customer, billed: Billed, dispute_id: str, incident: Incident, at: datetime
    ) -> None:
        is_won = incident.outcome == "won"
        close_chargeback(self.store, at, dispute_id=dispute_id, outcome="won" if is_won else "lost")
        debt = self._debt(billed.invoice_id)
        if is_won or debt["state"] != "open":
            return
        if incident.outcome == "credited":
            issue_credit_note(
                self.store, at, reason="Payment disputed and lost", invoice_id=billed.invoice_id
            )
        else:
            on = at.date() + timedelta(days=3)
            self._send(customer, billed.number, on, int(debt["open_minor"]))

    def note_received(self, sent: Mapping[str, Payment], is_clear: bool, at: datetime) -> None:
        """What came in at the bank, by the bank's reference: who paid too much may ask for it the day after,
        and what is not clear is found out within days."""
        if not is_clear:
            self.later(at.date() + timedelta(days=FOUND_DAYS), self.find_payers)
        for bank_ref, one in sent.items():
            self.meant[bank_ref] = one.number
            if one.is_too_much and asks_back(self.seed, one.customer, self.calendar, one.on):
                self.later(at.date() + timedelta(days=1), partial(self._give_back_excess, one))

    def _give_back_excess(self, payment: Payment, at: datetime) -> None:
        paid = self.store.row(_TRANSFERRED, {"number": payment.number, "entity": SELLER[0]})
        if paid is None:
            return
        kept = open_credit(self.store, [payment.customer.customer_id]).filter(source_id=paid["payment_id"])
        if kept.height:
            amount = int(kept["left_minor"].sum())
            refunds.refund(self.store, at, payment_id=paid["payment_id"], amount_minor=amount)
            self.later(at.date() + timedelta(days=2), self._send_refunds)

    def _send_refunds(self, at: datetime) -> None:
        """The bank sends what customers asked back."""
        for row in self.store.rows(_REQUESTED):
            refunds.refund_paid(self.store, at, refund_id=row["refund_id"])

    def _receive_stray(self, at: datetime) -> None:
        """Money comes in that is meant for somebody else."""
        row = {
            "entity_id": SELLER[0],
            "bank_ref": f"stray-{at.date()}",
            "received_on": at.date(),
            "amount": f"{77 + at.month}.77",
            "currency": CURRENCY,
            "payer_name": "Municipal Water Works",
            "reference": "Rent",
        }
        import_transfers(self.store, at, pl.DataFrame([row]))
        self.later(at.date() + timedelta(days=FOUND_DAYS), self.find_payers)

    def find_payers(self, at: datetime) -> None:
        """Match by hand what the bank statements did not say, as far as somebody knows whose it is, and send
        the rest back."""
        for row in self.store.rows(_UNMATCHED, {"day": at.date() - timedelta(days=FOUND_DAYS)}):
            meant = self.store.row(
                _NUMBERED, {"number": self.meant.get(row["bank_ref"]), "entity": SELLER[0]}
            )
            if meant is None:
                transfers.return_transfer(self.store, at, transfer_id=row["transfer_id"])
            elif meant["state"] in ("open", "uncollectible"):
                transfers.match_transfer(
                    self.store, at, transfer_id=row["transfer_id"], invoice_ids=[meant["invoice_id"]]
                )
            else:
                transfers.match_transfer(
                    self.store, at, transfer_id=row["transfer_id"], customer_id=meant["customer_id"]
                )

    # Debts.

    def decide(self, at: datetime, kind: str | None = None) -> None:
        """Whoever may decide approves what waits: orders above a limit, and what is proposed of money that
        nobody pays."""
        for row in approvals.list_approvals(self.store).iter_rows(named=True):
            if kind not in (None, row["kind"]):
                continue
            approvals.approve(self.store, at, approval_id=row["approval_id"], decided_by="credit control")
            if row["kind"] == "write_off":
                self.follow_up(at)

    def _give_up(self, customer: Customer, at: datetime) -> None:
        """Nobody expects any more that a customer whose card failed to the end will pay."""
        for row in self.store.rows(_UNPAID, {"payer": customer.customer_id}):
            write_off(self.store, at, invoice_id=row["invoice_id"], reason="Card failed to the end")
        self.follow_up(at)

    def follow_up(self, at: datetime) -> None:
        """Plan what becomes of what was written off today."""
        for row in self.store.rows(_WRITTEN_OFF, {"day": at.date()}):
            if row["write_off_id"] in self.followed_up:
                continue
            self.followed_up.add(row["write_off_id"])
            customer = self.by_id[row["customer_id"]]
            found = aftermath_of(self.seed, customer, self.calendar, row["issued_on"], at.date())
            if found is None:
                continue
            amount = max(int(row["amount_minor"] * found.share), 1)
            if found.is_reinstated:
                on = found.paid_on - timedelta(days=3)
                self.later(on, partial(self._reinstate, row["invoice_id"]))
            self._send(customer, row["number"], found.paid_on, amount)

    def _reinstate(self, invoice_id: str, at: datetime) -> None:
        debt = self._debt(invoice_id)
        if debt["state"] != "uncollectible" or debt["open_minor"] != debt["written_off_minor"]:
            return  # Some of it has come in by now.
        reinstate(self.store, at, invoice_id=invoice_id, reason="They will pay after all")

    def _send(self, customer: Customer, number: str, on: date, amount_minor: int) -> None:
        if on <= self.calendar.last_day:
            self.payments[on].append(Payment(on, customer, number, amount_minor))

    # Books.

    def close_the_day(self, day: date, at: datetime) -> None:
        """What is done once a week at the end of a day: decide; and on their days of the month take in the
        gateway's payout, and close the books of the month before."""
        self.decide(at)
        if day.day == PAYOUT_DAY:
            self._take_payouts(day, at)
        before = day.replace(day=1) - timedelta(days=1)
        if day.day == CLOSING_DAY and before >= self.calendar.first_day:
            lock_period(self.store, at, entity_id=SELLER[0], month=before)

    def _take_payouts(self, day: date, at: datetime) -> None:
        """The gateway pays out what it holds less its fees since the last time."""
        since = {"after": self.paid_out_until, "day": day}
        fees = {row["currency"]: int(row["fee_minor"]) for row in self.store.rows(_FEES, since)}
        self.paid_out_until = day
        for row in self.store.rows(_HELD_BY_GATEWAY):
            fee = fees.get(row["currency"], 0)
            if row["held_minor"] > fee:
                receive_payout(
                    self.store,
                    at,
                    entity_id=SELLER[0],
                    gateway_ref=f"payout-{row['currency']}-{day}",
                    currency=row["currency"],
                    amount_minor=int(row["held_minor"]) - fee,
                    fee_minor=fee,
                )


_LARGEST = (
    select(line_items.c.line_id, line_items.c.net_minor)
    .where(
        line_items.c.invoice_id == bindparam("id"), line_items.c.entry == "charge", line_items.c.net_minor > 1
    )
    .order_by(line_items.c.net_minor.desc(), line_items.c.line_id)
    .limit(1)
)
_DEBT = DEBT.where(invoices.c.invoice_id == bindparam("id"))
_CHARGED = select(payments.c.payment_id).where(
    payments.c.invoice_id == bindparam("id"), payments.c.kind == "charge", payments.c.state == "captured"
)
_TRANSFERRED = (
    select(payments.c.payment_id)
    .join(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .where(
        invoices.c.entity_id == bindparam("entity"),
        invoices.c.number == bindparam("number"),
        payments.c.kind == "transfer",
        payments.c.state == "captured",
    )
    .order_by(payments.c.payment_id.desc())
    .limit(1)
)
_REQUESTED = (
    select(refunds_table.c.refund_id)
    .join(payments, payments.c.payment_id == refunds_table.c.payment_id)
    .where(refunds_table.c.state == "requested", payments.c.kind == "transfer")
    .order_by(refunds_table.c.refund_id)
)
_NUMBERED = select(invoices.c.invoice_id, invoices.c.state, invoices.c.customer_id).where(
    invoices.c.entity_id == bindparam("entity"), invoices.c.number == bindparam("number")
)
_UNMATCHED = (
    select(bank_transfers.c.transfer_id, bank_transfers.c.bank_ref)
    .where(bank_transfers.c.state == "unmatched", bank_transfers.c.received_on <= bindparam("day"))
    .order_by(bank_transfers.c.transfer_id)
)
_UNPAID = (
    select(invoices.c.invoice_id)
    .where(invoices.c.customer_id == bindparam("payer"), invoices.c.state == "open")
    .order_by(invoices.c.invoice_id)
)
_WRITTEN_OFF = (
    select(
        write_offs.c.write_off_id,
        write_offs.c.invoice_id,
        write_offs.c.amount_minor,
        invoices.c.number,
        invoices.c.issued_on,
        invoices.c.customer_id,
    )
    .join(invoices, invoices.c.invoice_id == write_offs.c.invoice_id)
    .where(write_offs.c.written_off_on == bindparam("day"), write_offs.c.reverses_id.is_(None))
    .order_by(write_offs.c.write_off_id)
)
_FEES = (
    select(payments.c.currency, func.sum(payments.c.fee_minor).label("fee_minor"))
    .where(payments.c.received_on > bindparam("after"), payments.c.received_on <= bindparam("day"))
    .group_by(payments.c.currency)
)
_HELD_BY_GATEWAY = (
    select(
        journal_lines.c.currency,
        func.sum(journal_lines.c.debit_minor - journal_lines.c.credit_minor).label("held_minor"),
    )
    .where(journal_lines.c.account == "gateway_clearing")
    .group_by(journal_lines.c.currency)
    .order_by(journal_lines.c.currency)
)
