"""A model on a benchmark: its answers, their scores, and how sure one can be of them."""
