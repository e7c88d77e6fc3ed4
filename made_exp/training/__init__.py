"""How a model is trained: batches, steps, optimizers, the loop, several processes."""
