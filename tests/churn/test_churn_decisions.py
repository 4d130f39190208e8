"""Promoting and rolling back are new rows; a model whose files are not its own is not put to use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn_model import decisions
from churn_model.decisions import CHAMPION_RULE, DecisionRefused
from churn_model.registry import ModelRefused, save_model
from churn_model.tables import frame_types

AT = datetime(2026, 1, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return AT + timedelta(hours=hour)


def row(
    model_id: str, stage: str, hour: int, by: str = CHAMPION_RULE, commitment: str = "contract"
) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "stage": stage,
        "candidate": "blend",
        "commitment_class": commitment,
        "approved_by": by,
        "at": at(hour),
    }


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Three models: one was in use by the rule, then another; the third is trained and waits."""
    for model_id in ("m1", "m2", "m3"):
        save_model(tmp_path / "churn" / model_id, {"kind": "any"}, {"model_id": model_id})
    built = [
        *(row("m1", stage, 0) for stage in ("trained", "scoring")),
        *(row("m2", stage, 1) for stage in ("trained", "scoring")),
        row("m3", "trained", 2),
    ]
    folder = decisions.history_folder(tmp_path)
    folder.mkdir(parents=True)
    pl.DataFrame(built, schema_overrides=frame_types("churn_models")).write_parquet(folder / "b1.parquet")
    return tmp_path


def used(company: Path) -> str:
    return str(decisions.in_use(decisions.registry_of(company), "contract")[-1]["model_id"])


def test_promoting_adds_one_row_and_changes_none(company: Path) -> None:
    before = decisions.registry_of(company)
    decisions.promote(company, "m3", by="N. Haddad", at=at(3))
    after = decisions.registry_of(company)
    assert after[:-1] == before
    assert (after[-1]["model_id"], after[-1]["stage"], after[-1]["approved_by"]) == (
        "m3",
        "scoring",
        "N. Haddad",
    )
    assert used(company) == "m3"
    assert decisions.chosen_by_person(after, "contract") == "m3"


def test_rolling_back_returns_step_by_step_and_stops_at_the_first(company: Path) -> None:
    decisions.promote(company, "m3", by="N. Haddad", at=at(3))
    assert decisions.roll_back(company, None, by="N. Haddad", at=at(4))["model_id"] == "m2"
    assert decisions.roll_back(company, "contract", by="N. Haddad", at=at(5))["model_id"] == "m1"
    assert used(company) == "m1"
    with pytest.raises(DecisionRefused, match="none to return to"):
        decisions.roll_back(company, None, by="N. Haddad", at=at(6))
    assert len(decisions.registry_of(company)) == 8


def test_promoting_the_model_before_is_no_roll_back(company: Path) -> None:
    """m1, m2, then m1 again by promotion: m2 was in use before it, and m1 before that."""
    decisions.promote(company, "m1", by="N. Haddad", at=at(3))
    assert decisions.roll_back(company, None, by="N. Haddad", at=at(4))["model_id"] == "m2"
    assert decisions.roll_back(company, None, by="N. Haddad", at=at(5))["model_id"] == "m1"
    with pytest.raises(DecisionRefused, match="none to return to"):
        decisions.roll_back(company, None, by="N. Haddad", at=at(6))
    told = [row["decision"] for row in decisions.registry_of(company)]
    assert told == [*[None] * 5, "promoted", "rolled_back", "rolled_back"]


def test_a_return_in_rows_of_an_older_release_is_a_roll_back() -> None:
    rows = [row("m1", "scoring", 0), row("m2", "scoring", 1), row("m1", "scoring", 2, by="N. Haddad")]
    assert [one["model_id"] for one in decisions.in_use(rows, "contract")] == ["m1"]


def test_the_choice_is_given_back_to_the_champion_rule(company: Path) -> None:
    decisions.promote(company, "m1", by="N. Haddad", at=at(3))
    decisions.by_rule(company, "contract", at=at(4))
    assert used(company) == "m3"
    assert decisions.chosen_by_person(decisions.registry_of(company), "contract") is None


def test_a_person_may_keep_the_model_that_the_rule_chose(company: Path) -> None:
    decisions.promote(company, "m2", by="N. Haddad", at=at(3))
    assert decisions.chosen_by_person(decisions.registry_of(company), "contract") == "m2"
    with pytest.raises(DecisionRefused, match="in use"):
        decisions.promote(company, "m2", by="N. Haddad", at=at(4))


def test_an_unknown_model_is_told_with_those_there_are(company: Path) -> None:
    with pytest.raises(DecisionRefused, match=r"no model m9 \(there: m1, m2, m3\)"):
        decisions.promote(company, "m9", by="N. Haddad", at=at(3))


def test_a_model_with_altered_files_is_not_promoted(company: Path) -> None:
    (company / "churn" / "m3" / "model.json").write_text('{"kind":"other"}')
    with pytest.raises(ModelRefused, match="not the file"):
        decisions.promote(company, "m3", by="N. Haddad", at=at(3))
    assert used(company) == "m2"


def test_a_folder_with_another_models_files_is_refused(company: Path) -> None:
    save_model(company / "churn" / "m3", {"kind": "any"}, {"model_id": "m1"})
    with pytest.raises(ModelRefused, match="another model"):
        decisions.promote(company, "m3", by="N. Haddad", at=at(3))


def test_a_decision_is_never_dated_before_the_last_one(company: Path) -> None:
    with pytest.raises(DecisionRefused, match="clock"):
        decisions.promote(company, "m3", by="N. Haddad", at=at(1))


def test_with_two_classes_in_use_the_class_must_be_named(company: Path) -> None:
    rows = [row("t1", "scoring", 3, commitment="non_contract")]
    decisions.write(company, rows)
    with pytest.raises(DecisionRefused, match="say which class"):
        decisions.roll_back(company, None, by="N. Haddad", at=at(4))
    assert decisions.roll_back(company, "contract", by="N. Haddad", at=at(4))["model_id"] == "m1"


def test_a_write_that_breaks_off_leaves_no_decision(company: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = decisions.registry_of(company), sorted(decisions.history_folder(company).iterdir())

    def breaks_off(handle: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", breaks_off)
        with pytest.raises(OSError, match="no space left"):
            decisions.promote(company, "m3", by="N. Haddad", at=at(3))
    assert sorted(decisions.history_folder(company).iterdir()) == files
    assert decisions.registry_of(company) == before
    assert decisions.promote(company, "m3", by="N. Haddad", at=at(3))["model_id"] == "m3"


def test_a_decision_never_replaces_another(company: Path) -> None:
    target = decisions.write(company, [row("m3", "scoring", 3)])
    kept = target.read_bytes()
    with pytest.raises(FileExistsError):
        decisions.write(company, [row("m1", "scoring", 3)])
    assert target.read_bytes() == kept
    assert not list(target.parent.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and half a file"])
def test_a_stump_among_the_decisions_is_told_in_a_sentence(company: Path, content: bytes) -> None:
    stump = decisions.history_folder(company) / "decision-20260101T020000000000.parquet"
    stump.write_bytes(content)
    with pytest.raises(DecisionRefused, match=rf"{stump.name} cannot be read: .* Bring the file back"):
        decisions.promote(company, "m3", by="N. Haddad", at=at(3))


def test_without_models_there_is_nothing_to_roll_back(tmp_path: Path) -> None:
    with pytest.raises(DecisionRefused, match="nothing to roll back"):
        decisions.roll_back(tmp_path, None, by="N. Haddad", at=AT)
