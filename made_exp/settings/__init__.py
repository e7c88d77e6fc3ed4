"""What can be chosen, with its default and its range; imports no torch."""
