"""What one can ask of a trained density: scores, draws, probabilities; it knows no run folders."""
