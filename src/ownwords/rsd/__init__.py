"""The mathematics of Reverse Speculative Decoding, on tensors: no model, no file, no option.

>>> log_p_BV, log_q_BV = torch.randn(2, 1, 8).log_softmax(-1)
>>> log_g_BV = rsd.parse_gate("threshold:0.01")(log_p_BV, log_q_BV)
>>> rsd.mix(log_p_BV, log_q_BV, log_g_BV, proposals=1).teacher_share_B  # how often the teacher speaks

From the gate (`parse_gate`) and the closed form of the loop (`mix`) to whole positions with their provenance
(`Rules`, `decide`). Names end in their shapes: B positions, V the student's vocabulary, T the teacher's rows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ownwords.rsd.gates import Gate as Gate
    from ownwords.rsd.gates import parse_gate as parse_gate
    from ownwords.rsd.mixture import Mixture as Mixture
    from ownwords.rsd.mixture import mix as mix
    from ownwords.rsd.noise import attempt_noise as attempt_noise
    from ownwords.rsd.shaping import Sampling as Sampling
    from ownwords.rsd.shaping import raw_logprobs as raw_logprobs
    from ownwords.rsd.shaping import shape as shape
    from ownwords.rsd.step import Rules as Rules
    from ownwords.rsd.step import Step as Step
    from ownwords.rsd.step import decide as decide

_HOME = {
    "Gate": "gates",
    "Mixture": "mixture",
    "Rules": "step",
    "Sampling": "shaping",
    "Step": "step",
    "attempt_noise": "noise",
    "decide": "step",
    "mix": "mixture",
    "parse_gate": "gates",
    "raw_logprobs": "shaping",
    "shape": "shaping",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: `ownwords.rsd.columns` is read by those who need no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
