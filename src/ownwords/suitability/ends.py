"""Whether a trace of a set came to its end, by whatever flag its row has.

A cut trace must not get an end of turn, or a student would learn to stop in the middle of a thought. So one flag that
says "cut" is enough, and one that is null says nothing.
"""

from __future__ import annotations

from typing import Any

FINISHED = ("is_reasoning_complete", "finished", "is_finished", "complete", "is_complete", "completed")
CUT = ("truncated", "is_truncated", "was_truncated")
FINISH_REASONS = ("finish_reason", "finish_reasons")
STOP_REASONS = ("stop_reason", "stop_reasons")
ENDED = (
    "stop", "eos", "eos_token", "end", "end_turn", "end_of_turn", "stop_sequence", "stop_token", "completed",
    "complete", "finished", "true",
)  # fmt: skip
"""what a finish reason is if the model ended its turn; anything else cut it"""
STOPPED_BY = (
    "length", "max_length", "max_tokens", "max_new_tokens", "max_output_tokens", "model_length", "token_limit",
    "model_context_window_exceeded", "timeout", "abort", "cancelled", "error", "repetition", "false",
)  # fmt: skip
"""what a stop reason is if something else cut the turn; it may also be the word or the id that ended it"""
TRUTH = {"true": True, "false": False, "1": True, "0": False}


def ended(row: dict[str, Any], texts: int | None = None, prefix: str = "") -> list[bool]:
    """One value per text of a row; `texts` None for a row with one trace. `prefix`: of the columns of one writer among
    several, whose own flags win. Raises ValueError for a list of another length."""
    found = [True] * (texts or 1)
    for name in (*FINISHED, *CUT, *FINISH_REASONS, *STOP_REASONS):
        name = name if row.get(f"{prefix}{name}") is None else f"{prefix}{name}"
        value = row.get(name)
        if value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value] * len(found)
        if len(values) != len(found):
            whose = f"each of the {texts} generations" if texts else "the one trace of its row"
            raise ValueError(f"the field {name!r} does not have a value for {whose}")
        found = [so_far and not _says_cut(name.removeprefix(prefix), one) for so_far, one in zip(found, values)]
    return found


def _says_cut(name: str, value: Any) -> bool:
    if value is None or value != value:  # NaN: an empty cell
        return False
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if name in FINISH_REASONS:
        return bool(text) and text not in ENDED
    if name in STOP_REASONS:
        return text in STOPPED_BY
    truth = TRUTH.get(text)  # another value is no flag
    return truth is not None and truth == (name in CUT)
