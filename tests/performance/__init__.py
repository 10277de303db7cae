"""Measurements, each as ratios within one run; ``python -m tests.performance.NAME --json`` prints them."""
