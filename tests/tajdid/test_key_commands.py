"""`tajdid keys`: the first key of a company comes from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from billing.service.api_keys import key_of
from billing.store.audit import entries
from billing.store.store import open_store
from tajdid.cli import app

Run = Callable[..., Result]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of the only company of a workspace."""
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "company.toml").write_text('title_en = "Atlas"\n', encoding="utf-8")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    monkeypatch.setenv("TAJDID_ACTOR", "omar")
    return f"sqlite:///{tmp_path / 'atlas' / 'billing.db'}"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words])


def test_a_key_is_made_listed_and_revoked(url: str) -> None:
    made = run("create", "warehouse", "--scope", "usage:write", "--scope", "keys:read")
    assert made.exit_code == 0, made.output
    first, token = made.output.splitlines()
    key_id = first.partition(":")[0]
    with open_store(url) as store:
        key = key_of(store, token, "live")
        assert key is not None
        assert (key["key_id"], key["owner"], key["scopes"]) == (key_id, "omar", "keys:read usage:write")
        (entry,) = entries(store)
        assert (entry["actor"], entry["act"], entry["subject_id"]) == ("omar", "create_key", key_id)
        assert entry["arguments"]["key_hash"] == "***"
    listed = run("list").output
    assert key_id in listed
    assert key["prefix"] in listed
    assert token not in listed
    assert run("revoke", key_id).exit_code == 0
    with open_store(url) as store:
        key = key_of(store, token, "live")
        assert key is not None
        assert key["revoked_at"] is not None
    told = run("forget")
    assert told.exit_code == 0, told.output
    assert "api_replies" in told.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create", "x", "--scope", "everything"), "There is no such scope"),
        (("create", "x", "--scope", "usage:read", "--customer", "nobody"), "There is no such customer"),
        (("create", "x", "--scope", "usage:read", "--expires", "2020-01-01"), "The period holds no day"),
        (("create", "x", "--scope", "usage:read", "--expires", "soon"), "is no date"),
        (("revoke", "ak_none"), "There is no such API key"),
    ],
)
@pytest.mark.usefixtures("url")
def test_what_cannot_be_is_refused_in_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    refused = run(*words)
    assert refused.exit_code == 2
    assert sentence in refused.output
