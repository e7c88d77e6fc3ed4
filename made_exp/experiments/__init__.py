"""From settings to numbers, draws and pictures."""
