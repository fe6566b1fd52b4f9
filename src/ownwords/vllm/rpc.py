"""What a worker of vLLM is asked from outside (`worker_extension_cls`): records of attempts."""

from __future__ import annotations

from typing import Any

import numpy as np


class Recorder:
    """Methods that vLLM adds to its workers, for `collective_rpc`."""

    model_runner: Any

    def ownwords_take(self, names: list[str]) -> dict[str, tuple[dict[str, np.ndarray], str]]:
        """name of a record -> (columns, reason) of an attempt that has ended or was given up; it is forgotten."""
        return self.model_runner.tailor.attempts.take(names)

    def ownwords_flying(self, names: list[str]) -> tuple[int, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """(tokens written in all, name of a record -> (token_ids, source) so far)."""
        attempts = self.model_runner.tailor.attempts
        return attempts.tokens, attempts.flying(names)
