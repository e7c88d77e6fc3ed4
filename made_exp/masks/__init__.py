"""Who may look at whom: orderings, degrees, masks."""
