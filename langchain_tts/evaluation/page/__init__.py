"""A run as a page: figures and tables of what was measured, in one HTML file.

`study.py` and the modules that compute know nothing of drawing, `draw_*.py` know
nothing of HTML, and `build.py` puts the three together.
"""
