"""Benchmarks: every candidate in one run, on the same data and sizes, taking turns."""
