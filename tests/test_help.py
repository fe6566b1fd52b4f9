"""The help of every option of every command: one clear sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from cyclopts import App

from ownwords.cli.app import app

LONGEST = 180
"""characters of an option's help, without what stands in brackets at its end"""
MUDDY = re.compile(r"\b(likewise|so many|where to|the same for|to come|of which)\b", re.IGNORECASE)


def commands(parent: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Those that do something, with the words that call them."""
    for name in parent:
        if not name.startswith("-"):
            one, words = parent[name], (*path, name)
            if one.default_command:
                yield words, one
            else:
                yield from commands(one, words)


COMMANDS = dict(commands(app))


def test_there_are_as_many_commands_as_ever():
    assert len(COMMANDS) == 22


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_an_option_is_one_sentence(words):
    options = COMMANDS[words].assemble_argument_collection(parse_docstring=True)
    helps = {one.name: one.parameter.help for one in options}
    assert bool(helps) == (words != ("doctor",)) and all(one.show for one in options)
    for name, help_ in helps.items():
        sentence = re.sub(r" \[[^\[\]]+\]$", "", help_ or "")
        assert re.fullmatch(r"[A-Z].*\.", sentence, re.DOTALL), f"{name} begins or ends oddly: {help_}"
        assert not re.search(r"[.!?][\])]? [A-Z]", sentence.replace("\n", " ")), f"{name} has two sentences: {help_}"
        assert len(" ".join(sentence.split())) <= LONGEST, f"{name} is long: {help_}"
        assert not MUDDY.search(sentence), f"{name}: {help_}"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_begins_with_one_short_sentence(words):
    first = COMMANDS[words].help.split("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*\.", first) and len(first) <= 125 and not re.search(r"\. [A-Z]", first), first
    assert not MUDDY.search(first)
