"""Where vLLM is touched: its first model runner (V1), the one of CPUs, samples and drafts by our functions.

Four methods of one runner are replaced, on the instance, when its worker has loaded the models:

* `runner._sample`: verdicts on the drafts instead of vLLM's rejection sampler.
* `drafter.propose`: for a row that got no token, the last known token takes its own place again.
* `drafter._sample_draft_tokens`: drafts with the noise of their attempt, from the student's whole distribution.
* `runner.sample_tokens`: its output also says why attempts have ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from vllm.v1.outputs import ModelRunnerOutput, SamplerOutput
from vllm.v1.spec_decode.draft_model import DraftModelProposer
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

from ownwords.vllm.deployment import Deployment
from ownwords.vllm.tailoring import ENDED, Tailor, rows_of, table


class FirstTailor(Tailor):
    """The replaced methods of a V1 runner."""

    def __init__(self, runner: Any, deployment: Deployment) -> None:
        super().__init__(deployment, runner.device, lambda request: runner.requests[request].sampling_params)
        self.runner = runner
        self.drafter: Any = getattr(runner, "drafter", None)
        self.again_B = np.zeros(0, bool)
        self._sample_tokens: Callable[..., Any] = runner.sample_tokens
        runner._sample, runner.sample_tokens = self.sample, self.sample_tokens
        if self.drafter is not None:
            self._propose: Callable[..., torch.Tensor] = self.drafter.propose
            self.drafter.propose, self.drafter._sample_draft_tokens = self.propose, self.sample_draft_tokens

    def sample(self, logits: torch.Tensor, metadata: Any) -> SamplerOutput:
        """logits: the teacher's, at the last known token of a request and after each draft that it has read.
        Slots that hold no token are -1."""
        requests = self.requests()
        drafts_B = metadata.num_draft_tokens if metadata else [0] * len(requests)
        ids_N = metadata.draft_token_ids.tolist() if metadata else []
        rows = rows_of(requests, drafts_B, ids_N, self.runner.discard_request_mask.np[: len(requests)])
        written = self.verdicts(rows, logits)
        # rows with drafts are counted as refused by vLLM itself
        self.again_B = np.array([not (row.unread or row.read or row.request in written) for row in rows])
        # two slots at least: with one, vLLM would take what it holds for a token
        return SamplerOutput(torch.from_numpy(table(rows, written, 2)).to(logits.device), None)

    def propose(self, **given: Any) -> torch.Tensor:
        """A row that got no token has its query's last token in the place of the next one: it counts as refused."""
        if self.again_B.any():
            refused_B, again_B = given["num_rejected_tokens_gpu"], torch.from_numpy(self.again_B).int()
            again_B = again_B.to(self.runner.device)
            given["num_rejected_tokens_gpu"] = again_B if refused_B is None else refused_B + again_B
        self.first = True
        return self._propose(**given)

    def sample_draft_tokens(self, hidden_states: torch.Tensor, _: Any) -> tuple[torch.Tensor, None]:
        return self.draft(self.requests(), self.drafter.model.compute_logits(hidden_states)), None

    def sample_tokens(self, *given: Any) -> Any:
        self.told = {}
        output = self._sample_tokens(*given)
        if isinstance(output, ModelRunnerOutput):
            setattr(output, ENDED, self.told)  # read by our scheduler
        return output

    def requests(self) -> list[str]:
        """The batch, row by row."""
        batch = list(self.runner.input_batch.req_ids)
        self.begin(batch, self.runner.requests)
        return batch


def check_internals() -> None:
    """Raises ValueError in one line if vLLM is not what is replaced here."""
    check_signatures(
        (GPUModelRunner._sample, ("logits", "spec_decode_metadata")),
        (GPUModelRunner.sample_tokens, ("grammar_output",)),
        (DraftModelProposer._sample_draft_tokens, ("hidden_states", "sampling_metadata")),
    )
    if "num_rejected_tokens_gpu" not in inspect.signature(DraftModelProposer.propose).parameters:
        raise ValueError("vLLM's draft model knows no num_rejected_tokens_gpu: this version of vLLM is not supported")


def check_signatures(*expected: tuple[Callable[..., Any], tuple[str, ...]]) -> None:
    """Raises ValueError in one line at a method that does not begin with these arguments."""
    for function, names in expected:
        found = tuple(inspect.signature(function).parameters)[1 : len(names) + 1]
        if found != names:
            raise ValueError(
                f"vLLM's {function.__qualname__} takes {found}, expected {names}: this version of vLLM is not supported"
            )
