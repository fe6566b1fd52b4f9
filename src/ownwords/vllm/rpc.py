"""What a worker of vLLM is asked from outside (`worker_extension_cls`): records of attempts, as bytes."""

from __future__ import annotations

from typing import Any

from ownwords.vllm.wire import Packed, pack


class Recorder:
    """Methods that vLLM adds to its workers, for `collective_rpc`."""

    model_runner: Any

    def ownwords_take(self, names: list[str]) -> dict[str, tuple[Packed, str]]:
        """name of a record -> (columns, reason) of an attempt that has ended or was given up; it is forgotten."""
        taken = self.model_runner.tailor.attempts.take(names)
        return {name: (pack(columns), reason) for name, (columns, reason) in taken.items()}

    def ownwords_flying(self, names: list[str]) -> tuple[int, dict[str, Packed]]:
        """(tokens written in all, name of a record -> token_ids and source so far)."""
        attempts = self.model_runner.tailor.attempts
        return attempts.tokens, {name: pack(columns) for name, columns in attempts.flying(names).items()}
