"""`ownwords serve`."""

from __future__ import annotations

from ownwords.cli.flags import command
from ownwords.vllm.serve import ServeConfig


@command
def serve(config: ServeConfig) -> None:
    """Serve tailored text to any OpenAI client: vLLM's server, with the student as the teacher's draft model.

    A request may carry its own gate, so one server gives plain teacher text and tailored traces side by side.
    """
    from ownwords.vllm.serve import serve as run

    run(config)
