"""Trains the small world's models from scratch: `ownwords world train`.

bf16 weights (fp32 on a CPU that has no instructions for bf16) with fp32 masters, Muon for the matrices and AdamW for
the rest, learning rate constant after warm-up and then linear to zero. Depth is grown: the teacher learns most in few
layers, then layers that do nothing yet (their output projections are zero) are put between, and all train on. A deep
model costs a decoding step its depth, a shallow one learns several times faster; this has both.

The state is saved every minute; a killed run goes on where it was, and sees the same batches in the same order.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from ownwords.io.files import new_folder, plain_errors, replacing
from ownwords.io.paths import check_folder, foreign
from ownwords.io.process import interruptible
from ownwords.models.dtypes import native_bfloat16
from ownwords.world.data import IGNORE, Mixture, stream
from ownwords.world.tokenizer import train_tokenizer


@dataclass(frozen=True)
class Recipe:
    """One model of the pair and how it learns. Token counts include prompts and padding."""

    hidden: int
    layers: int
    layers_at_start: int
    heads: int
    intermediate: int
    mixture: Mixture
    tokens: int
    """in all"""
    grow_at: int
    """tokens after which the layers go from `layers_at_start` to `layers`"""
    decay_from: int
    """tokens from which the learning rate falls to zero"""
    learning_rate: float = 5e-3
    batch_tokens: int = 4096
    warmup_steps: int = 100
    seed: int = 0


def model_config(recipe: Recipe, layers: int, vocab_size: int, end_id: int, pad_id: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=recipe.hidden,
        num_hidden_layers=layers,
        intermediate_size=recipe.intermediate,
        num_attention_heads=recipe.heads,
        num_key_value_heads=1,
        head_dim=64,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        eos_token_id=end_id,
        pad_token_id=pad_id,
        bos_token_id=None,
    )


def grow(weights: dict[str, torch.Tensor], before: int, after: int) -> dict[str, torch.Tensor]:
    """Spread `before` layers evenly over `after`; each new layer is a copy of the one before it that adds nothing."""
    place = [round(i * (after - 1) / (before - 1)) for i in range(before)]
    grown = {name: w for name, w in weights.items() if ".layers." not in name}
    for layer in range(after):
        old = max(i for i, at in enumerate(place) if at <= layer)
        for name, w in weights.items():
            prefix, dot, rest = name.partition(".layers.")
            if dot and rest.split(".", 1)[0] == str(old):
                silent = layer not in place and rest.endswith(("o_proj.weight", "down_proj.weight"))
                grown[f"{prefix}.layers.{layer}.{rest.split('.', 1)[1]}"] = torch.zeros_like(w) if silent else w.clone()
    return grown


def working_type(device: str) -> torch.dtype:
    """What passes are computed in: bfloat16, unless that is a CPU without instructions for it, which would take a
    hundred times as long."""
    return torch.bfloat16 if device != "cpu" or native_bfloat16() else torch.float32


class _InFloat32(TorchFunctionMode):
    """Keeps Muon, which asks for bfloat16 by itself, in float32."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].clone() if function is torch.Tensor.bfloat16 else function(*args, **(kwargs or {}))


Row = dict[str, Any]
"""what is told of a training, a line of metrics.jsonl"""


