"""Jinja templates, style sheet and script of the pages; a package so that they are installed with the code."""
