"""Every code that the engine or the web refuses with is known, has a status, a sentence and a help page."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import open_app
from source_trees import parsed
from sqlalchemy import column, table, update
from sqlalchemy.exc import OperationalError

import billing
from billing.core.refusals import REFUSALS
from billing.store.store import open_store
from billing.store.tables import customers
from billing.web.answers import problem_from
from billing.web.problems import STATUS, WEB_CODES

RAISED = {"BillingError", "Held", "Problem"}


WEB = {"web", "api", "portal", "admin"}


def raised_codes() -> Iterator[tuple[str, str, str]]:
    """Where a code is raised by name: the part of the product, the code, file and line."""
    root = Path(billing.__file__).parent
    for path in sorted(root.rglob("*.py")):
        part = path.relative_to(root).parts[0]
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            codes = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            for code in codes:
                if name in RAISED and isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield part, code.value, f"{path.name}:{node.lineno}"


def test_every_code_that_is_raised_has_a_sentence_and_a_status() -> None:
    found = list(raised_codes())
    assert len(found) > 300
    engine = {(code, place) for part, code, place in found if part not in WEB and code not in REFUSALS}
    assert engine == set()
    assert {(code, place) for _part, code, place in found if code not in STATUS} == set()


def test_codes_are_sentences_of_errors_and_belong_to_one_side() -> None:
    assert set(STATUS) == {*REFUSALS, *WEB_CODES}
    assert set(REFUSALS) & set(WEB_CODES) == set()
    for code, status in STATUS.items():
        assert status in (
            202,
            400,
            401,
            403,
            404,
            405,
            406,
            408,
            409,
            412,
            413,
            414,
            415,
            422,
            428,
            429,
            431,
            500,
            503,
        )
        sentence = REFUSALS.get(code) or WEB_CODES[code][1]
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/customers/", 404, "not_found"),
        ("DELETE", "/docs/errors", 405, "method_not_allowed"),
        ("GET", "/docs/errors/no_such_code", 404, "not_found"),
    ],
)
def test_what_the_router_refuses_is_a_problem_too(method: str, path: str, status: int, code: str) -> None:
    with open_app() as client:
        answer = client.request(method, path)
    said = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, said["status"], said["code"]) == (status, status, code)
    assert said["type"] == f"https://api.example.com/docs/errors/{code}"
    assert said["request_id"] == answer.headers["x-request-id"]
    assert said["title"] == WEB_CODES[code][1]


def test_where_the_type_of_a_problem_leads_there_is_a_page() -> None:
    with open_app() as client:
        overview = client.get("/docs/errors").text
        for code in STATUS:
            page = client.get(f"/docs/errors/{code}")
            assert page.status_code == 200
            assert f"Status {STATUS[code]}." in page.text
            assert f'href="/docs/errors/{code}"' in overview


def test_what_nobody_foresaw_is_told_by_its_request_id_alone() -> None:
    with open_app() as client:
        answer = client.get("/v1/failing")
        said = answer.json()
        assert (answer.status_code, said["code"]) == (500, "internal")
        assert "detail" not in said
        assert "secret" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_database_that_is_away_or_busy_is_503_with_the_seconds_to_wait(tmp_path: Path) -> None:
    with pytest.raises(OperationalError) as away, open_store("postgresql://nobody@127.0.0.1:1/none") as store:
        store.rows(customers.select())
    problem = problem_from(away.value)
    assert (problem.status, problem.code, problem.headers) == (503, "unavailable", {"Retry-After": "5"})

    url = f"sqlite:///{tmp_path / 'billing.db'}"
    with open_store(url) as first, open_store(url) as second:
        first.migrate()
        second._run("PRAGMA busy_timeout=0")
        with first.transaction(), pytest.raises(Exception, match="locked") as busy, second.transaction():
            pass
    problem = problem_from(busy.value)
    assert (problem.status, problem.code, problem.headers) == (503, "busy", {"Retry-After": "1"})


def test_a_client_is_told_which_methods_an_address_has() -> None:
    with open_app() as client:
        assert sorted(client.post("/health/live").headers["allow"].split(", ")) == ["GET", "HEAD"]


def test_ready_says_whether_the_database_has_the_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'billing.db'}"
    with open_app(url) as client:
        assert client.get("/health/live").status_code == 200
        assert (client.get("/health/ready").status_code, client.get("/health/ready").json()["code"]) == (
            503,
            "unavailable",
        )
        with open_store(url) as store:
            store.migrate()
        assert client.get("/health/ready").json()["status"] == "ready"
        for form, why in (
            ("0035", "the schema is at 0035"),
            ("9999", "This program is older than the database"),
        ):
            with open_store(url) as store:
                store.execute(
                    update(table("alembic_version", column("version_num"))).values(version_num=form)
                )
            other = client.get("/health/ready")
            assert (other.status_code, other.headers["Retry-After"]) == (503, "5")
            assert why in other.json()["detail"]


@pytest.mark.parametrize("query", ["nam=a", "name=a&name=b", "name=a&x", "limit=5", "fields=,", "fields="])
def test_a_parameter_that_is_unknown_or_comes_twice_is_refused(query: str) -> None:
    with open_app() as client:
        answer = client.get(f"/v1/notes/a?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
        assert answer.json()["field"] == query.rpartition("&")[2].partition("=")[0]
        assert client.get("/v1/notes/a?name=a&fields=text").status_code == 200
