"""The page about operations names commands, settings and ports that are there."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from tajdid import running_commands
from tajdid.cli import app
from tajdid.workspace import ADDRESSES, KEYS, NETWORKS, NOTICES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_command_of_the_page_is_there() -> None:
    known = typer.main.get_command(app)
    commands = set(re.findall(r"tajdid ((?:billing |warehouse )?[a-z-]+)", PAGE)) - {"login", "keys"}
    assert {"serve", "backup", "billing run", "billing migrate"} <= commands
    for command in commands:
        found = known
        for word in command.split():
            group = getattr(found, "commands", {})
            assert word in group, command
            found = group[word]


def test_settings_and_ports_are_those_of_the_product() -> None:
    block = PAGE[PAGE.index("```toml") : PAGE.index("What is left out")]
    serve = block[block.index("[serve]") : block.index("[gateway]")]
    assert set(re.findall(r"^(\w+) =", serve, re.M)) == {*ADDRESSES, *NETWORKS, *NOTICES}
    assert set(re.findall(r"^(\w+) =", block[: block.index("[serve]")], re.M)) <= KEYS
    for port in (running_commands.API, running_commands.PORTAL, running_commands.ADMIN):
        assert str(port) in PAGE
