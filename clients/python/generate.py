"""Writes tajdid_client/operations.py from the specification of the API, which comes in as JSON:

curl -s https://billing.example.com/openapi.json | python generate.py > tajdid_client/operations.py
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = '''"""Every operation of the API, and the shapes of what goes in and comes out.

Written by generate.py from the specification; not to be changed by hand.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict

from tajdid_client.calling import Calling, path_of
'''
Schema = Mapping[str, Any]


def name_of(schema: str) -> str:
    """The name of a shape: of those that several modules have, with that of its module."""
    parts = re.sub(r"^billing__api__shapes__", "", schema).replace("-", "_").split("_")
    return "".join(part[:1].upper() + part[1:] for part in parts if part)


def kind_of(schema: Schema) -> str:
    """A schema as a type."""
    if "$ref" in schema:
        return name_of(schema["$ref"].rsplit("/", 1)[-1])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]".replace("'", '"')
    if "enum" in schema:
        return "Literal[" + ", ".join(json.dumps(one) for one in schema["enum"]) + "]"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(kind_of(one) for one in schema[several]))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{kind_of(schema.get('items', {}))}]"
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"dict[str, {kind_of(more)}]" if isinstance(more, dict) else "dict[str, Any]"
    plain = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
    return plain.get(str(kind), "Any")


def told(text: str, indent: str) -> list[str]:
    """A text as a docstring."""
    words = " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())
    lines = textwrap.wrap(words, 100 - len(indent))
    if not lines:
        return []
    lines[0] = f'"""{lines[0]}'
    if lines[-1].endswith('"'):
        lines[-1] += " "
    lines[-1] += '"""'
    return [indent + line for line in lines]


def shape(name: str, schema: Schema) -> list[str]:
    """A shape as a TypedDict."""
    if schema.get("type") != "object" and "properties" not in schema:
        return [f"{name_of(name)} = {kind_of(schema)}"]
    needed = set(schema.get("required", ()))
    members = {
        member: kind_of(one) if member in needed else f"NotRequired[{kind_of(one)}]"
        for member, one in schema.get("properties", {}).items()
    }
    if any(not member.isidentifier() or keyword.iskeyword(member) for member in members):
        inner = ", ".join(f"{json.dumps(member)}: {kind!r}" for member, kind in members.items())
        return [f"{name_of(name)} = TypedDict({json.dumps(name_of(name))}, {{{inner}}})"]
    lines = [f"class {name_of(name)}(TypedDict):", *told(schema.get("description", ""), "    ")]
    lines += [f"    {member}: {kind}" for member, kind in members.items()]
    return lines if len(lines) > 1 else [*lines, "    pass"]


def shapes(specification: Schema) -> Iterator[list[str]]:
    for name, schema in sorted(
        specification["components"]["schemas"].items(), key=lambda one: name_of(one[0])
    ):
        if "ListOf_" not in name:
            yield shape(name, schema)


def _content(answer: Schema) -> Schema | None:
    found: Schema | None = answer.get("content", {}).get("application/json", {}).get("schema")
    return found


def _item(specification: Schema, schema: Schema | None) -> Schema | None:
    """What a list holds, where the schema is one of a list."""
    name = (schema or {}).get("$ref", "").rsplit("/", 1)[-1]
    if "ListOf_" not in name:
        return None
    found: Schema = specification["components"]["schemas"][name]["properties"]["data"]["items"]
    return found


def _argument(parameter: Schema) -> str:
    name: str = parameter["name"].replace("-", "_")
    return name + "_" if keyword.iskeyword(name) else name


def method(specification: Schema, verb: str, path: str, said: Schema, name: str) -> list[str]:
    """An operation as a method."""
    given = said.get("parameters", ())
    ids = [one for one in given if one["in"] == "path"]
    query = [one for one in given if one["in"] == "query"]
    status, answer = next(
        (int(code), one)
        for code, one in sorted(said["responses"].items(), key=lambda one: (one[0] == "202", one[0]))
        if code.startswith("2")
    )
    schema = _content(answer)
    item = _item(specification, schema)
    takes = [f"{_argument(one)}: {kind_of(one['schema'])}" for one in ids]
    body = said.get("requestBody")
    sent = _content(body) if body else None
    if body:
        takes.append(f"body: {kind_of(sent) if sent else 'Any'}")
    named = [one for one in query if not (item and one["name"] == "after")]
    options = [
        f"{_argument(one)}: {_optional(one['schema'])}" + ("" if one.get("required") else " = None")
        for one in sorted(named, key=lambda one: not one.get("required"))
    ]
    if verb != "get":
        options += ["idempotency_key: str | None = None", "if_match: str | None = None"]
    signature = ", ".join(["self", *takes, *(["*", *options] if options else [])])
    result = f"Iterator[{kind_of(item)}]" if item else kind_of(schema) if schema else "None"
    # A method may be called `list`.
    signature, result = (one.replace("list[", "builtins.list[") for one in (signature, result))
    lines = [f"    def {name}({signature}) -> {result}:", *told(said.get("description", ""), "        ")]
    where = f'path_of("{path}"' + "".join(f", {one['name']}={_argument(one)}" for one in ids) + ")"
    asked = "{" + ", ".join(f'"{one["name"]}": {_argument(one)}' for one in named) + "}"
    if item:
        return [*lines, f"        return self._api.pages({where}, query={asked})"]
    more = f", query={asked}" if named else ""
    more += ", body=body" if body else ""
    more += f", status={status}" if status != 200 else ""
    more += ", idempotency_key=idempotency_key, if_match=if_match" if verb != "get" else ""
    return [
        *lines,
        f'        {"answer: " + result + " = " if schema else ""}self._api.call("{verb.upper()}", '
        f"{where}{more})",
        *(["        return answer"] if schema else []),
    ]


def _optional(schema: Schema) -> str:
    kind = kind_of(schema)
    return kind if "None" in kind.split(" | ") else f"{kind} | None"


def groups(specification: Schema) -> dict[str, list[str]]:
    """The methods of each group: those of one module of routes."""
    found: dict[str, list[str]] = {}
    for path, verbs in specification["paths"].items():
        for verb, said in verbs.items():
            words = said["operationId"].split("_")
            group = next((one for one in _GROUPS if said["operationId"].startswith(f"{one}_")), words[0])
            name = said["operationId"].removeprefix(f"{group}_") or "call"
            name = "list" if name == group else name
            name = name + "_" if keyword.iskeyword(name) else name
            found.setdefault(group, []).extend(method(specification, verb, path, said, name))
            found[group].append("")
    return found


_GROUPS = ("purchase_orders", "test_clock", "payment_methods", "credit_notes", "price_lists")
"""Groups whose name has two words."""


def written(specification: Schema) -> str:
    """The module."""
    lines = [HEAD]
    for one in shapes(specification):
        lines += ["", *one, ""]
    found = groups(specification)
    for group, methods in sorted(found.items()):
        lines += ["", f"class {name_of(group)}Operations:"]
        lines += [
            "    def __init__(self, api: Calling) -> None:",
            "        self._api = api",
            "",
            *methods,
            "",
        ]
    lines += ["", "class Tajdid(Calling):", '    """The API of one company, by what it is about."""', ""]
    lines += ["    def __init__(self, base_url: str, key: str, **settings: Any) -> None:"]
    lines += ['        """settings: see Calling."""', "        super().__init__(base_url, key, **settings)"]
    lines += [f"        self.{group} = {name_of(group)}Operations(self)" for group in sorted(found)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(written(json.load(sys.stdin)))
