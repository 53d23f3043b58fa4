"""What the rows of a table are: a network, and the fields that make the row."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      name: Of its folder.
      label: In the table.
      network: "baseline", "dcs" or "qcs".
      fields: What it sets beside the network, by dotted names.
    """

    name: str
    label: str
    network: str
    fields: dict[str, str] = dataclasses.field(default_factory=dict)


def _table1(
    name: str,
    label: str,
    interaction: str,
    connection: str,
    distillation: str = "none",
) -> Row:
    fields = {
        "model.interaction": interaction,
        "model.connection": connection,
        "loss.distillation": distillation,
    }
    return Row(name, label, "dcs", fields)


def _table2(information: str) -> Row:
    fields = {"model.information": information}
    return Row(information, f"qcs: {information.upper()}", "qcs", fields)


TABLES = {
    "networks": tuple(Row(name, name, name) for name in ("baseline", "dcs", "qcs")),
    "1": (
        Row("1_baseline", "1 baseline", "baseline"),
        _table1("2_csa_none", "2 dcs: CSA, no connection", "csa", "none"),
        _table1("3_sdpa_gap", "3 dcs: SDPA, GAP", "sdpa", "gap"),
        _table1("4_csa_gap", "4 dcs: CSA, GAP", "csa", "gap"),
        _table1("5_csa_bilinear", "5 dcs: CSA, bilinear pooling", "csa", "bilinear"),
        _table1("6_csa_vit", "6 dcs: CSA, ViT", "csa", "vit"),
        _table1("7_csa_vit_kl", "7 dcs: CSA, ViT, KL", "csa", "vit", "kl"),
    ),
    "2": (_table2("s"), _table2("d"), _table2("sd")),
}

# Where the paper's numbers for the rows are; None: wherever the variant is.
PAPER_TABLE = {"networks": None, "1": 1, "2": 2}
