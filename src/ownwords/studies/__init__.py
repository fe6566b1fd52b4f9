"""Controlled studies: arms over training seeds and problems, with intervals."""
