"""Reports for people: one self-contained HTML file each, drawn from JSON and arrays.

Of use to any report: `page.py` (the document around the sections), `rendering.py` (what
fills the templates of `templates/`, everything escaped, and tables that sort),
`charts.py`, and in `assets/` the one style sheet and the one script. A page is composed
of sections: `run_page.py` of what a run has learned, `evaluation.py` and
`comparison.py` of scores, which they also give as text. No TensorFlow is needed, and
none is loaded.
"""
