"""Distributions of one variable given K numbers that a network computed from earlier variables."""
