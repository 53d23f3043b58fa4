"""The paper's figures, from a checkpoint and images, and the page about a run.

Every drawing function takes plain arrays and gives a matplotlib `Figure`:

    from qcs_jax.figures import charts
    from qcs_jax.figures import style
    style.save(charts.confusion(counts, class_names), "figures", "confusion")
"""

from qcs_jax.system.errors import UserError

PAGE = "report/index.html"  # in the workdir


class Unavailable(UserError):
    """A run, or its images, cannot have this figure; others may be possible."""


# What `qcs-jax visualize` draws, and the figures of the paper that it is.
FIGURES = {
    "heatmaps": "what faces of each class share with faces of each other (Figure 8)",
    "attention": "where each level of the pyramid attends (Figure 9)",
    "negatives": "how attention moves with the negative (Figure 13)",
    "matrices": "dot products, similarities and distances of pairs (Figures 4, 6)",
    "losses": "training losses, test NLL and accuracy by epoch (Figure 7)",
    "confusion": "confusion matrix of the base branch (Figure 12b)",
    "distribution": "images of each class (Figure 12a)",
    "embedding": "base features in the plane, by t-SNE",
}
