"""Agreements carried out: what the seller's sales staff note when a customer signs, and on later days.

What is agreed is planned in `agreements`; here it goes through the engine's acts.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial

import numpy as np
from sqlalchemy import bindparam, select

from billing.core.calendar import add_months
from billing.jobs.bill_run import RunSummary
from billing.service import (
    campaigns,
    charges,
    discounts,
    index_clauses,
    parties,
    purchase_orders,
    wallets,
)
from billing.service.catalog import NewTier
from billing.service.contracts import accept_renewal
from billing.service.customers import change_customer
from billing.service.invoicing import set_invoicing
from billing.service.pools import agree_pool
from billing.service.renewal_quotes import quote_renewal
from billing.service.stock import agree_to_substitutes
from billing.simulator.agreements import (
    BUDGET_MONTHS,
    LIMIT_MONTHS,
    ORDER_MONTHS,
    Agreements,
    Voucher,
    usual_month,
    usual_year,
)
from billing.simulator.catalogue import LIST_RATES, PRODUCT, SELLER, places_of
from billing.simulator.office import Office
from billing.simulator.population import CURRENCY, Calendar, Customer, Topic, stream
from billing.store.store import Store
from billing.store.tables import subscriptions

CAMPAIGN = "partners-and-abroad"
INDEX = "paper"
INDEX_STEP, INDEX_SPREAD, INDEX_CAP_PPM = 0.002, 0.004, 30_000
# What a kit costs by what a tree takes in a year.
POOL_TIERS = ((60, "16.50"), (300, "14.50"), (None, "12.90"))
SEASON_MONTHS = (14, 17)
LOYALTY_MONTHS = 9
OFFICES = {
    "DE": ("Hauptstraße", "Köln"),
    "FR": ("Rue de la Gare", "Lyon"),
    "NL": ("Stationsweg", "Utrecht"),
    "IT": ("Via Roma", "Bologna"),
    "ES": ("Calle Mayor", "Valencia"),
    "AT": ("Bahnhofstraße", "Linz"),
    "BE": ("Rue Haute", "Liège"),
    "PL": ("ul. Długa", "Poznań"),
    "KW": ("Fahad Al Salem Street", "Kuwait City"),
    "SA": ("King Fahd Road", "Riyadh"),
    "EG": ("Tahrir Street", "Cairo"),
    "AE": ("Sheikh Zayed Road", "Dubai"),
}


def open_business(store: Store, at: datetime, calendar: Calendar) -> None:
    """What the seller has from the first day on: an address, reductions it gives, a way to chase debts."""
    street, city = OFFICES[SELLER[2]]
    parties.set_seller_address(
        store,
        at,
        entity_id=SELLER[0],
        lines=[SELLER[1], f"{street} 1"],
        city=city,
        country=SELLER[2],
        valid_from=at.date(),
    )
    discounts.create_discount(
        store,
        at,
        discount_id="welcome",
        name="Welcome, 5 % off three invoices",
        discount_ppm=50_000,
        scope="document",
        times=3,
    )
    start, end = (calendar.day(month) for month in SEASON_MONTHS)
    discounts.create_discount(
        store,
        at,
        discount_id="season",
        name="Season of the buying group, 2 % off",
        discount_ppm=20_000,
        scope="document",
        valid_start=start,
        valid_end=end,
    )
    for currency, rate in LIST_RATES.items():
        discounts.create_discount(
            store,
            at,
            discount_id=f"loyalty-{currency}",
            name="Loyalty, 40 off each invoice",
            amount=str(40 * rate),
            currency=currency,
            scope="document",
        )
    campaigns.create_campaign(
        store,
        at,
        name="Partners and customers abroad",
        thresholds={currency: str(150 * rate) for currency, rate in LIST_RATES.items()},
        max_attempts=3,
        days_between=7,
        campaign_id=CAMPAIGN,
    )


class Signing:
    """Notes agreements on the day a customer signs, and leaves to the office what comes later."""

    def __init__(self, store: Store, calendar: Calendar, office: Office) -> None:
        self.store, self.calendar, self.office = store, calendar, office
        self.orders: dict[str, int] = {}
        self.index: list[str] = []
        self.pooled: set[int] = set()

    def sign(
        self,
        customer: Customer,
        agreed: Agreements,
        subscription_id: str,
        contract_id: str | None,
        at: datetime,
    ) -> None:
        store, customer_id = self.store, customer.customer_id
        if not customer.is_site:
            self._introduce(customer, at)
        if contract_id is not None and agreed.stock_rule == "substitute":
            agree_to_substitutes(store, at, contract_id=contract_id)
        if contract_id is not None:
            self._agree_clauses(customer, agreed, contract_id, at)
            for on in agreed.accepts_on:
                self.office.later(on, partial(self._accept, contract_id, agreed.is_quoted))
        if agreed.set_up is not None:
            self._set_up(customer, agreed, subscription_id, at)
        self._give_discounts(customer, agreed, at)
        if agreed.needs_order:
            change_customer(store, at, customer_id=customer_id, requires_purchase_order=True)
            self._new_order(customer, subscription_id, at)
        if agreed.has_limit:
            usual = usual_year(customer) if customer.is_yearly else usual_month(customer)
            limit = int(usual * Decimal(str(LIMIT_MONTHS)) * places_of(customer.currency))
            change_customer(store, at, customer_id=customer_id, credit_limit_minor=limit)
        if customer.dealings.pays_by_transfer and (customer.group or customer.currency != "EUR"):
            campaigns.assign_campaign(store, at, customer_id=customer_id, campaign_id=CAMPAIGN)
        if agreed.prepays_from is not None:
            self.office.later(agreed.prepays_from, partial(self._prepay, customer))
        for voucher in agreed.vouchers:
            self.office.later(voucher.on, partial(self._give_voucher, customer, voucher))

    def _introduce(self, customer: Customer, at: datetime) -> None:
        street, city = OFFICES[customer.country]
        parties.set_customer_address(
            self.store,
            at,
            customer_id=customer.customer_id,
            lines=[customer.name, f"{street} {1 + customer.number % 97}"],
            city=city,
            country=customer.country,
        )
        parties.add_contact(
            self.store,
            at,
            customer_id=customer.customer_id,
            name="Accounts payable",
            email=f"accounts@{customer.customer_id}.example",
            locale=customer.locale,
        )

    def _agree_clauses(self, customer: Customer, agreed: Agreements, contract_id: str, at: datetime) -> None:
        """Prices that follow the index, and one pool of kits for each tree that has sites."""
        if agreed.follows_index:
            index_clauses.add_index_clause(
                self.store,
                at,
                contract_id=contract_id,
                index_id=INDEX,
                base_value=self.index[max(customer.start_month - 1, 0)],
                first_on=add_months(customer.anchor_on, 12),
                floor_ppm=0,
                cap_ppm=INDEX_CAP_PPM,
            )
        if customer.is_site and customer.currency == CURRENCY and customer.dealings.head not in self.pooled:
            self.pooled.add(customer.dealings.head)
            tiers = [NewTier(up_to, price) for up_to, price in POOL_TIERS]
            agree_pool(self.store, at, contract_id=contract_id, skus=["kits"], tiers=tiers)

    def plan_the_index(self, seed: int) -> None:
        """The index of paper prices comes out on the 20th of the month after, and rises by fits and
        starts."""
        steps = stream(seed, Topic.INDEX, 0).normal(INDEX_STEP, INDEX_SPREAD, self.calendar.months + 1)
        values = 120.0 * np.exp(np.cumsum(steps))
        self.index = [f"{value:.1f}" for value in values]
        for month in range(self.calendar.months):
            on = self.calendar.day(month + 1, 20)
            self.office.later(on, partial(self._publish_index, self.calendar.day(month), self.index[month]))

    def _publish_index(self, month: date, value: str, at: datetime) -> None:
        index_clauses.publish_index_value(
            self.store, at, index_id=INDEX, month=month, value=value, published_on=at.date()
        )

    def _accept(self, contract_id: str, is_quoted: bool, at: datetime) -> None:
        if is_quoted:
            quote_renewal(self.store, at, contract_id=contract_id)
        accept_renewal(self.store, at, contract_id=contract_id)

    def _set_up(self, customer: Customer, agreed: Agreements, subscription_id: str, at: datetime) -> None:
        assert agreed.set_up is not None
        charge_id = charges.add_charge(
            self.store,
            at,
            subscription_id=subscription_id,
            description="Installation of dispensers",
            amount=str(agreed.set_up * LIST_RATES[customer.currency]),
        )
        if agreed.is_set_up_free:
            self.office.later(at.date() + timedelta(days=30), partial(self._take_back, charge_id))

    def _take_back(self, charge_id: str, at: datetime) -> None:
        charges.remove_charge(self.store, at, charge_id=charge_id)

    # Reductions and prepaid credit.

    def _give_discounts(self, customer: Customer, agreed: Agreements, at: datetime) -> None:
        if agreed.discount == "welcome":
            discounts.give_discount(self.store, at, customer_id=customer.customer_id, discount_id="welcome")
        if agreed.discount == "loyalty":
            discounts.give_discount(
                self.store,
                at,
                customer_id=customer.customer_id,
                discount_id=f"loyalty-{customer.currency}",
                valid_end=add_months(at.date(), LOYALTY_MONTHS),
            )
        if agreed.has_seasonal_discount:
            discounts.give_discount(self.store, at, customer_id=customer.customer_id, discount_id="season")

    def _prepay(self, customer: Customer, at: datetime) -> None:
        """A wallet that tops itself up; its first balance is bought at once and lasts a year."""
        month = usual_month(customer)
        wallet_id = wallets.open_wallet(
            self.store,
            at,
            customer_id=customer.customer_id,
            name="Prepaid",
            priority=1,
            product_id=PRODUCT[0],
            low_balance=str(month / 2),
            top_up=str(2 * month),
        )
        expires_on = add_months(at.date(), 12)
        wallets.top_up(self.store, at, wallet_id=wallet_id, amount=str(month), expires_on=expires_on)

    def _give_voucher(self, customer: Customer, voucher: Voucher, at: datetime) -> None:
        wallet_id = f"vouchers-{customer.customer_id}-{voucher.on}"
        wallets.open_wallet(
            self.store, at, customer_id=customer.customer_id, name=voucher.reason, wallet_id=wallet_id
        )
        wallets.grant(
            self.store,
            at,
            wallet_id=wallet_id,
            amount=str(usual_month(customer) * voucher.share),
            reason=voucher.reason,
            expires_on=voucher.expires_on,
        )

    # Purchase orders.

    def _new_order(self, customer: Customer, subscription_id: str, at: datetime) -> None:
        """An order of the customer for a year, with a budget that may not last."""
        number = self.orders[customer.customer_id] = self.orders.get(customer.customer_id, 0) + 1
        usual = 14 * usual_month(customer) if customer.is_yearly else BUDGET_MONTHS * usual_month(customer)
        po_id = purchase_orders.create_purchase_order(
            self.store,
            at,
            customer_id=customer.customer_id,
            number=f"PO-{4500 + customer.number}-{number}",
            budget=str(usual),
            valid_end=add_months(at.date(), ORDER_MONTHS),
            po_id=f"po-{customer.customer_id}-{number}",
        )
        set_invoicing(self.store, at, subscription_id=subscription_id, po_id=po_id)

    def ask_for_orders(self, done: RunSummary, at: datetime) -> None:
        """What a run held for want of an order is asked for; the answer comes within the week."""
        if not done.held or done.run_id is None:
            return
        for row in purchase_orders.held_documents_of(self.store, run_id=done.run_id):
            customer = self.office.by_id[row["customer_id"]]
            on = at.date() + timedelta(days=5)
            if row["code"] == "po_exhausted":
                self.office.later(on, partial(self._raise_budget, row["po_id"], customer))
            else:
                self.office.later(on, partial(self._renew_order, customer))

    def _raise_budget(self, po_id: str, customer: Customer, at: datetime) -> None:
        (order,) = [
            one
            for one in purchase_orders.list_purchase_orders(self.store, customer_id=customer.customer_id)
            if one.po_id == po_id
        ]
        assert order.budget_minor is not None
        raised = order.budget_minor + order.budget_minor // 2
        budget = str(Decimal(raised) / places_of(customer.currency))
        purchase_orders.change_purchase_order(self.store, at, po_id=po_id, budget=budget)

    def _renew_order(self, customer: Customer, at: datetime) -> None:
        found = self.store.row(_SUBSCRIPTION, {"id": customer.customer_id})
        assert found is not None
        self._new_order(customer, found["subscription_id"], at)


_SUBSCRIPTION = select(subscriptions.c.subscription_id).where(subscriptions.c.sold_to == bindparam("id"))
