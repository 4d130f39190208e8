"""Add-ons that come and go, and a subscription that begins again, each on the figures that were shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from portal_world import Hands, Post
from visitor import Browser, Page

from billing.core.subscription import Subscription
from billing.jobs.bill_run import bill
from billing.service.portal_settings import set_portal_task
from billing.service.subscriptions import cancel
from billing.store.store import open_store
from billing.store.subscriptions import read_standing

AsUser = Callable[[str], Browser]
SUB = "/subscriptions/sub_acme"


def _own(url: str, clock: Hands) -> Subscription:
    with open_store(url) as store:
        return read_standing(store, clock(), "sub_acme").subscription


def _text(html: str) -> str:
    return "".join(one for one in Page(html).text if one not in "\u2066\u2068\u2069")


def _add(browser: Browser) -> str:
    form = browser.page(f"{SUB}/add-on?plan=support").form("/add-on")
    return _text(browser.send(form).text)


def test_an_add_on_is_added_and_removed_at_the_end_of_its_period(
    as_user: AsUser, url: str, clock: Hands, post: Post
) -> None:
    """support is 30.00 a month: 30.00 x 21 / 31 = 20.32, with 19 % tax 24.18."""
    omar = as_user("omar")
    omar.keep_cookie("tajdid_language", "en")
    assert "€24.18" in _add(omar)
    assert "€24.18" in post.letters[0].text
    (item,) = [one for one in _own(url, clock).items if one.is_add_on]
    page = omar.page(SUB)
    (remove,) = [one for one in page.links if "remove-add-on" in one]
    assert not [one for one in omar.page(f"{SUB}/add-on").tags if one[1].get("value") == "support"]
    form = omar.page(remove).form("/remove-add-on")
    receipt = _text(omar.send(form).text)
    assert "Remove an add-on" in receipt
    assert "April 1, 2025" in receipt
    (ended,) = [one for one in _own(url, clock).items if one.is_add_on]
    assert (ended.item_id, str(ended.versions[-1].effective_end)) == (item.item_id, "2025-04-01")
    assert "Ends on April 1, 2025" in _text(omar.get(SUB).text)


def test_an_add_on_whose_form_comes_twice_is_there_once_and_has_one_receipt(
    as_user: AsUser, url: str, clock: Hands, post: Post
) -> None:
    omar = as_user("omar")
    form = omar.page(f"{SUB}/add-on?plan=support").form("/add-on")
    receipts = {str(omar.send(form).url) for _ in range(2)}
    assert len(receipts) == 1
    assert "/receipts/" in receipts.pop()
    assert len([one for one in _own(url, clock).items if one.is_add_on]) == len(post.letters) == 1
    other_key = omar.send(form, key="another key that is new")
    assert other_key.status_code == 422


def test_who_buys_for_an_account_below_is_not_called_removed_there(as_user: AsUser) -> None:
    omar = as_user("omar")
    omar.send(omar.page("/subscriptions/sub_north/add-on?plan=support").form("/add-on"))
    history = _text(as_user("nora").get("/history").text)
    assert "A user of an account joined with yours" in history
    assert "Omar" not in history
    assert "removed" not in history


def test_an_add_on_above_a_limit_waits_for_an_approver(as_user: AsUser, url: str, clock: Hands) -> None:
    """360.00 a year are more than the 100.00 sara orders alone."""
    assert "An approver of your company was asked" in _add(as_user("sara"))
    omar = as_user("omar")
    omar.send(omar.page("/requests").form("/decide"), answer="approve")
    assert len(_own(url, clock).items) == 2


def test_an_add_on_that_is_there_is_not_agreed_to_again(as_user: AsUser, url: str, clock: Hands) -> None:
    """Two requests for one add-on: the second costs the same once the first is billed; it would double it."""
    sara, omar = as_user("sara"), as_user("omar")
    for _ in range(2):
        _add(sara)
    for _ in range(2):
        omar.send(omar.page("/requests").form("/decide"), answer="approve")
        with open_store(url) as store, store.acting_as("test"):
            bill(store, clock(), up_to=clock().date())
    assert len([one for one in _own(url, clock).items if one.is_add_on]) == 1
    assert "Could not be done" in sara.page("/requests").text


def test_what_is_no_add_on_is_neither_added_nor_removed(as_user: AsUser, url: str, clock: Hands) -> None:
    omar = as_user("omar")
    omar.keep_cookie("tajdid_language", "en")
    assert "cannot be chosen" in omar.page(f"{SUB}/add-on?plan=pro").text
    main = _own(url, clock).main_item.item_id
    page = omar.page(f"{SUB}/remove-add-on?item={main}")
    assert not [one for one in page.forms if one.action.endswith("/remove-add-on")]


def test_what_has_ended_begins_again_once(as_user: AsUser, url: str, clock: Hands) -> None:
    """A month of basic with 3 seats, 25.00 and 19 % tax, from the day on which it begins again."""
    with open_store(url) as store, store.acting_as("test"):
        cancel(store, clock(), subscription_id="sub_acme", when="now", reason="unused")
        bill(store, clock(), up_to=clock().date())
    clock.pass_by(timedelta(days=10))
    omar = as_user("omar")
    omar.keep_cookie("tajdid_language", "en")
    assert "Basic" in omar.page("/").text
    page = omar.page(SUB)
    assert "Ended on March 11, 2025" in _text(omar.get(SUB).text)
    assert f"/portal{SUB}/reactivate" in page.links
    form = omar.page(f"{SUB}/reactivate").form("/reactivate")
    receipts = {str(omar.send(form).url) for _ in range(2)}
    assert len(receipts) == 1
    assert "€29.75" in _text(omar.get(receipts.pop()).text)
    own = _own(url, clock)
    assert (own.ends_on, str(own.anchor_on)) == (None, "2025-03-21")


def test_where_the_seller_begins_again_the_page_says_whom_to_ask(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    with open_store(url) as store, store.acting_as("test"):
        cancel(store, clock(), subscription_id="sub_acme", when="now", reason="unused")
        set_portal_task(store, clock(), name="reactivate", is_open=False)
    clock.pass_by(timedelta(days=1))
    page = as_user("sara").page(SUB)
    assert "please ask your seller" in page.text
    assert not [link for link in page.links if link.endswith("/reactivate")]
