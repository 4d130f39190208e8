"""What may be asked for, and what of a message leaves the house."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from source_trees import parsed

import billing
from billing.core.dunning import TERMS_STEPS
from billing.jobs.event_catalogue import TOPICS, example, fits, is_topic, shown
from billing.jobs.sequence_events import lane_of

FOLDER = Path(billing.__file__).parent
ANNOUNCING = {"announce", "announce_rows", "save_changes", "_announce", "_tell", "_message"}


def announced() -> set[str]:
    """Topics as the code has them: text of the form `thing.happening` in a module that announces."""
    found: set[str] = set()
    for path in [*FOLDER.glob("service/*.py"), *FOLDER.glob("jobs/*.py")]:
        text = path.read_text(encoding="utf-8")
        if path.name == "event_catalogue.py" or not re.search("announce|outbox|save_changes", text):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^[a-z_]+\.[a-z_0-9]+$", node.value))
    return {topic for topic in found if not topic.startswith("bill_run.")}


def test_every_topic_that_the_code_announces_is_in_the_catalogue_and_no_other() -> None:
    steps = {f"dunning.{step.kind}" for step in TERMS_STEPS if step.to != "approver"} | {"dunning.campaign"}
    assert announced() | steps == set(TOPICS)


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_an_example_says_what_an_event_says(topic: str) -> None:
    said = example(topic)
    one = TOPICS[topic]
    assert set(said["data"]) == {"object", "id", "customer_id", *one.fields}
    assert not set(one.fields) & set(one.withheld)
    assert one.description.endswith(".")


def test_what_is_not_listed_stays_inside() -> None:
    payload = {
        "kind": "order",
        "order": {"arguments": {"gateway_ref": "tok_1"}},
        "figures": {"open_minor": 1},
    }
    assert shown("approval.requested", "apr", "c", payload) == {
        "object": "approval",
        "id": "apr",
        "customer_id": "c",
        "kind": "order",
        "figures": {"open_minor": 1},
    }
    assert shown("thing.imagined", "x", None, payload) == {"object": "thing", "id": "x", "customer_id": None}


def test_topics_are_asked_for_by_name_by_thing_or_all() -> None:
    asked = ("*", "invoice.*", "invoice.issued", "invoice", "inv.*", "", "invoice.imagined", "*.issued")
    assert [is_topic(one) for one in asked] == [True] * 3 + [False] * 5
    assert fits("*", "a.b")
    assert fits("invoice.*", "invoice.issued")
    assert not fits("invoice.*", "invoices.issued")
    assert fits("invoice.issued plan.*", "plan.created")
    assert not fits("invoice.issued", "invoice.voided")


@pytest.mark.parametrize(
    ("topic", "payload", "lane"),
    [
        ("subscription.paused", {}, "s1"),
        ("charge.added", {"subscription_id": "sub"}, "sub"),
        ("invoice.issued", {}, "c1"),
    ],
)
def test_what_is_of_a_subscription_keeps_its_order(topic: str, payload: dict[str, str], lane: str) -> None:
    assert lane_of({"topic": topic, "subject_id": "s1"}, payload, "c1") == lane
    assert lane_of({"topic": "plan.created", "subject_id": "p1"}, {}, None) == "p1"
