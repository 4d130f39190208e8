"""Model files: JSON tables and a manifest with the hash of each, checked before anything is read.

A model file holds numbers only, so loading it runs no code. Altered, foreign or newer files are refused.
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


class ModelRefused(Exception):
    """A model file that is altered, foreign or of a newer version. The message says which, and where."""


def model_id_of(content: Mapping[str, Any]) -> str:
    """Hash of everything that makes the model what it is: code version, data, settings."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_model(folder: Path, model: AdditiveModel, manifest: Mapping[str, Any]) -> None:
    """Write model.json and manifest.json; the manifest goes last, so a folder with one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps(model.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    (folder / "model.json").write_bytes(body)
    content = {
        "form": FORM,
        "version": VERSION,
        **manifest,
        "files": {"model.json": hashlib.sha256(body).hexdigest()},
    }
    (folder / "manifest.json").write_text(
        json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, default=str), encoding="utf-8"
    )


def load_model(folder: Path) -> tuple[AdditiveModel, dict[str, Any]]:
    """The model of a folder and its manifest. Raises ModelRefused."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelRefused(f"{folder} has no readable manifest.json: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("form") != FORM:
        raise ModelRefused(f"{folder}: manifest.json is not of the form {FORM}")
    if manifest.get("version") != VERSION:
        raise ModelRefused(
            f"{folder}: version {manifest.get('version')} is not {VERSION}, which this release reads"
        )
    if list(manifest.get("files", {})) != ["model.json"]:
        raise ModelRefused(f"{folder}: the manifest must name model.json and nothing else")
    try:
        body = (folder / "model.json").read_bytes()
    except OSError as error:
        raise ModelRefused(f"{folder} has no readable model.json: {error}") from error
    if hashlib.sha256(body).hexdigest() != manifest["files"]["model.json"]:
        raise ModelRefused(f"{folder}: model.json is not the file the manifest was made for")
    try:
        model = model_from_json(json.loads(body))
    except ValueError as error:
        raise ModelRefused(f"{folder}: {error}") from error
    if list(model.features) != manifest.get("features"):
        raise ModelRefused(f"{folder}: the features of model and manifest differ")
    return model, manifest