class Trainer:
    """State of one training: fp32 masters, their optimisers, and the place in the stream."""

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: PreTrainedTokenizerBase,
        folder: Path,
        device: str = "cpu",
        compile: bool = False,
    ):
        self.recipe, self.tokenizer, self.folder, self.device = recipe, tokenizer, folder, device
        self.compile = compile
        self.tokens, self.steps, self.seconds, self.position = 0, 0, 0.0, (0, 0)
        self.state_file = folder / "state.pt"
        check_folder(folder)
        if self.state_file.is_file():
            self._load()
            return
        if stray := foreign(folder, ["tokenizer"]):
            raise ValueError(f"{folder} is not empty and no training (it holds {stray[0]}): name another --out")
        torch.manual_seed(recipe.seed)
        self._build(recipe.layers_at_start, None)
        self.save()  # from now on the folder is known for a training

    def _build(self, layers: int, weights: dict[str, torch.Tensor] | None) -> None:
        self.layers = layers
        config = model_config(
            self.recipe, layers, len(self.tokenizer), self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        )
        model = Qwen3ForCausalLM(config).to(self.device)  # type: ignore[arg-type]  # its wrapper loses `self`
        if weights:
            missing, unexpected = model.load_state_dict(weights, strict=False)
            assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
        self.masters = {n: p.detach().clone().float() for n, p in model.named_parameters()}
        self.model = model.to(working_type(self.device))
        matrices = {n for n, p in self.masters.items() if p.ndim == 2 and ".layers." in n}
        for p in self.masters.values():
            p.requires_grad_(True)
        rate = self.recipe.learning_rate
        self.optimizers = [
            torch.optim.Muon(
                [p for n, p in self.masters.items() if n in matrices],
                lr=rate, momentum=0.95, weight_decay=0.0, adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [p for n, p in self.masters.items() if n not in matrices],
                lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True,
            ),
        ]  # fmt: skip
        self._loss = torch.compile(self._plain_loss, dynamic=True) if self.compile else self._plain_loss

    def _plain_loss(self, ids_BT: torch.Tensor, labels_BT: torch.Tensor) -> torch.Tensor:
        hidden = self.model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        logits = self.model.lm_head(hidden[:, :-1]).float()
        return F.cross_entropy(logits.flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=IGNORE)

    def _load(self) -> None:
        try:
            state = torch.load(self.state_file, weights_only=True)
            recipe = state["recipe"]
        except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise ValueError(f"{self.state_file} is no state of a training, or damaged: name another --out") from error
        if recipe != repr(self.recipe):
            raise ValueError(f"{self.folder} holds a training by another recipe ({recipe}): name another --out")
        self._build(state["layers"], None)
        with torch.no_grad():
            for name, p in self.masters.items():
                p.copy_(state["masters"][name])
        self._publish()
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.tokens, self.steps, self.seconds = state["tokens"], state["steps"], state["seconds"]
        self.position = tuple(state["position"])

    def save(self) -> None:
        state = {
            "recipe": repr(self.recipe),
            "layers": self.layers,
            "masters": {n: p.detach() for n, p in self.masters.items()},
            "optimizers": [o.state_dict() for o in self.optimizers],
            "tokens": self.tokens,
            "steps": self.steps,
            "seconds": self.seconds,
            "position": list(self.position),
        }
        with plain_errors(self.folder), replacing([self.state_file]) as [file]:
            torch.save(state, file)

    @torch.no_grad()
    def _publish(self) -> None:
        for name, p in self.model.named_parameters():
            p.copy_(self.masters[name])

    def _rate(self) -> float:
        recipe = self.recipe
        left = (recipe.tokens - self.tokens) / max(recipe.tokens - recipe.decay_from, 1)
        return recipe.learning_rate * min(1.0, (self.steps + 1) / recipe.warmup_steps, max(left, 0.0))

    def step(self, ids_BT: torch.Tensor, labels_BT: torch.Tensor) -> float:
        loss = self._loss(ids_BT.to(self.device), labels_BT.to(self.device))
        loss.backward()
        for name, p in self.model.named_parameters():
            self.masters[name].grad = p.grad.float()
        torch.nn.utils.clip_grad_norm_(self.masters.values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate()
            with _InFloat32() if self.model.dtype == torch.float32 else nullcontext():
                optimizer.step()
        self._publish()
        self.model.zero_grad(set_to_none=True)
        return loss.item()

    def run(self, report: Callable[[Row], object] = print) -> bool:
        """Train to the end of the recipe, or until interrupted (then returns False; the next start goes on).
        `report(dict)` is called about every 50 steps and kept in metrics.jsonl."""
        with interruptible() as interrupted, (self.folder / "metrics.jsonl").open("a") as log:
            self._run(report, log, interrupted)
            self.save()
        return self.tokens >= self.recipe.tokens

    def _run(self, report: Callable[[Row], object], log: IO[str], interrupted: Callable[[], bool]) -> None:
        recipe = self.recipe
        saved = started = time.monotonic()
        losses: list[float] = []
        pool, number = self.position
        for (at, k), ids, labels in stream(self.tokenizer, recipe.mixture, recipe.batch_tokens, pool, number):
            if self.tokens >= recipe.tokens or interrupted():
                break
            if self.layers < recipe.layers and self.tokens >= recipe.grow_at:
                self._build(
                    recipe.layers, grow({n: p.detach() for n, p in self.masters.items()}, self.layers, recipe.layers)
                )
            losses.append(self.step(ids, labels))
            self.tokens += ids.numel()
            self.steps += 1
            self.position = (at, k + 1)
            if self.steps % 50 == 0:
                now = time.monotonic()
                self.seconds, started = self.seconds + now - started, now
                row = dict(
                    step=self.steps, tokens=self.tokens, seconds=round(self.seconds), layers=self.layers,
                    loss=round(sum(losses) / len(losses), 4), rate=self._rate(),
                )  # fmt: skip
                if not math.isfinite(row["loss"]):
                    raise RuntimeError(f"the loss is {row['loss']} after {self.steps} steps: lower the learning rate")
                report(row)
                log.write(json.dumps(row) + "\n")
                log.flush()
                losses = []
                if now - saved > 60:
                    self.save()
                    saved = now

    def export(self, folder: Path) -> None:
        """Write the model as a `transformers` folder with bf16 safetensors, unless this training has done so."""
        if folder.exists():
            return
        with new_folder(folder) as made:
            self.model.to(torch.bfloat16).save_pretrained(made, safe_serialization=True)  # type: ignore[arg-type]
            self.tokenizer.save_pretrained(made)


def world_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The small world's tokenizer: the one that ships with the package, so that both models share it, or, before
    there is one, a new one kept in `folder`."""
    shipped = Path(__file__).parent / "models" / "student"
    own = folder / "tokenizer"
    if shipped.is_dir():
        return AutoTokenizer.from_pretrained(shipped)
    if not own.is_dir():
        train_tokenizer(seed=0, vocab_size=1024).save_pretrained(own)
    return AutoTokenizer.from_pretrained(own)
