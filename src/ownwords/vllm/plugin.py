"""What vLLM runs in each of its processes (entry point `vllm.general_plugins`): it does nothing to a deployment that is
not ours, and has ours tailored and its requests checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ownwords.vllm.deployment import PLACE, Deployment
from ownwords.vllm.wishes import check_request

VERSIONS = ("0.32.",)
"""of vLLM, that this was tried with"""


def register() -> None:
    """Raises nothing: an unsupported vLLM is refused when a deployment of ours starts."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.exceptions import VLLMValidationError
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.spec_decode.draft_model import DraftModelProposer
    from vllm.v1.worker.gpu_worker import Worker

    def load_model(original: Callable[..., None], self: Any, **given: Any) -> None:
        deployment = deployment_of(self.vllm_config)
        if not deployment:
            return original(self, **given)
        with unequal_rows():
            original(self, **given)
        check_version()
        self.model_runner.tailor = tailor_of(self.use_v2_model_runner)(self.model_runner, deployment)

    def process_inputs(original: Callable[..., Any], self: Any, *given: Any, **named: Any) -> Any:
        request = original(self, *given, **named)
        if deployment := deployment_of(self.vllm_config):
            room = self.vllm_config.model_config.max_model_len - deployment.drafts - 1
            params = request.sampling_params
            if params.seed is not None:  # a generator of vLLM's, which nobody needs, and its CPU build trips over
                params.extra_args, params.seed = (params.extra_args or {}) | {"seed": params.seed}, None
            ids = self.vllm_config.model_config.get_vocab_size()
            try:
                check_request(params, request.prompt_token_ids, room, ids, deployment.wish)
            except ValueError as error:
                raise VLLMValidationError(str(error)) from error  # the kind that a server answers with 400
            params.max_tokens = min(params.max_tokens, room - len(request.prompt_token_ids))
        return request

    def create_engine_config(original: Callable[..., Any], self: Any, *given: Any, **named: Any) -> Any:
        if PLACE not in self.additional_config:
            return original(self, *given, **named)
        with unequal_rows():
            return original(self, *given, **named)

    def mismatch(original: Callable[..., None], self: Any) -> None:
        if not deployment_of(self.vllm_config):
            original(self)

    for owner, name, wrapper in (
        (Worker, "load_model", load_model),
        (InputProcessor, "process_inputs", process_inputs),
        (EngineArgs, "create_engine_config", create_engine_config),
        (DraftModelProposer, "_raise_if_vocab_size_mismatch", mismatch),
    ):
        _wrap(owner, name, wrapper)


def deployment_of(vllm_config: Any) -> Deployment | None:
    """None if it is no deployment of ours."""
    found = vllm_config.additional_config
    return Deployment.of(found[PLACE]) if isinstance(found, dict) and PLACE in found else None


@contextmanager
def unequal_rows() -> Iterator[None]:
    """Rows of padding may differ in number; whether the ids agree is seen by `rules_of`. vLLM makes its configuration
    of the two models more than once, and refuses each time."""
    from vllm.config import SpeculativeConfig

    strict = SpeculativeConfig.verify_equal_vocab_size_if_draft_model
    SpeculativeConfig.verify_equal_vocab_size_if_draft_model = lambda self: None
    try:
        yield
    finally:
        SpeculativeConfig.verify_equal_vocab_size_if_draft_model = strict


def tailor_of(second_runner: bool) -> Callable[[Any, Deployment], Any]:
    """What tailors a worker with that model runner of vLLM's: its kind of `ownwords.vllm.tailoring.Tailor`."""
    if second_runner:
        from ownwords.vllm.second_runner import SecondTailor

        return SecondTailor
    from ownwords.vllm.runner import FirstTailor

    return FirstTailor


def check_version() -> None:
    """Raises ValueError in one line for a vLLM that is not supported."""
    import vllm

    from ownwords.vllm.runner import check_internals

    if not vllm.__version__.startswith(VERSIONS):
        raise ValueError(f"this is vLLM {vllm.__version__}, expected {' or '.join(VERSIONS)}x: install that one")
    check_internals()


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    if getattr(original, "ours", False):  # vLLM may load plugins again
        return

    def wrapped(*given: Any, **named: Any) -> Any:
        return wrapper(original, *given, **named)

    wrapped.ours = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)
