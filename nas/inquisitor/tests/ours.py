"""Imports every test of ours, in the order in which an audit runs and prints them."""

from nas.inquisitor.tests import (  # noqa: F401
    t00_availability,
    t01_lungs_removed,
    t02_lungs_only,
    t03_background,
    t04_marker,
    t05_frame,
    t06_style,
    t07_map,
    t08_source,
    t09_reversal,
    t13_geometry,
)
