"""The density: masked layers and networks, MADE, sampling, evaluation."""
