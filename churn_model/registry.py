"""Model files: JSON tables and a manifest with the hash of each, checked before anything is read.

Every model is kept as numbers in tables (additive ones, hazards, trees with interactions), so loading runs no
code and asks for no library. Altered, foreign or newer files are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from churn_model.model import AdditiveModel, model_from_json

FORM = "tajdid-churn-model"
VERSION = 1
MODEL, MANIFEST = "model.json", "manifest.json"


class ModelRefused(Exception):
    """A model file that is altered, foreign or of a newer version. The message says which, and where."""


def model_id_of(content: Mapping[str, Any]) -> str:
    """Hash of everything that makes the model what it is: code version, data, settings."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_model(folder: Path, model: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Write the model's JSON and the manifest; that goes last, so a folder with one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps(model, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    (folder / MODEL).write_bytes(body)
    content = {
        "form": FORM,
        "version": VERSION,
        **manifest,
        "files": {MODEL: hashlib.sha256(body).hexdigest()},
    }
    (folder / MANIFEST).write_text(
        json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, default=str), encoding="utf-8"
    )


def additive_model_of(content: Mapping[str, Any], manifest: Mapping[str, Any], name: str) -> AdditiveModel:
    """The additive model that a content of model.json is. Raises ModelRefused, telling the model's `name`."""
    try:
        model = model_from_json(content)
    except ValueError as error:
        raise ModelRefused(f"{name}: {error}") from error
    if list(model.features) != manifest.get("features"):
        raise ModelRefused(f"{name}: the features of model and manifest differ")
    return model


def load_content(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What model.json holds, and the manifest, once the hash is found right. Raises ModelRefused."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelRefused(f"{folder} has no readable {MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("form") != FORM:
        raise ModelRefused(f"{folder}: {MANIFEST} is not of the form {FORM}")
    if manifest.get("version") != VERSION:
        raise ModelRefused(
            f"{folder}: version {manifest.get('version')} is not {VERSION}, which this release reads"
        )
    if not isinstance(manifest.get("files"), dict) or list(manifest["files"]) != [MODEL]:
        raise ModelRefused(f"{folder}: the manifest must name {MODEL} and nothing else")
    try:
        body = (folder / MODEL).read_bytes()
    except OSError as error:
        raise ModelRefused(f"{folder} has no readable {MODEL}: {error}") from error
    if hashlib.sha256(body).hexdigest() != manifest["files"][MODEL]:
        raise ModelRefused(f"{folder}: {MODEL} is not the file the manifest was made for")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise ModelRefused(f"{folder}: {MODEL} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelRefused(f"{folder}: {MODEL} holds no model")
    return content, manifest
