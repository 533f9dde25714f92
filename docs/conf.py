"""The documentation as a site: `pip install -e ".[docs]"`, then `make docs`."""

project = "pdm_tf"
author = "the pdm_tf developers"
copyright = "2026, the pdm_tf developers"  # noqa: A001 - Sphinx's name
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3  # links to headings, as on GitHub
html_theme = "furo"  # light and dark; loads nothing from elsewhere
html_title = "pdm_tf"
exclude_patterns = ["_build"]
