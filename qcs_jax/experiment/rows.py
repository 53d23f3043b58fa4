"""What the rows of a table are: the fields that make each of them."""

from __future__ import annotations

import dataclasses

from qcs_jax import models
from qcs_jax.compare.published import dcs_fields


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      name: Name of its folder.
      label: What the table calls it.
      fields: What it sets, by dotted names; `model.name` is one of them.
    """

    name: str
    label: str
    fields: dict[str, str]


def _information(name: str) -> Row:
    fields = {"model.name": "qcs", "model.information": name}
    return Row(name, f"qcs: {name.upper()}", fields)


TABLES = {
    "networks": tuple(Row(n, n, {"model.name": n}) for n in models.BRANCHES),
    "1": (
        Row("1_baseline", "1 baseline", {"model.name": "baseline"}),
        Row("2_csa_none", "2 dcs: CSA, no connection", dcs_fields("csa", "none")),
        Row("3_sdpa_gap", "3 dcs: SDPA, GAP", dcs_fields("sdpa", "gap")),
        Row("4_csa_gap", "4 dcs: CSA, GAP", dcs_fields("csa", "gap")),
        Row(
            "5_csa_bilinear",
            "5 dcs: CSA, bilinear pooling",
            dcs_fields("csa", "bilinear"),
        ),
        Row("6_csa_vit", "6 dcs: CSA, ViT", dcs_fields("csa", "vit")),
        Row("7_csa_vit_kl", "7 dcs: CSA, ViT, KL", dcs_fields("csa", "vit", "kl")),
    ),
    "2": (_information("s"), _information("d"), _information("sd")),
}

# Where the paper's numbers for the rows are; None: wherever the variant is.
PAPER_TABLE = {"networks": None, "1": 1, "2": 2}
