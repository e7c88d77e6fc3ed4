"""Settings: what can be chosen, how it is checked, and how mistakes are answered.

Nothing in this package imports torch, so that a wrong setting is answered in about a second.
"""
