"""Contracts through the API: terms and clauses, notice and renewal, and what the next term would cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from small_api import Api, at, serving

from billing.service.index_clauses import publish_index_value


@pytest.fixture
def api(_sqlite_database: str) -> Iterator[Api]:
    with serving(_sqlite_database) as one:
        yield one


def agree(api: Api, contract_id: str = "c", customer_id: str = "anna", **terms: Any) -> Any:
    """Pro for two seats, 35.00 a month, for a year."""
    body = {
        "customer_id": customer_id,
        "plan_id": "pro",
        "quantity": 2,
        "subscription_id": f"s-{contract_id}",
        "contract": {"contract_id": contract_id, "notice_days": 30, **terms},
    }
    answer = api.answer("POST", "/subscriptions", body)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_contracts_are_listed_and_shown_with_their_parts(api: Api) -> None:
    agree(api)
    agree(api, "d", "boris", term="P6M")
    shown = api.ask("GET", "/contracts/c", params={"expand": "terms,clauses,stock_rules"})
    assert (shown["term_start"], shown["term_end"], shown["auto_renew"]) == ("2025-01-01", "2026-01-01", True)
    assert [(one["term_start"], one["term_end"]) for one in shown["terms"]] == [("2025-01-01", "2026-01-01")]
    assert (shown["clauses"], shown["stock_rules"]) == ([], [])

    def found(key: str = "merchant", **asked: Any) -> list[str]:
        return [one["contract_id"] for one in api.ask("GET", "/contracts", params=asked, key=key)["data"]]

    assert found() == ["d", "c"]
    assert found(customer_id="anna") == ["c"]
    assert found(ends_before="2025-07-02") == ["d"]
    assert found(ends_before="2025-07-01") == []
    assert found("anna") == ["c"]
    for contract_id in ("c", "none"):
        found_by_boris = api.refused("GET", f"/contracts/{contract_id}", key="boris")
        assert found_by_boris == (404, "unknown_contract", None)


def test_the_next_term_is_quoted_and_added_at_that_price(api: Api) -> None:
    agree(api)
    quote = api.ask("GET", "/contracts/c/renewal-quote")
    # twelve months of 25.00 and two seats at 5.00
    assert (quote["term_start"], quote["net_minor"], quote["currency"]) == ("2026-01-01", 12 * 3500, "EUR")
    (rate,) = quote["rates"]
    assert (rate["quantity"], rate["recurring_minor"], rate["next_recurring_minor"]) == ("2", 3500, 3500)
    assert len(quote["lines"]) == 24
    renewed = api.ask("POST", "/contracts/c/renew-ahead")
    assert (renewed["term_start"], renewed["term_end"]) == ("2026-01-01", "2027-01-01")


def test_notice_ends_the_subscriptions_with_the_term_and_late_notice_is_refused(api: Api) -> None:
    agree(api)
    assert api.ask("POST", "/contracts/c/notice", {"reason": "switched"})["notice_given_on"] == "2025-01-01"
    ended = api.ask("GET", "/subscriptions/s-c")
    assert (ended["ends_on"], ended["cancel_reason"]) == ("2026-01-01", "switched")
    assert api.ask("POST", "/subscriptions/s-c/undo-cancel", {})["ends_on"] is None
    api.at = at(12, 15)
    assert api.refused("POST", "/contracts/c/notice", {})[:2] == (409, "illegal_transition")
    assert api.refused("POST", "/contracts/c/notice", {"reason": "merge"}) == (
        422,
        "unknown_setting",
        "reason",
    )
    assert api.refused("POST", "/contracts/none/notice", {})[:2] == (404, "unknown_contract")
    assert api.refused("POST", "/contracts/c/notice", {}, key="boris")[:2] == (404, "unknown_contract")


def test_a_renewal_is_accepted_once_and_on_the_version_that_was_read(api: Api) -> None:
    agree(api, auto_renew=False)
    read = api.answer("GET", "/contracts/c").headers["etag"]
    accepted = api.answer("POST", "/contracts/c/accept-renewal", headers={"If-Match": read})
    assert accepted.json()["renewal_accepted_on"] == "2025-01-01"
    stale = api.refused("POST", "/contracts/c/agree-to-substitutes", headers={"If-Match": read})
    assert stale[:2] == (412, "precondition_failed")
    fresh = {"If-Match": accepted.headers["etag"]}
    assert api.answer("POST", "/contracts/c/agree-to-substitutes", headers=fresh).status_code == 200
    assert api.refused("POST", "/contracts/c/accept-renewal")[:2] == (409, "illegal_transition")


def test_prices_follow_an_index_and_the_steps_are_shown_before_they_act(api: Api) -> None:
    agree(api)
    clause = {"index_id": "cpi", "base_value": "100", "first_on": "2026-01-01", "cap_ppm": 50_000}
    made = api.answer("POST", "/contracts/c/index-clauses", clause)
    assert (made.status_code, made.json()["kind"], made.json()["base_value"]) == (201, "index", "100")
    publish_index_value(
        api.store,
        at(12, 1),
        index_id="cpi",
        month=date(2025, 12, 1),
        value="103",
        published_on=date(2025, 12, 1),
    )
    api.at = at(1, 1, 2026)
    steps = api.ask("GET", "/contracts/c/index-preview")["data"]
    # 25.00 and 5.00 by 103 / 100
    assert {(one["component_id"], Decimal(one["old"]), Decimal(one["new"])) for one in steps} >= {
        ("pro.1.fee", Decimal(25), Decimal("25.75")),
        ("pro.1.seats", Decimal(5), Decimal("5.15")),
    }
    assert api.refused("POST", "/contracts/c/index-clauses", clause | {"base_value": 1.5})[:2] == (
        422,
        "invalid",
    )
    assert api.refused("POST", "/contracts/c/index-clauses", clause | {"base_value": "0"})[:2] == (
        422,
        "negative_price",
    )


def test_a_pool_and_a_rule_are_for_the_merchant_to_agree(api: Api) -> None:
    agree(api)
    pool = {"components": ["pro.1.calls"], "tiers": [{"up_to": 1000, "unit": "0.01"}, {"unit": "0.008"}]}
    made = api.answer("POST", "/contracts/c/pools", pool)
    shown = made.json()
    assert (made.status_code, shown["members"]) == (201, [{"kind": "component", "member_id": "pro.1.calls"}])
    assert [one["up_to"] for one in shown["tiers"]] == [1000, None]
    assert api.ask("GET", "/contracts/c", params={"expand": "clauses"})["clauses"] == [shown]
    assert api.refused("POST", "/contracts/c/pools", pool)[:2] == (409, "pool_overlap")
    assert api.refused("POST", "/contracts/c/pools", pool, key="anna")[:2] == (403, "scope_missing")
    ruled = api.answer("POST", "/contracts/c/stock-rule", {"rule": "substitute"})
    assert ruled.status_code == 200
    rules = api.ask("GET", "/contracts/c", params={"expand": "stock_rules"})["stock_rules"]
    assert [(one["rule"], one["valid_from"]) for one in rules] == [("substitute", "2025-01-01")]
    assert api.refused("POST", "/contracts/c/stock-rule", {"rule": "wish"})[:2] == (422, "unknown_setting")


def test_notice_is_previewed(api: Api) -> None:
    agree(api)
    asked = {"act": "give_notice", "arguments": {"contract_id": "c"}}
    shown = api.ask("POST", "/previews", asked)
    assert (shown["total_minor"], shown["customer_id"]) == (3500, "anna")
    held = {"If-Preview": shown["matches"]}
    assert api.answer("POST", "/contracts/c/notice", {}, headers=held).status_code == 200
