"""A day's scores block by block: what is known of a block at once, and what only the whole day decides.

A row with its reasons and sentences takes some kilobytes, so a million of them do not fit into memory. Each
block is put aside on disk as soon as it is scored; when the places in the lists are known, the blocks come
back one by one, each with its share of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl


def with_places(
    blocks: Iterable[pl.DataFrame],
    places: Callable[[], tuple[list[int], list[bool]]],
    scratch: Path | None,
) -> Iterator[pl.DataFrame]:
    """The blocks in their order, each with value_rank, band_capacity and score_pct, the place of its p_90.

    places: of all rows, in their order, the place in the list and who is reached; asked once the blocks have
    all come. scratch: the folder to put them aside in, the system's own where none is given.
    """
    with tempfile.TemporaryDirectory(prefix=".scores-", dir=scratch) as folder:
        files, scores = [], []
        for number, block in enumerate(blocks):
            files.append(Path(folder) / f"{number}.arrow")
            block.write_ipc(files[-1], compression="zstd")
            scores.append(block["p_90"])
        if not files:
            return
        ranks, is_reached = places()
        decided = pl.DataFrame(
            {
                "score_pct": pl.concat(scores).to_frame().select(percentile("p_90")).to_series(),
                "value_rank": pl.Series(ranks, dtype=pl.Int64),
                "band_capacity": pl.Series(is_reached, dtype=pl.Boolean),
            }
        )
        first = 0
        for file in files:
            block = pl.read_ipc(file)
            file.unlink()
            yield block.hstack(decided[first : first + block.height])
            first += block.height


def percentile(column: str) -> pl.Expr:
    """Rank from 0 (lowest risk) to 100 among the customers of the day."""
    others = pl.max_horizontal(pl.col(column).count() - 1, 1)
    return ((pl.col(column).rank("min") - 1) * 100 / others).cast(pl.Float64).alias("score_pct")
