"""Orders above what a buyer may place alone: asked for, agreed to by another, placed once, or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from portal_world import Hands, Post
from small_offer import FIRST
from sqlalchemy import select
from visitor import Browser

from billing.service.catalog import NewPrice, create_price_list
from billing.service.customers import change_customer, create_customer
from billing.service.portal_users import change_user
from billing.service.subscriptions import change_quantity, subscribe
from billing.store.store import open_store
from billing.store.subscriptions import read_standing
from billing.store.tables import approvals, purchase_requests

AsUser = Callable[[str], Browser]


def _ask(browser: Browser, quantity: int) -> str:
    form = browser.page(f"/subscriptions/sub_acme/seats?quantity={quantity}").form("/seats")
    return str(browser.send(form).url)


def _seats(url: str, clock: Hands) -> int:
    with open_store(url) as store:
        own = read_standing(store, clock(), "sub_acme").subscription
    return own.main_item.versions[-1].quantity_mantissa


def _states(url: str) -> list[tuple[str, str | None]]:
    with open_store(url) as store:
        rows = store.rows(select(purchase_requests).order_by(purchase_requests.c.request_id))
    return [(row["state"], row["code"]) for row in rows]


def _decide(browser: Browser, answer: str) -> str:
    return browser.send(browser.page("/requests").form("/decide"), answer=answer).text


def test_an_order_within_the_limit_is_placed_at_once(as_user: AsUser, url: str, clock: Hands) -> None:
    """4 seats instead of 3 cost 5.00 a month more, 60.00 a year: within 100.00."""
    _ask(as_user("sara"), 4)
    assert (_seats(url, clock), _states(url)) == (4, [])


def test_an_order_above_it_waits_for_an_approver(as_user: AsUser, url: str, clock: Hands) -> None:
    """5 seats cost 120.00 a year more."""
    sara = as_user("sara")
    _ask(sara, 5)
    assert (_seats(url, clock), _states(url)) == (3, [("pending", None)])
    text = sara.page("/requests").text
    assert "€120.00" in text.replace("\u2066", "")
    assert "1 order waits" in sara.page("/").text
    _decide(as_user("omar"), "approve")
    assert (_seats(url, clock), _states(url)) == (5, [("approved", None)])


def test_what_is_rejected_or_withdrawn_is_not_placed(as_user: AsUser, url: str, clock: Hands) -> None:
    sara = as_user("sara")
    _ask(sara, 5)
    _decide(as_user("omar"), "reject")
    _ask(sara, 6)
    sara.send(sara.page("/requests").form("/withdraw"))
    assert (_seats(url, clock), _states(url)) == (3, [("rejected", None), ("withdrawn", None)])


def test_nobody_agrees_to_an_own_order_nor_who_is_no_approver(
    as_user: AsUser, url: str, users: dict[str, str]
) -> None:
    sara = as_user("sara")
    _ask(sara, 5)
    assert "/decide" not in str(sara.page("/requests").forms)
    with open_store(url) as store:
        (row,) = store.rows(select(purchase_requests))
    path = f"/portal/requests/{row['request_id']}/decide"
    for name, status in (("sara", 403), ("lina", 403), ("bob", 403)):
        browser = as_user(name)
        form = browser.page("/").form("/sign-out")
        form.action = path
        assert browser.send(form, answer="approve").status_code == status, name
    assert _states(url) == [("pending", None)]


def test_an_order_that_became_dearer_is_not_placed(as_user: AsUser, url: str, clock: Hands) -> None:
    _ask(as_user("sara"), 5)
    with open_store(url) as store:
        change_quantity(store, clock(), subscription_id="sub_acme", quantity=1)
    answer = _decide(as_user("omar"), "approve")
    assert "تغيرت الأرقام" in answer, "an approver who reads Arabic is told why"
    assert _states(url) == [("pending", None)]


def test_an_order_that_the_engine_refuses_by_then_failed(as_user: AsUser, url: str, clock: Hands) -> None:
    _ask(as_user("sara"), 5)
    with open_store(url) as store:
        change_customer(store, clock(), customer_id="acme", credit_limit_minor=None)
        from billing.service.subscriptions import cancel

        cancel(store, clock(), subscription_id="sub_acme", when="now")
    _decide(as_user("omar"), "approve")
    assert _states(url) == [("failed", "illegal_transition")]


def test_the_sellers_credit_limit_holds_an_order_that_an_approver_agreed_to(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    with open_store(url) as store:
        change_customer(store, clock(), customer_id="acme", credit_limit_minor=1)
    _ask(as_user("sara"), 5)
    omar = as_user("omar")
    _decide(omar, "approve")
    assert (_seats(url, clock), _states(url)) == (3, [("approved", None)])
    with open_store(url) as store:
        (waits,) = store.rows(select(approvals))
        assert (waits["kind"], waits["state"]) == ("order", "pending")
        (asked,) = store.rows(select(purchase_requests))
        assert asked["approval_id"] == waits["approval_id"]


def test_an_approver_above_decides_for_those_below(
    as_user: AsUser, url: str, clock: Hands, users: dict[str, str]
) -> None:
    from billing.service.portal_users import change_user

    with open_store(url) as store:
        change_user(store, clock(), user_id=users["nora"], limit_minor=0)
    nora = as_user("nora")
    form = nora.page("/subscriptions/sub_north/seats?quantity=4").form("/seats")
    nora.send(form)
    _decide(as_user("omar"), "approve")
    assert _states(url) == [("approved", None)]


def test_a_receipt_tells_what_it_cost_and_goes_by_mail(as_user: AsUser, post: Post) -> None:
    """One seat more for 21 of 31 days: 5.00 x 21 / 31 = 3.39, with 19 % tax 4.03."""
    sara = as_user("sara")
    page = sara.page("/subscriptions/sub_acme/seats?quantity=4")
    assert "€4.03" in page.text.replace("\u2066", "")
    answer = sara.send(page.form("/seats"))
    assert "€4.03" in answer.text.replace("\u2066", "")
    (letter,) = post.letters
    assert (letter.to, letter.subject) == ("sara@acme.example", "Receipt: Change seats")
    assert "€4.03" in letter.text
    assert str(answer.url) in letter.text
    other = as_user("omar")
    assert other.get(str(answer.url)).status_code == 404, "another's receipt is not there"


def test_figures_that_changed_since_they_were_shown_are_shown_again(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    sara = as_user("sara")
    form = sara.page("/subscriptions/sub_acme/seats?quantity=4").form("/seats")
    with open_store(url) as store:
        change_quantity(store, clock(), subscription_id="sub_acme", quantity=2)
    answer = sara.send(form)
    assert answer.status_code == 422
    assert "The figures have changed" in answer.text
    assert _seats(url, clock) == 2


def test_an_end_that_is_undone_afterwards_is_no_way_around_the_limit(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    """While the subscription ends, seats count by the year all the same: its end can be undone by anybody."""
    sara = as_user("sara")
    sara.send(sara.page("/subscriptions/sub_acme/cancel?reason=other").form("/cancel"))
    _ask(sara, 5)
    assert (_seats(url, clock), _states(url)) == (3, [("pending", None)])


def test_a_limit_is_not_compared_with_another_currency(
    as_user: AsUser, url: str, clock: Hands, users: dict[str, str]
) -> None:
    """Sara may order for 100.00 EUR alone: of a child that pays in another currency nothing that costs."""
    with open_store(url) as store:
        create_price_list(
            store,
            FIRST,
            list_id="dinars",
            name="Dinars",
            currency="KWD",
            valid_start=date(2020, 1, 1),
            prices=[NewPrice("basic.1.fee", "flat", "1"), NewPrice("basic.1.seats", "per_unit", "0.005")],
        )
        create_customer(
            store,
            FIRST,
            customer_id="south",
            name="Acme South",
            entity_id="seller",
            currency="KWD",
            country="KW",
            parent_id="acme",
        )
        subscribe(
            store,
            FIRST,
            customer_id="south",
            plan_id="basic",
            quantity=3,
            subscription_id="sub_south",
            starts_on=date(2025, 3, 1),
        )
        change_user(store, FIRST, user_id=users["sara"], sees_children=True)
    sara = as_user("sara")
    sara.send(sara.page("/subscriptions/sub_south/seats?quantity=4").form("/seats"))
    with open_store(url) as store:
        own = read_standing(store, clock(), "sub_south").subscription
    assert own.main_item.versions[-1].quantity_mantissa == 3
    assert _states(url) == [("pending", None)]
