"""Datasets: one loader per family, all returning the same record with three named splits.

`registry.load_dataset` loads one by name, `base.Dataset` is the record. Nothing is imported here,
so that the registry's table is at hand without torch.
"""
