"""A bundle: one price, posted once, and shared over the components it covers for tax and revenue."""

from collections.abc import Sequence

import polars as pl

from billing.core.money import PPM, product, wide, with_shares


def with_bundle_shares(rows: pl.DataFrame, names: Sequence[str], bundles: pl.DataFrame) -> pl.DataFrame:
    """Posted columns of the bundle's whole, turned into what falls to the row's own component.

    rows: with `price_id` and `component_id`. bundles: one row a price and component it covers (`price_id`,
    `member_id`, `position`, `bundle_share_ppm`). The shares of a total add up to it; ties go to the earlier
    component. Rows of other prices stay as they are.
    """
    numbered = rows.with_row_index("_line")
    spread = numbered.select("_line", "price_id", "component_id", *names).join(bundles, on="price_id")
    if spread.is_empty():
        return rows
    spread = spread.sort("_line", "position")
    for name in names:
        spread = with_shares(spread, f"_{name}_share", total=name, weight="bundle_share_ppm", group="_line")
    own = spread.filter(pl.col("component_id") == pl.col("member_id")).select(
        "_line",
        pl.lit(True).alias("_is_member"),
        *(pl.col(f"_{name}_share").cast(pl.Int64) for name in names),
    )
    share = pl.when(pl.col("_is_member"))
    return (
        numbered.join(own, on="_line", how="left", maintain_order="left")
        .with_columns(share.then(f"_{name}_share").otherwise(name).alias(name) for name in names)
        .select(rows.columns)
    )


def with_exact_shares(rows: pl.DataFrame, bundles: pl.DataFrame) -> pl.DataFrame:
    """The exact amount and discount of the whole, turned into the component's share."""
    shares = bundles.select("price_id", pl.col("member_id").alias("component_id"), "bundle_share_ppm")
    weight = wide(pl.col("bundle_share_ppm")).fill_null(1)
    whole = pl.when(pl.col("bundle_share_ppm").is_null()).then(1).otherwise(PPM)
    return (
        rows.join(shares, on=["price_id", "component_id"], how="left", maintain_order="left")
        .with_columns(
            *(product(pl.col(f"{of}_num"), weight).alias(f"{of}_num") for of in ("amount", "discount")),
            *(product(pl.col(f"{of}_den"), whole).alias(f"{of}_den") for of in ("amount", "discount")),
        )
        .drop("bundle_share_ppm")
    )
