"""Tables of the user's, in files or in memory: read, understood, and written back."""
