"""Turns templates into pages. Each surface (portal, admin) has its templates beside those that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from billing.web.assets import address_of
from billing.web.languages import BILLING, LANGUAGES, words

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of pages: what they load and run is of this house, and stands in files."""
SHARED_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Pages:
    """The pages of one package served below a prefix such as `/portal`."""

    package: str
    prefix: str
    _environments: dict[str, Environment] = field(default_factory=dict)

    def render(self, template: str, language: str, values: Mapping[str, Any]) -> str:
        """The page of a template. `values` join what all templates know: `words`, `asset`, `prefix`,
        `languages`."""
        return self._environment(language).get_template(template).render(values)

    def _environment(self, language: str) -> Environment:
        known = self._environments.get(language)
        if known is None:
            known = self._environments[language] = self._made(language)
        return known

    def _made(self, language: str) -> Environment:
        spoken = words(language, self.package)
        folders = [BILLING / self.package / "templates", SHARED_TEMPLATES]
        environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        environment.install_gettext_translations(spoken, newstyle=True)  # type: ignore[attr-defined]
        environment.globals |= {
            "words": spoken,
            "prefix": self.prefix,
            "languages": LANGUAGES,
            "asset": lambda name: address_of(self.prefix, name),
        }
        return environment
