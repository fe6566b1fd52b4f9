"""vLLM's second model runner (V2), the one that it takes by default on GPUs, samples and drafts by our functions.

Six methods are replaced, on the instances, when a worker has loaded the models:

* `runner.sample`: verdicts on the drafts instead of vLLM's samplers.
* `speculator.propose`, `speculator.sample_draft`: drafts with the noise of their attempt, from the student's whole
  distribution.
* `runner.add_requests`, `runner.finish_requests`: this runner keeps no sampling parameters, so we do.
* `runner.sample_tokens`: its output also says why attempts have ended.

A row that got no token is still in its prompt for this runner, one token before its end, and takes drafts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from vllm.v1.worker.gpu.model_runner import GPUModelRunner
from vllm.v1.worker.gpu.sample.output import SamplerOutput
from vllm.v1.worker.gpu.spec_decode.standalone_ar.speculator import StandaloneARSpeculator

from ownwords.vllm.deployment import Deployment
from ownwords.vllm.runner import check_signatures
from ownwords.vllm.tailoring import ENDED, Tailor, rows_of, table


class SecondTailor(Tailor):
    """The replaced methods of a V2 runner and its speculator."""

    def __init__(self, runner: Any, deployment: Deployment) -> None:
        check_internals()
        if getattr(runner, "batch_sharder", None) is not None:
            raise ValueError("vLLM's V2 runner samples in shards here: set VLLM_USE_V2_MODEL_RUNNER=0")
        self.params: dict[str, Any] = {}
        super().__init__(deployment, runner.device, self.params.__getitem__)
        self.runner, self.speculator = runner, runner.speculator
        self.batch: list[str] = []
        self._sample_tokens: Callable[..., Any] = runner.sample_tokens
        self._add: Callable[[Any], None] = runner.add_requests
        self._finish: Callable[[Any], None] = runner.finish_requests
        runner.sample, runner.sample_tokens = self.sample, self.sample_tokens
        runner.add_requests, runner.finish_requests = self.add_requests, self.finish_requests
        if self.speculator is not None:
            self._propose: Callable[..., torch.Tensor] = self.speculator.propose
            self.speculator.propose, self.speculator.sample_draft = self.propose, self.sample_draft

    def add_requests(self, scheduled: Any) -> None:
        """Those that come back after they were put off are told as new ones."""
        self.params.update({new.req_id: new.sampling_params for new in scheduled.scheduled_new_reqs})
        self._add(scheduled)

    def finish_requests(self, scheduled: Any) -> None:
        self._finish(scheduled)
        for request in scheduled.finished_req_ids:
            self.params.pop(request, None)

    def sample(
        self, hidden_states: torch.Tensor, batch: Any, grammar_output: Any
    ) -> tuple[SamplerOutput, torch.Tensor, torch.Tensor]:
        """(tokens, how many each row got, how many of its positions are void)."""
        self.batch = list(batch.req_ids)
        self.begin(self.batch, self.params)
        logits_NV = self.runner.model.compute_logits(hidden_states[batch.logits_indices])
        ids_N = batch.input_ids[batch.logits_indices]
        drafts_B = batch.num_draft_tokens_per_req
        drafts_B = np.zeros(len(self.batch), int) if drafts_B is None else drafts_B
        unread_B = batch.seq_lens_cpu_upper_bound.numpy()[: len(self.batch)] < batch.prefill_len_np
        rows = rows_of(self.batch, drafts_B.tolist(), ids_N[batch.expanded_local_pos > 0].tolist(), unread_B.tolist())
        written = self.verdicts(rows, logits_NV)
        got_B = np.array([len(written.get(row.request, ())) for row in rows], np.int32)
        void_B = np.where(unread_B, 0, drafts_B + 1 - got_B).astype(np.int32)
        if again := [b for b, row in enumerate(rows) if not (row.unread or got_B[b])]:
            # the last known token takes its own place again
            last_A = ids_N[torch.tensor([rows[b].at for b in again], device=ids_N.device)]
            self.runner.req_states.last_sampled_tokens[batch.idx_mapping[again], 0] = last_A.long()
        device = logits_NV.device
        width = 1 if self.speculator is None else self.speculator.num_speculative_steps + 1
        ids_BK = torch.from_numpy(table(rows, written, width)).long().to(device)
        got, void = torch.from_numpy(got_B).to(device), torch.from_numpy(void_B).to(device)
        return SamplerOutput(ids_BK, None, None, got, void), got, void

    def propose(self, batch: Any, *given: Any, **named: Any) -> torch.Tensor:
        self.batch = [] if named.get("dummy_run") else self.batch
        self.first = True
        return self._propose(batch, *given, **named)

    def sample_draft(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        if not self.batch:  # vLLM warms up
            return torch.zeros(len(hidden_states), dtype=torch.long, device=hidden_states.device)
        return self.draft(self.batch, self.speculator.model.compute_logits(hidden_states))

    def sample_tokens(self, *given: Any) -> Any:
        self.told = {}
        output = self._sample_tokens(*given)
        if (told := getattr(output, "model_runner_output", None)) is not None:
            setattr(told, ENDED, self.told)  # read by our scheduler
        return output


def check_internals() -> None:
    """Raises ValueError in one line if vLLM is not what is replaced here."""
    check_signatures(
        (GPUModelRunner.sample, ("hidden_states", "input_batch", "grammar_output")),
        (GPUModelRunner.sample_tokens, ("grammar_output",)),
        (GPUModelRunner.add_requests, ("scheduler_output",)),
        (GPUModelRunner.finish_requests, ("scheduler_output",)),
        (StandaloneARSpeculator.propose, ("input_batch",)),
        (StandaloneARSpeculator.sample_draft, ("hidden_states",)),
    )
