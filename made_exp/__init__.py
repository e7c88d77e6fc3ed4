"""made-exp: masked autoencoders for distribution estimation, with exact likelihoods.

Reading order: orderings, masks, conditionals, networks, sampling, made, evaluation, training.
"""

__version__ = "0.1.0"
