"""How well the churn models rank and tell on open data they were not made for: `make bench-churn`.

Claim: with settings that no data set has touched, the champion chosen inside the training rows keeps the
gates of `tests/churn/gates/*.toml`. The figures of every candidate and rule are printed, mean over the test
splits. A data set that is not there is named and skipped.

The folder of the data sets is the first argument, else TAJDID_CHURN_DATA, else data/.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from churn_model.evaluate import evaluate_file
from tajdid.churn_events import evaluate_events

ROOT = Path(__file__).resolve().parent.parent
GATES = ROOT / "tests" / "churn" / "gates"
SHOWN = ("auc", "ap", "brier", "ece", "lift_10", "harrell_c", "uno_c", "ibs")


def main() -> int:
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TAJDID_CHURN_DATA", str(ROOT / "data"))
    worst = 0
    with tempfile.TemporaryDirectory() as scratch:
        for gates in sorted(GATES.glob("*.toml")):
            worst = max(worst, evaluated(gates, Path(named), Path(scratch)))
    return 1 if worst else 0


def evaluated(gates: Path, data: Path, scratch: Path) -> int:
    """Evaluate one description with its file taken from the folder of the data sets; the exit code."""
    text = gates.read_text(encoding="utf-8")
    found = re.search(r'^file = "(?:\.\./)*data/(.*)"$', text, flags=re.MULTILINE)
    assert found is not None, f"{gates} names no file under data/"
    file = (data / found[1]).resolve()
    print(f"\n== {gates.stem} ({file.name})")
    if not file.is_file():
        print(f"{file} is not there: skipped")
        return 0
    description = scratch / gates.name
    description.write_text(text.replace(found[0], f"file = {json.dumps(str(file))}"), encoding="utf-8")
    out = scratch / gates.stem
    started = time.process_time()
    code = evaluate_file(description, out, evaluate_events=evaluate_events)
    print(f"{time.process_time() - started:.0f} CPU seconds, exit code {code}")
    if (out / "metrics.json").exists():
        show(json.loads((out / "metrics.json").read_text(encoding="utf-8")))
    return code


def show(content: dict[str, object]) -> None:
    """The mean figures, one line a candidate."""
    figures = content["figures"]
    assert isinstance(figures, list)
    means = {(row["candidate"], row["metric"]): row["value"] for row in figures if row["split"] is None}
    metrics = [name for name in SHOWN if any(metric == name for _, metric in means)]
    print(f"{'':18}" + "".join(f"{name:>11}" for name in metrics))
    for candidate in dict.fromkeys(candidate for candidate, _ in means):
        values = [means.get((candidate, metric)) for metric in metrics]
        print(f"{candidate:18}" + "".join(f"{'–' if v is None else format(v, '.4f'):>11}" for v in values))
    print(f"champion by fold: {content.get('champion_by_fold', content.get('champion'))}")


if __name__ == "__main__":
    sys.exit(main())
