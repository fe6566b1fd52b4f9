"""What the shipped teacher and student were trained with."""

from __future__ import annotations

from dataclasses import replace

from ownwords.world.data import Mixture
from ownwords.world.train import Recipe

RECIPES = {
    # Deep and fluent in both styles, mostly in its own, long-winded one.
    "teacher": Recipe(
        hidden=192, layers=10, layers_at_start=4, heads=3, intermediate=512,
        mixture=Mixture(long_winded=0.7, seed=10**9),
        tokens=16_000_000, grow_at=10_000_000, decay_from=10_500_000, learning_rate=4e-3,
    ),
    # Shallow, terse, and has hardly seen the other style.
    "student": Recipe(
        hidden=128, layers=3, layers_at_start=3, heads=2, intermediate=384,
        mixture=Mixture(long_winded=0.002, seed=2 * 10**9),
        tokens=2_800_000, grow_at=0, decay_from=1_600_000, learning_rate=4e-3,
    ),
    # A teacher that writes like the student: not shipped, for measuring speculation on a pair that agrees.
    "same-style": Recipe(
        hidden=192, layers=10, layers_at_start=4, heads=3, intermediate=512,
        mixture=Mixture(long_winded=0.002, seed=3 * 10**9),
        tokens=4_000_000, grow_at=2_600_000, decay_from=2_400_000, learning_rate=4e-3,
    ),
}  # fmt: skip


def scaled(recipe: Recipe, tokens: int) -> Recipe:
    """The same recipe over another number of tokens."""
    factor = tokens / recipe.tokens
    return replace(
        recipe, tokens=tokens, grow_at=round(recipe.grow_at * factor), decay_from=round(recipe.decay_from * factor)
    )
