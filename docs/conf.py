"""The documentation as a site: `pip install -e ".[docs]"`, then `make docs`."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

from flags_reference import write_pages  # noqa: E402 - found by the line above

write_pages(_HERE / "reference")

project = "pdm_tf"
author = "the pdm_tf developers"
copyright = "2026, the pdm_tf developers"  # noqa: A001 - Sphinx's name
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3  # links to headings, as on GitHub
html_theme = "furo"  # light and dark; loads nothing from elsewhere
html_title = "pdm_tf"
exclude_patterns = ["_build"]
