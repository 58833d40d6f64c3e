"""What a notebook shows: a training while it happens, and values as HTML that needs no script and nothing else.

A type says in `_repr_html_` which of these functions draws it.
"""

from thalweg.show.notebook.live import Notebook, in_notebook
from thalweg.show.notebook.run import run_html
from thalweg.show.notebook.values import (
    check_html,
    comparison_html,
    diagnosis_html,
    finding_html,
    findings_html,
    pairs_html,
    plan_html,
    result_html,
)

__all__ = [
    "Notebook",
    "check_html",
    "comparison_html",
    "diagnosis_html",
    "finding_html",
    "findings_html",
    "in_notebook",
    "pairs_html",
    "plan_html",
    "result_html",
    "run_html",
]
