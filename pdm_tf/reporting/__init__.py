"""Reports for people: one self-contained HTML file each, made from what was measured.

Generic, of use to any report: `markup.py` (escaping), `page.py` (the document around
the sections), `charts.py` and `axes.py` (SVG), `tables.py`, `pictures.py`, `slider.py`,
and in `assets/` the one style sheet and the one script. The rest makes the report of a
learned degradation out of them.
"""
