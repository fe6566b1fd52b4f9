"""vLLM's scheduler, with the one rule that RSD needs: no token without a draft.

The teacher reads all drafts of a block but the last, which is settled by what it says after the one before.
A request that was computed up to its last known token and got no token - its prompt has just been read, or it had been
put off and is back, or there was no room for drafts - has that last token computed once more in its next step, now
together with the drafts that the student has made in between. So the first token goes through the gate as any other.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.outputs import DraftTokenIds
from vllm.v1.request import Request, RequestStatus

from ownwords.vllm.tailoring import ENDED


class TailoringScheduler(Scheduler):
    """Given to vLLM as `scheduler_cls`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        manager = self.kv_cache_manager
        lookup = manager.prefix_cache_lookup_enabled

        def enabled(request: Request) -> bool:
            # A hit that leaves a single token would be padded with drafts that nobody made.
            return lookup(request) and (request.num_tokens - 1) % self.block_size != 0

        manager.prefix_cache_lookup_enabled = enabled
        self.ended: dict[str, str] = {}

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        self.ended = getattr(model_runner_output, ENDED, {})
        outputs = super().update_from_output(scheduler_output, model_runner_output)
        sampled, index = model_runner_output.sampled_token_ids, model_runner_output.req_id_to_index
        for request_id in scheduler_output.num_scheduled_tokens:
            request = self.requests.get(request_id)
            if request is None or request.status != RequestStatus.RUNNING or request.is_prefill_chunk:
                continue
            if not sampled[index[request_id]]:
                request.num_computed_tokens = request.num_tokens - 1
        return outputs

    def update_draft_token_ids(self, draft_token_ids: DraftTokenIds) -> None:
        read = [ids[:-1] for ids in draft_token_ids.draft_token_ids]
        super().update_draft_token_ids(DraftTokenIds(draft_token_ids.req_ids, read))

    def _update_request_with_output(
        self, request: Request, new_token_ids: list[int], is_stale: bool = False
    ) -> tuple[list[int], bool]:
        """Some attempts end for a reason that vLLM does not know."""
        new_token_ids, stopped = super()._update_request_with_output(request, new_token_ids, is_stale)
        if not stopped and (reason := self.ended.get(request.request_id)):
            request.status, request.stop_reason, stopped = RequestStatus.FINISHED_STOPPED, reason, True
        return new_token_ids, stopped
