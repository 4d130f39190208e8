"""`make clean` takes what `make` can make again, and nothing that a user put there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_clean_removes_the_sample_companies_and_leaves_a_users_own(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    for name in ("retail", "atlas", "acme"):
        (tmp_path / "workspace" / name).mkdir(parents=True)
        (tmp_path / "workspace" / name / "company.toml").write_text(f'name = "{name}"\n')
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["acme"]
    shutil.rmtree(tmp_path / "workspace" / "acme")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / "workspace").exists()
