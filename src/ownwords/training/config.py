"""What a person can set for `ownwords train`, with presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ownwords.chat.settings import SYSTEM_PROMPT
from ownwords.configuration import FREE, Config, FieldError, Group
from ownwords.numbers import Count, CountOrNone, Seed, Share, check, real, whole
from ownwords.traces.select import Pick
from ownwords.training.upft import TEMPLATE

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2509.22230 and its authors' notebook, which is s1's recipe. Their final paper trains 15 epochs by a
    # reviewer's account, their notebook 5.
    "paper": dict(
        learning_rate=1e-5, schedule="cosine", warmup=0.05, weight_decay=1e-4, betas=(0.9, 0.95),
        batch=16, micro_batch=1, epochs=5.0,
    ),
    # arXiv 2503.02875: the defaults of its code; the share of whole traces is what its training lengths imply.
    "upft": dict(
        learning_rate=2e-6, schedule="constant", warmup=0.03, weight_decay=0.0, betas=(0.9, 0.95),
        batch=64, micro_batch=1, epochs=1.0, prefix=dict(tokens=32, whole=0.1),
    ),
    # The small world's student: a hundred times smaller than the paper's, it needs a higher rate.
    "world": dict(
        learning_rate=3e-4, schedule="cosine", warmup=0.05, weight_decay=1e-4, betas=(0.9, 0.95),
        batch=16, micro_batch=16, epochs=5.0,
    ),
}  # fmt: skip
TRACKERS = ("tensorboard", "trackio", "wandb")


@dataclass(frozen=True, kw_only=True)
class PrefixOptions:
    """Train on how traces begin (UPFT); whole traces where no length is given."""

    tokens: CountOrNone = None
    """Tokens to keep of each completion, the last one as end of turn. [upft: 32]"""
    whole: Annotated[float | None, real("a share", 0, 1, below=True)] = None
    """Share of the traces that stay whole. [upft: 0.1, else 0]"""
    template: str = TEMPLATE
    """Prompt of a shortened trace, with {question} for the problem; empty keeps the prompt of the trace."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Tokens that are read but not learned."""

    below: Annotated[float | None, real("a probability", 0, 1, above=True, below=True)] = None
    """Probability below which the student's tokens have no loss: the control that skips foreign tokens."""
    source: Literal["teacher", "student"] | None = None
    """Model whose tokens have no loss."""
    anchors: Path | None = None
    """Checkpoint from early in a first training, which gives no loss to tokens that it finds likelier than the student
    does (T3S)."""
    rise: Annotated[float, real("a probability", 0, 1, below=True)] = 0.0
    """Minimum rise in probability, from the student to the checkpoint of --mask.anchors."""


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Train an adapter in place of all weights; `ownwords merge` makes a model of it."""

    rank: CountOrNone = None
    """Rank of a LoRA adapter in every linear layer. [default: all weights are trained]"""
    alpha: Annotated[float | None, real("a number", 0, above=True)] = None
    """LoRA's alpha: the adapter is scaled by alpha / rank. [twice the rank]"""
    dropout: Annotated[float, real("a share", 0, 1, below=True)] = 0.0
    """Share of the adapter's input that is dropped in training."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Group):
    """How the weights are moved; what is not given comes from the preset."""

    learning_rate: Annotated[float | None, real("a number", 0, above=True)] = None
    """Peak learning rate. [paper: 1e-5, upft: 2e-6, world: 3e-4]"""
    schedule: Literal["cosine", "linear", "constant"] | None = None
    """Decay of the learning rate after the warm-up. [cosine, upft: constant]"""
    warmup: Annotated[float | None, real("a share of the steps", 0, 1, below=True)] = None
    """Share of the steps in which the learning rate rises. [0.05, upft: 0.03]"""
    weight_decay: Annotated[float | None, real("a number", 0)] = None
    """Weight decay of AdamW. [1e-4, upft: 0]"""
    betas: tuple[float, float] | None = None
    """Betas of AdamW. [0.9 0.95]"""
    max_grad_norm: Annotated[float, real("a number", 0, above=True)] = 1.0
    """Maximum gradient norm; larger gradients are scaled down."""
    batch: CountOrNone = None
    """Traces per step, over all processes. [16, upft: 64]"""
    micro_batch: CountOrNone = None
    """Traces per forward pass and process; sets memory and speed, not the result. [1, world: 16]"""
    epochs: Annotated[float | None, real("a number", 0, 10**6, above=True)] = None
    """Passes over the traces. [5, upft: 1]"""
    steps: CountOrNone = None
    """Steps in place of epochs, so that sets of unequal size are trained on alike. [default: as many as the epochs
    have]"""

    def __post_init__(self) -> None:
        if self.steps and self.epochs:
            raise FieldError("steps", "{steps} is {} beside {epochs} {}: give one of them", self.steps, self.epochs)
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise FieldError("betas", "{betas} is {}, expected two numbers from 0 to below 1", self.betas)


@dataclass(frozen=True, kw_only=True)
class Choice(Group):
    """Which traces are trained on."""

    pick: Pick | None = None
    """Correct attempts to take per problem of a run: the shortest, a random one, the one that surprises the student
    least, or all. [shortest]"""
    max_fallback: Share = 0.5
    """Maximum share of tokens written by the student in a trace of a run (except with the gate never)."""
    incorrect: bool = False
    """Take attempts of a run whatever their verdict."""
    max_length: CountOrNone = None
    """Maximum tokens per trace, including the prompt. [the student's context]"""
    over_length: Literal["refuse", "drop"] = "refuse"
    """Refuse to train if traces are longer, or drop them; none is ever cut."""
    problems: Path | None = None
    """File with the ids of problems to train on, one to a line; the others are left out."""
    cap_problems: CountOrNone = None
    """Maximum problems to train on, the same ones for every set of traces."""
    cap_tokens: CountOrNone = None
    """Maximum tokens with loss, over all traces."""


@dataclass(frozen=True, kw_only=True)
class Machine(Group):
    """Where and how the training computes, and what it keeps."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of computations; auto takes bf16 if a GPU has it, and weights and optimiser stay in float32."""
    checkpointing: bool = False
    """Use gradient checkpointing: less memory, slower."""
    device: Annotated[Literal["auto", "cpu"], FREE] = "auto"
    """Device to train on; auto takes a GPU if there is one."""
    save_every: Annotated[CountOrNone, FREE] = None
    """Steps between checkpoints. [a tenth of all]"""
    keep: Annotated[int, whole(), FREE] = 2
    """Checkpoints to keep; 0 keeps all."""
    report_to: Annotated[list[Literal["tensorboard", "trackio", "wandb"]], FREE] = field(default_factory=list)
    """Trackers to log to beside metrics.jsonl, which have to be installed."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Everything that decides a training."""

    data: Annotated[list[str], FREE]
    """Traces to train on: a run directory, an export, or a .parquet or .jsonl file with input_ids and labels; repeat it
    for several sets, with shares such as --data a,share=0.8."""
    out: Annotated[Path, FREE]
    """Directory for the trained student; an unfinished training continues."""
    overwrite: Annotated[bool, FREE] = False
    """Delete the training in the output directory, and start anew."""
    student: str | None = None
    """Student to train: a model folder, a .gguf file, a hub name, or world. [default: the run's own]"""

    preset: Annotated[Literal["paper", "upft", "world"], FREE] = "paper"
    """Recipe for options that are not given; brackets show its values."""
    recipe: Recipe = Recipe()
    seed: Seed = 0
    """Seed of the order of traces, of random choices, and of the adapter's first weights."""
    choice: Choice = Choice()
    prefix: PrefixOptions = PrefixOptions()
    mask: MaskOptions = MaskOptions()
    weights: str | None = None
    """Per-token column that multiplies the loss, such as pass_mass."""
    lora: LoraOptions = LoraOptions()
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        check(self)
        if self.prefix.template and "{question}" not in self.prefix.template:
            raise FieldError(
                "prefix.template",
                "{prefix.template} is {}, expected {} in it",
                repr(self.prefix.template),
                "{question}",
            )

    def resolved(self) -> TrainConfig:
        """The same with the preset's values filled in. Raises FieldError if options contradict each other."""
        preset = dict(PRESETS[self.preset])
        prefix = preset.pop("prefix", {})
        values = preset | {name: value for name, value in vars(self.recipe).items() if value is not None}
        if self.recipe.steps:
            values["epochs"] = None
        tokens = self.prefix.tokens or prefix.get("tokens")
        if self.prefix.whole is not None and tokens is None:
            raise FieldError(
                "prefix.whole", "{prefix.whole} without {prefix.tokens}: without prefixes all traces are whole"
            )
        whole = prefix.get("whole", 0.0) if self.prefix.whole is None and tokens else self.prefix.whole
        if values["batch"] % values["micro_batch"]:
            raise FieldError(
                "batch",
                "{batch} {} is no multiple of {micro_batch} {}: expected one that is",
                values["batch"],
                values["micro_batch"],
            )
        return replace(
            self,
            recipe=replace(self.recipe, **values),
            prefix=replace(self.prefix, tokens=tokens, whole=whole),
            lora=replace(self.lora, alpha=self.lora.alpha or (2.0 * self.lora.rank if self.lora.rank else None)),
        )


@dataclass(frozen=True, kw_only=True)
class DistillConfig(Config):
    """Everything that decides an on-policy distillation (`ownwords.training.on_policy`)."""

    out: Annotated[Path, FREE]
    """Directory for the student."""
    teacher: str = "world"
    student: str = "world"
    problems: str = "world"
    limit: CountOrNone = None
    steps: Count = 60
    batch: Count = 16
    """answers per step"""
    max_tokens: Count = 400
    """per answer"""
    temperature: Annotated[float, real("a temperature", 0, above=True)] = 1.0
    """of the answers, and of both distributions in the loss"""
    beta: Annotated[float, real("a number", 0, 1)] = 1.0
    """1: reverse KL, towards the teacher's modes; 0: forward KL; between: a generalised Jensen-Shannon divergence"""
    learning_rate: Annotated[float, real("a number", 0, above=True)] = 3e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, real("a share of the steps", 0, 1, below=True)] = 0.05
    weight_decay: Annotated[float, real("a number", 0)] = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    system: str = SYSTEM_PROMPT
    opening: str | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
