"""The Python interface: what the commands do, as functions with results that show themselves. See docs/python.md.

Everything public is reached from `ownwords` itself: `ownwords.generate`, `ownwords.Run`, and so on.
"""
