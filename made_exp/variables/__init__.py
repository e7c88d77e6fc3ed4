"""What one column is, and how it enters and leaves the network."""
