"""The description of the API is whole: each operation says what it takes, gives and refuses, by examples that
pass their own schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from doors import open_app
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from billing.api.examples import NoExample, example_of
from billing.api.openapi import operations
from billing.jobs.event_catalogue import TOPICS


@pytest.fixture(scope="module")
def made() -> Mapping[str, Any]:
    with open_app() as client:
        described: Mapping[str, Any] = client.get("/openapi.json").json()
    return described


def valid(made: Mapping[str, Any], schema: Mapping[str, Any], value: object) -> list[str]:
    """What of a value its schema does not take."""
    whole = {**schema, "components": made["components"]}
    found = jsonschema_rs.Draft202012Validator(whole).iter_errors(value)
    return [f"{error.instance_path}: {error.message}" for error in found]


def examples(part: Mapping[str, Any]) -> list[object]:
    if "example" in part:
        return [part["example"]]
    return [one["value"] for one in part.get("examples", {}).values()]


def described_parts(operation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything of an operation that has a schema: parameters, bodies, answers."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] not in ("fields", "expand", "after"):
            yield parameter["name"], parameter
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {media_type}", media
    for status, answer in operation["responses"].items():
        for media_type, media in answer.get("content", {}).items():
            if media_type.endswith("json"):
                yield f"{status} {media_type}", media


def test_it_is_openapi_3_1(made: Mapping[str, Any]) -> None:
    assert made["openapi"].startswith("3.1.")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(made)] == []


def test_every_part_of_every_operation_has_an_example_that_passes(made: Mapping[str, Any]) -> None:
    parts = {
        f"{method} {path} {name}": part
        for path, method, operation in operations(made)
        for name, part in described_parts(operation)
    }
    assert [where for where, part in parts.items() if not examples(part)] == []
    # One schema of all, as to read the components for each takes a hundred times as long.
    shown = {
        f"{where} {number}": one for where, part in parts.items() for number, one in enumerate(examples(part))
    }
    schemas = {where: parts[where.rpartition(" ")[0]]["schema"] for where in shown}
    assert valid(made, {"properties": schemas}, shown) == []


def test_every_operation_says_what_it_is_and_what_it_refuses(made: Mapping[str, Any]) -> None:
    names = [operation["operationId"] for *_, operation in operations(made)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(made):
        answers = operation["responses"]
        assert {"400", "401", "403", "429", "500", "503"} <= set(answers), path
        assert method == "get" or {"409", "412", "413", "415", "422"} <= set(answers), path
        assert "{" not in path or "404" in answers, path
        assert any(status[0] == "2" for status in answers), path
        assert operation["tags"], path
        scope = operation["x-scope"]
        assert scope == "each its own" or scope.partition(":")[2] in ("read", "write", "admin"), path
        for status, answer in answers.items():
            content = answer.get("content", {})
            if status[0] == "2" and "application/json" in content and "$ref" not in answer:
                assert content["application/json"]["schema"], (path, status)


def test_a_change_takes_a_key_and_the_tag_that_was_read(made: Mapping[str, Any]) -> None:
    for path, method, operation in operations(made):
        headers = {
            one["name"]: one["required"] for one in operation.get("parameters", ()) if one["in"] == "header"
        }
        if method == "get" or "x-needs-key" not in operation:
            assert "Idempotency-Key" not in headers, path
        else:
            assert headers["Idempotency-Key"] == operation["x-needs-key"], path
            assert "If-Match" in headers, path


def test_every_reference_leads_somewhere(made: Mapping[str, Any]) -> None:
    def references(part: object) -> Iterator[str]:
        if isinstance(part, Mapping):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for one in part.values():
                yield from references(one)
        elif isinstance(part, list):
            for one in part:
                yield from references(one)

    for reference in set(references(made)):
        found: Any = made
        for step in reference.removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        assert found


def test_the_problem_of_every_status_shows_what_is_answered(made: Mapping[str, Any]) -> None:
    with open_app() as client:
        said = client.post("/v1/notes", json={"text": 1, "other": 2}).json()
    shown = made["components"]["responses"]["Problem422"]["content"]["application/problem+json"]
    assert valid(made, shown["schema"], said) == []
    assert set(said) == set(shown["example"])
    for answer in made["components"]["responses"].values():
        part = answer["content"]["application/problem+json"]
        assert valid(made, part["schema"], part["example"]) == []


def test_it_says_of_each_kind_of_event_what_is_sent(made: Mapping[str, Any]) -> None:
    assert set(made["webhooks"]) == set(TOPICS)
    for topic, sent in made["webhooks"].items():
        part = sent["post"]["requestBody"]["content"]["application/json"]
        assert part["example"]["type"] == topic
        assert valid(made, part["schema"], part["example"]) == []


def test_it_is_given_without_a_key_and_names_no_secret() -> None:
    with open_app() as client:
        answer = client.get("/openapi.json", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert "gateway_ref" not in json.dumps(answer.json())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": r"^\d{4}-\d{2}$"},
        {"type": "string", "minLength": 30, "maxLength": 40},
        {"type": "integer", "exclusiveMinimum": 10, "maximum": 11},
        {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        {"type": ["null", "string"], "format": "date"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}, "minItems": 2},
        {"$ref": "#/components/schemas/Tree"},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}]},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
    ],
)
def test_an_example_is_found_for_any_shape(schema: Mapping[str, Any]) -> None:
    tree = {
        "type": "object",
        "required": ["name", "below"],
        "properties": {
            "name": {"type": "string"},
            "below": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        },
    }
    value = example_of(schema, {"Tree": tree})
    assert valid({"components": {"schemas": {"Tree": tree}}}, schema, value) == []


def test_a_text_that_none_is_found_for_is_told() -> None:
    with pytest.raises(NoExample):
        example_of({"type": "string", "pattern": "^[ʘǃ]{7}$"}, {})
