"""Where vLLM is touched: its first model runner (V1), the one of CPUs, samples and drafts by our functions.

Four methods of one runner are replaced, on the instance, when its worker has loaded the models:

* `runner._sample`: verdicts on the drafts instead of vLLM's rejection sampler. The last draft of a block is one that
  the teacher need not read: it is settled where vLLM would sample a token after a block that stands whole. A row
  without drafts gets no token at all; the scheduler has its last token computed once more, and the student drafts after
  it (`ownwords.vllm.scheduler`).
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

from ownwords.engines.engine import Pair, Solo
from ownwords.models.named import named
from ownwords.rsd.gates import parse_gate
from ownwords.rsd.step import Rules
from ownwords.vllm.attempts import Attempts
from ownwords.vllm.deployment import Deployment
from ownwords.vllm.wishes import Wish

ENDED = "ended"
"""the attribute of a step's output that says which requests have ended, and why"""
NOTHING = -1
"""vLLM's sign for a slot without a token"""


class Tailor:
    """The replaced methods of a runner, and the attempts of its requests."""

    def __init__(self, runner: Any, deployment: Deployment) -> None:
        self.runner, self.deployment = runner, deployment
        self.drafter: Any = getattr(runner, "drafter", None)
        self.attempts = Attempts(rules_of(deployment, runner.device), pair=deployment.teacher is not None)
        self.end_id = named(deployment.student, "student").vocabulary.end_id
        self.withheld_B, self.drafts_B = np.zeros(0, bool), np.zeros(0, int)
        self.unread: set[str] = set()
        self.told: dict[str, str] = {}
        self.first = True
        self._sample_tokens: Callable[..., Any] = runner.sample_tokens
        runner._sample, runner.sample_tokens = self.sample, self.sample_tokens
        if self.drafter is not None:
            self._propose: Callable[..., torch.Tensor] = self.drafter.propose
            self.drafter.propose, self.drafter._sample_draft_tokens = self.propose, self.draft

    def sample(self, logits: torch.Tensor, metadata: Any) -> SamplerOutput:
        """logits: the teacher's, at the last known token of a request and after each draft that it has read.
        Slots that hold no token are -1."""
        requests = self.requests()
        B = len(requests)
        drafts_B = metadata.num_draft_tokens if metadata else [0] * B
        ids_N = metadata.draft_token_ids.tolist() if metadata else []
        unread_B = self.runner.discard_request_mask.np[:B]
        # two slots at least: with one, vLLM would take what it holds for a token
        out_BK = np.full((B, max(max(drafts_B), 1) + 1), NOTHING, np.int32)
        self.withheld_B, self.drafts_B = np.zeros(B, bool), np.array(drafts_B)
        self.unread = {request for request, unread in zip(requests, unread_B, strict=True) if unread}
        drafted: dict[str, int] = {}
        alone: dict[str, int] = {}
        rows: list[int] = []
        first = row = 0
        for b, (request, n) in enumerate(zip(requests, drafts_B, strict=True)):
            ids, here = ids_N[first : first + n], row
            first, row = first + n, row + n + 1
            if request in self.unread:  # its prompt goes on
                continue
            if self._scores(request):
                out_BK[b, 0] = self.end_id
            elif not self.attempts.pair:
                alone[request] = here
            elif known := self.attempts.drafts.after(request, ids):
                drafted[request] = known
                rows += range(here, here + known)
            else:
                self.withheld_B[b] = True
        written = {}
        if drafted:
            written = self.attempts.settle(drafted, _taken(logits, rows))
        elif alone:
            written = self.attempts.alone(list(alone), _taken(logits, list(alone.values())))
        for b, request in enumerate(requests):
            if ids := written.get(request):
                out_BK[b, : len(ids)] = ids
                if reason := self.attempts.by_request[request].reason:
                    self.told[request] = reason
        return SamplerOutput(torch.from_numpy(out_BK).to(logits.device), None)

    def propose(self, **given: Any) -> torch.Tensor:
        """A row that got no token has its query's last token in the place of the next one: it counts as refused."""
        if self.withheld_B.any():
            refused_B = given["num_rejected_tokens_gpu"]  # which counts those of rows with drafts already
            again_B = torch.from_numpy(self.withheld_B & (self.drafts_B == 0)).int().to(self.runner.device)
            given["num_rejected_tokens_gpu"] = again_B if refused_B is None else refused_B + again_B
        self.first = True
        return self._propose(**given)

    def draft(self, hidden_states: torch.Tensor, _: Any) -> tuple[torch.Tensor, None]:
        logits_BV = self.drafter.model.compute_logits(hidden_states)
        token_B = self.attempts.draft(self.requests(), logits_BV, self.first, self.unread)
        self.first = False
        return token_B, None

    def sample_tokens(self, *given: Any) -> Any:
        self.told = {}
        output = self._sample_tokens(*given)
        if isinstance(output, ModelRunnerOutput):
            setattr(output, ENDED, self.told)  # read by our scheduler
        return output

    def requests(self) -> list[str]:
        """The batch, row by row; whoever is new in it begins."""
        batch, living = self.runner.input_batch.req_ids, self.runner.requests
        for request in batch:
            if request not in self.attempts.by_request:
                self._begin(request)
        if len(self.attempts.by_request) > 2 * len(living) + 64:
            self.attempts.forget(living)
        return list(batch)

    def _begin(self, request: str) -> None:
        params = self.runner.requests[request].sampling_params
        ends = frozenset(params.stop_token_ids or ()) | ({params.eos_token_id} - {None})
        self.attempts.begin(request, Wish.of(params, self.deployment.wish), params.max_tokens, ends)

    def _scores(self, request: str) -> bool:
        return self.runner.requests[request].sampling_params.prompt_logprobs is not None


def rules_of(deployment: Deployment, device: torch.device | str) -> Rules:
    """What decides a token, with its tables. Raises ValueError if the two have different ids."""
    student = named(deployment.student, "student")
    if deployment.teacher is None:
        return Solo(student).rules(torch.device(device))
    pair = Pair(named(deployment.teacher, "teacher"), student, parse_gate(deployment.gate))
    if pair.alignment.teacher_of_V is not None:
        raise ValueError(
            "teacher and student have different token ids, vLLM's draft model must have the teacher's: expected a pair "
            "of one tokenizer; the local engine serves this one"
        )
    return pair.rules(torch.device(device))


def check_internals() -> None:
    """Raises ValueError in one line if vLLM is not what is replaced here."""
    for function, names in (
        (GPUModelRunner._sample, ("logits", "spec_decode_metadata")),
        (GPUModelRunner.sample_tokens, ("grammar_output",)),
        (DraftModelProposer._sample_draft_tokens, ("hidden_states", "sampling_metadata")),
    ):
        found = tuple(inspect.signature(function).parameters)[1:]
        if found != names:
            raise ValueError(
                f"vLLM's {function.__qualname__} takes {found}, expected {names}: this version of vLLM is not supported"
            )
    if "num_rejected_tokens_gpu" not in inspect.signature(DraftModelProposer.propose).parameters:
        raise ValueError("vLLM's draft model knows no num_rejected_tokens_gpu: this version of vLLM is not supported")


def _taken(logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
    return logits[torch.tensor(rows, device=logits.device)]
