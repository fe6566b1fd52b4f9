"""ownwords: reasoning traces in the student's own words."""

__version__ = "0.1.0"
