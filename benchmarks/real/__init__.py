"""Figures of real pretrained models: the parts of `benchmarks/real_pair.py`."""
