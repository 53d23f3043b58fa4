"""One self-contained page about a run: what was trained, on what, how well, and why.

    python -m qcs_jax.report runs/demo

`python -m qcs_jax.main --mode=eval` writes it, too.
"""

PAGE = "report/index.html"  # in the workdir
