"""From a command line to settings, and from a mistake to its answer.

Nothing in this package imports torch, so that a wrong setting is answered in about a second.
"""
