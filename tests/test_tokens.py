"""The table of tokens: what is not known stays unknown, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ownwords.io.changes import changes
from ownwords.records.tokens import Tokens
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER, UNKNOWN


def test_columns_have_their_types_and_one_length():
    tokens = Tokens(prompt_ids=[1, 2], token_ids=[3, 4, 5], student_rank=np.ones(3), pass_mass=[1, 0.5, 1])
    assert tokens.token_ids.dtype == tokens.student_rank.dtype == np.int32 and tokens.pass_mass.dtype == np.float32
    assert tokens.ids.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match=r"pass_mass has the shape \(2,\), expected \(3,\)"):
        Tokens(prompt_ids=[], token_ids=[3, 4, 5], pass_mass=[1, 0.5])


def test_nobody_is_made_up():
    bare = Tokens(prompt_ids=[1], token_ids=[2, 3])
    assert bare.free.all() and not any(bare.by(who).any() for who in (TEACHER, STUDENT, FORCED))
    for unknown in (lambda: bare.surprisal, lambda: bare.column("source")):
        with pytest.raises(ValueError, match="these tokens have no "):
            unknown()
    foreign = Tokens(prompt_ids=[1], token_ids=[2, 3], source=[FORCED, UNKNOWN])
    assert foreign.free.tolist() == [False, True] and not foreign.by(TEACHER).any() and not foreign.by(STUDENT).any()


def test_changes_between_settings():
    old, new = {"gate": "always", "betas": (0.9, 0.95), "rank": None}, {"gate": "never", "betas": [0.9, 0.95], "k": 4}
    assert changes(old, new) == "gate: always -> never; k: (not set) -> 4"
    assert changes(new, new | {"rank": None}) == ""
