"""Sphinx configuration. Reference pages that can be derived from the code are written by `docs/generate.py`."""

project = "Kumo"
author = "The Kumo authors"
copyright = "The Kumo authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Kumo"
exclude_patterns = ["_build", "generate.py"]
