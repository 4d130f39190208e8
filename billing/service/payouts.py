"""What a gateway pays out to the bank of the money it collected."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.money import BillingError
from billing.jobs.journal import post_events
from billing.service.acts import act, announce
from billing.store.store import Store
from billing.store.tables import legal_entities, payouts

_ENTITY = select(legal_entities.c.entity_id).where(legal_entities.c.entity_id == bindparam("id"))
_KNOWN = select(payouts).where(
    payouts.c.entity_id == bindparam("entity"), payouts.c.gateway_ref == bindparam("ref")
)


@act
def receive_payout(
    store: Store,
    at: datetime,
    *,
    entity_id: str,
    gateway_ref: str,
    currency: str,
    amount_minor: int,
    fee_minor: int = 0,
    received_on: date | None = None,
) -> str:
    """A gateway's payout came in at the bank: `amount_minor`, after it kept `fee_minor`; returns its id.

    Both leave `gateway_clearing`, so what is left there is what the gateway still holds. The same payout
    again changes nothing. Raises `unknown_entity`, `negative_quantity` (also for a payout of nothing),
    `key_conflict` where the reference came before with other amounts, `period_locked`.
    """
    if store.row(_ENTITY, {"id": entity_id}) is None:
        raise BillingError("unknown_entity", entity_id)
    if amount_minor < 0 or fee_minor < 0 or not amount_minor + fee_minor:
        raise BillingError("negative_quantity", f"a payout of {amount_minor}, fees {fee_minor}")
    row = {
        "entity_id": entity_id,
        "gateway_ref": gateway_ref,
        "currency": currency,
        "amount_minor": amount_minor,
        "fee_minor": fee_minor,
    }
    known = store.row(_KNOWN, {"entity": entity_id, "ref": gateway_ref})
    if known is not None:
        if row != {name: known[name] for name in row}:
            raise BillingError("key_conflict", f"{gateway_ref} paid out {known['amount_minor']}")
        return str(known["payout_id"])
    payout_id, on = store.new_id("pout"), received_on or at.date()
    store.insert(payouts, [row | {"payout_id": payout_id, "received_on": on}], at)
    event = {
        "event": "payout_received",
        "source_kind": "payout",
        "source_id": payout_id,
        "entity_id": entity_id,
        "currency": currency,
        "net_minor": amount_minor,
        "fee_minor": fee_minor,
        "posted_on": on,
    }
    nobody = pl.lit(None, dtype=pl.String)
    events = pl.DataFrame([event]).with_columns(nobody.alias("customer_id"), nobody.alias("invoice_id"))
    post_events(store, at, events)
    announce(store, at, "payout.received", payout_id, row | {"received_on": on})
    return payout_id
