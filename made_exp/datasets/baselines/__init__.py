"""Simple densities of any table: they stand beside every result, and can be part of a model."""
