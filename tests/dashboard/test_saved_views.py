"""Saved views: kept, shared, renamed, deleted and brought back; refused where they may not be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from reader import Open

from dashboard.people.reader import Reader
from dashboard.records import audit, views
from dashboard.records.database import Records, RecordsError, open_records
from dashboard.records.views import Refused

AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
CFO = Reader("cfo@example.com", "Noor", frozenset({"finance"}))
CSM = Reader("csm@example.com", "Sam", frozenset({"csm"}), "Sam")
ADMIN = Reader("root@example.com", "Ada", frozenset({"admin"}))
FILTERS = {"month": "2025-03", "segment": "smb", "company": "lumen", "lang": "ar", "rows": "mrr", "page": "2"}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    kept = Records(f"sqlite:///{tmp_path / 'app.db'}")
    yield kept
    kept.close()


def names(records: Records, reader: Reader) -> list[str]:
    return [one.name for one in views.seen_by(records, reader)]


def test_a_view_keeps_its_filters_and_not_those_of_the_moment(records: Records) -> None:
    views.save(records, AT, CFO, "  شهر\u202e مارس \x00", "revenue", FILTERS)
    (kept,) = views.seen_by(records, CFO)
    assert kept.name == "شهر مارس"
    assert dict(kept.parameters) == {"month": "2025-03", "segment": "smb"}
    assert (kept.owner_id, kept.owner_name, kept.is_team) == ("cfo@example.com", "Noor", False)


@pytest.mark.parametrize(
    ("name", "page", "parameters", "is_team", "reason"),
    [
        ("", "revenue", {}, False, "no_name"),
        ("\u200b \x07", "revenue", {}, False, "no_name"),
        ("x" * 10_000, "revenue", {}, False, "too_long"),
        ("A", "nowhere", {}, False, "no_page"),
        ("A", "../app", {}, False, "no_page"),
        ("A", "revenue", {"month": "x" * 301}, False, "too_much"),
        ("A", "revenue", {f"p{number}": "1" for number in range(31)}, False, "too_much"),
        ("A", "revenue", {"<script>": "1"}, False, "too_much"),
    ],
)
def test_what_is_no_view_is_refused(
    records: Records, name: str, page: str, parameters: dict[str, str], is_team: bool, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        views.save(records, AT, CFO, name, page, parameters, is_team)
    assert refused.value.reason == reason
    assert views.seen_by(records, CFO) == []


def test_a_view_of_a_page_that_is_not_ones_own_is_neither_kept_nor_seen_nor_opened(records: Records) -> None:
    with pytest.raises(Refused, match="no_page"):
        views.save(records, AT, CSM, "A", "revenue", {})
    team = views.save(records, AT, CFO, "Team", "revenue", {}, is_team=True)
    both = views.save(records, AT, CFO, "Risks", "churn", {}, is_team=True)
    assert names(records, CSM) == ["Risks"]
    assert views.opened(records, CSM, both.view_id).page == "churn"
    with pytest.raises(Refused, match="no_page"):
        views.opened(records, CSM, team.view_id)


def test_a_private_view_is_nobody_elses(records: Records) -> None:
    own = views.save(records, AT, CFO, "Mine", "churn", {})
    assert names(records, ADMIN) == []
    acts = [
        lambda: views.opened(records, ADMIN, own.view_id),
        lambda: views.rename(records, AT, ADMIN, own.view_id, "Taken"),
        lambda: views.delete(records, AT, ADMIN, own.view_id),
        lambda: views.restore(records, AT, ADMIN, own.view_id),
    ]
    for act in acts:
        with pytest.raises(Refused, match="not_there"):
            act()
    assert names(records, CFO) == ["Mine"]


def test_a_team_view_is_changed_by_its_owner_and_by_admins_alone(records: Records) -> None:
    team = views.save(records, AT, CFO, "Team", "churn", {}, is_team=True)
    with pytest.raises(Refused, match="not_yours"):
        views.rename(records, AT, CSM, team.view_id, "Taken")
    with pytest.raises(Refused, match="may_not_share"):
        views.save(records, AT, CSM, "A", "churn", {}, is_team=True)
    views.rename(records, AT, ADMIN, team.view_id, "Renamed")
    assert names(records, CSM) == ["Renamed"]
    views.share(records, AT, CFO, team.view_id, False)
    assert names(records, CSM) == []
    views.replace(records, AT, CFO, team.view_id, {"band": "high"})
    assert dict(views.opened(records, CFO, team.view_id).parameters) == {"band": "high"}


def test_sharing_a_view_is_noted_and_keeping_one_for_oneself_is_not(records: Records) -> None:
    own = views.save(records, AT, CFO, "Mine", "churn", {"band": "high"})
    views.share(records, AT, CFO, own.view_id, False)
    views.delete(records, AT, CFO, own.view_id)
    views.restore(records, AT, CFO, own.view_id)
    assert audit.lines(records) == []
    views.share(records, AT, CFO, own.view_id, True)
    views.delete(records, AT, ADMIN, own.view_id)
    views.restore(records, AT, ADMIN, own.view_id)
    views.share(records, AT, CFO, own.view_id, False)
    views.save(records, AT, CFO, "Team", "revenue", {}, is_team=True)
    with pytest.raises(Refused):
        views.save(records, AT, CSM, "A", "churn", {}, is_team=True)
    noted = [
        (one["recorded_by"], one["act"], one["subject"], json.loads(one["detail"])["done"])
        for one in reversed(audit.lines(records))
    ]
    assert noted == [
        (CFO.reader_id, "share", "view Mine", "shared with the team"),
        (ADMIN.reader_id, "share", "view Mine", "deleted"),
        (ADMIN.reader_id, "share", "view Mine", "brought back"),
        (CFO.reader_id, "share", "view Mine", "no longer shared"),
        (CFO.reader_id, "share", "view Team", "shared with the team"),
    ]
    (first,) = [one for one in audit.lines(records) if "with the team" in one["detail"]][-1:]
    assert json.loads(first["detail"])["choices"] == {"band": "high"}


def test_a_view_that_cannot_be_noted_is_not_shared(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RecordsError("disk full")

    monkeypatch.setattr(audit, "note_within", full)
    with pytest.raises(RecordsError):
        views.save(records, AT, CFO, "Team", "churn", {}, is_team=True)
    assert names(records, CSM) == []


@pytest.mark.parametrize(
    ("page", "company", "filters"),
    [
        ("revenue", "lumen", ["Month", "Compare with", "Segment"]),
        ("retention", "bazaar", ["Month"]),  # of orders nothing is compared there
    ],
)
def test_the_filters_of_a_page_stand_before_its_saved_views(
    open_page: Open, page: str, company: str, filters: list[str]
) -> None:
    labels = [box.label for box in open_page(page, company).main.selectbox]
    assert labels[: labels.index("Saved view")] == filters


def test_who_deletes_the_team_view_of_another_can_undo_it(records: Records) -> None:
    kept = views.save(records, AT, CFO, "Ours", "revenue", {}, is_team=True)
    views.delete(records, AT, ADMIN, kept.view_id)
    assert names(records, CFO) == []
    with pytest.raises(Refused, match="not_there"):
        views.restore(records, AT, Reader("other@example.com", "O", frozenset({"finance"})), kept.view_id)
    views.restore(records, AT, ADMIN, kept.view_id)
    assert names(records, CFO) == ["Ours"]


def test_a_deleted_view_comes_back_for_thirty_days(records: Records) -> None:
    own = views.save(records, AT, CFO, "Mine", "churn", {})
    views.delete(records, AT, CFO, own.view_id)
    assert names(records, CFO) == []
    with pytest.raises(Refused, match="not_there"):
        views.opened(records, CFO, own.view_id)
    assert [one.name for one in views.deleted(records, AT + timedelta(days=29), CFO)] == ["Mine"]
    assert views.deleted(records, AT + timedelta(days=31), CFO) == []
    with pytest.raises(Refused, match="too_late"):
        views.restore(records, AT + timedelta(days=31), CFO, own.view_id)
    views.restore(records, AT + timedelta(days=30), CFO, own.view_id)
    assert names(records, CFO) == ["Mine"]


def test_one_reader_has_at_most_two_hundred_views(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_VIEWS", 2)
    for name in ("A", "B"):
        views.save(records, AT, CFO, name, "churn", {})
    with pytest.raises(Refused, match="too_many"):
        views.save(records, AT, CFO, "C", "churn", {})
    views.save(records, AT, ADMIN, "C", "churn", {})


def test_a_view_is_saved_opened_deleted_and_undone_on_the_page(workspace: Path, open_page: Open) -> None:
    app = open_page(lang="en", segment="smb")
    app.session_state["views-menu"] = True
    app.run()
    assert not app.exception
    app.text_input(key="new-view-name").set_value("[**Small**](x) شركات")
    app.button(key="save-view").click().run()
    kept = open_records(f"sqlite:///{workspace / 'lumen' / 'app.db'}")
    (saved,) = [one for one in views.seen_by(kept, ADMIN_LOCAL) if "Small" in one.name]
    assert dict(saved.parameters) == {"segment": "smb"}
    assert app.selectbox(key="saved-view").value == saved.view_id
    assert not any("Small" in mark.value for mark in app.markdown)
    other = open_page(lang="ar")
    assert other.selectbox(key="saved-view").value == ""
    other.selectbox(key="saved-view").set_value(saved.view_id).run()
    assert other.query_params["segment"] in ("smb", ["smb"])
    assert other.query_params["lang"] in ("ar", ["ar"])
    other.session_state["views-menu"] = True
    other.run()
    other.button(key="delete-view").click().run()
    assert views.seen_by(kept, ADMIN_LOCAL) == []
    other.button(key="undo-delete-view").click().run()
    assert [one.view_id for one in views.seen_by(kept, ADMIN_LOCAL)] == [saved.view_id]
    views.delete(kept, AT, ADMIN_LOCAL, saved.view_id)


ADMIN_LOCAL = Reader("local", "Local reader", frozenset({"admin"}))
