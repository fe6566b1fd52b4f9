"""What a person can set for `ownwords train`, with presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ownwords.configuration import FREE, Config, FieldError, Group
from ownwords.numbers import CountOrNone, Seed, Share, check, real, whole
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
    """keep so many tokens of each completion, the last of them as end of turn [upft: 32]"""
    whole: Annotated[float | None, real("a share", 0, 1, below=True)] = None
    """share of the traces that stay whole [upft: 0.1, else 0]"""
    template: str = TEMPLATE
    """what the prompt of a prefix asks, {question} standing for the problem; empty keeps the prompt of the trace"""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Tokens that are read but not learned."""

    below: Annotated[float | None, real("a probability", 0, 1, above=True, below=True)] = None
    """no loss on tokens with a student probability below this: the control that skips foreign tokens"""
    source: Literal["teacher", "student"] | None = None
    """no loss on tokens that the teacher, or the student, wrote"""
    anchors: Path | None = None
    """no loss on tokens whose probability is already higher in this checkpoint, from early in a first training
    (OUT/checkpoints/checkpoint-N): imitation anchors (T3S)"""
    rise: Annotated[float, real("a probability", 0, 1, below=True)] = 0.0
    """with --mask.anchors: how much higher the probability must be"""


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Train an adapter in place of all weights; `ownwords merge` makes a model of it."""

    rank: CountOrNone = None
    """train an adapter of this rank in every linear layer; all weights are trained if it is not given"""
    alpha: Annotated[float | None, real("a number", 0, above=True)] = None
    """the adapter's scale is alpha / rank [twice the rank]"""
    dropout: Annotated[float, real("a share", 0, 1, below=True)] = 0.0
    """share of the adapter's input that is dropped while it is trained"""


@dataclass(frozen=True, kw_only=True)
class Recipe(Group):
    """How the weights are moved; what is not given comes from the preset."""

    learning_rate: Annotated[float | None, real("a number", 0, above=True)] = None
    """the highest learning rate, after the warm-up [paper: 1e-5, upft: 2e-6, world: 3e-4]"""
    schedule: Literal["cosine", "linear", "constant"] | None = None
    """how the learning rate falls after the warm-up [cosine, upft: constant]"""
    warmup: Annotated[float | None, real("a share of the steps", 0, 1, below=True)] = None
    """share of the steps in which the learning rate rises [0.05, upft: 0.03]"""
    weight_decay: Annotated[float | None, real("a number", 0)] = None
    """weight decay of AdamW [1e-4, upft: 0]"""
    betas: tuple[float, float] | None = None
    """the two betas of AdamW [0.9 0.95]"""
    max_grad_norm: Annotated[float, real("a number", 0, above=True)] = 1.0
    """gradients are scaled down to this norm"""
    batch: CountOrNone = None
    """traces per step, over all processes [16, upft: 64]"""
    micro_batch: CountOrNone = None
    """traces that a process works on at once: memory and speed, the sum is the same [1, world: 16]"""
    epochs: Annotated[float | None, real("a number", 0, 10**6, above=True)] = None
    """times through the traces [5, upft: 1]"""

    def __post_init__(self) -> None:
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise FieldError("betas", "{betas} is {}, expected two numbers from 0 to below 1", self.betas)


@dataclass(frozen=True, kw_only=True)
class Choice(Group):
    """Which traces are trained on."""

    pick: Pick | None = None
    """which of the correct attempts at a problem of a run: the shortest, a random one, the one that surprises the
    student least, or all [shortest]"""
    max_fallback: Share = 0.5
    """the largest share of tokens by the student in a trace of a run; runs with --gate never are not asked"""
    incorrect: bool = False
    """take attempts of a run whatever their verdict"""
    max_length: CountOrNone = None
    """the longest trace, prompt included [the student's context]"""
    over_length: Literal["refuse", "drop"] = "refuse"
    """what to do if traces are longer: stop, or leave them out; none is ever cut"""
    cap_problems: CountOrNone = None
    """train on so many problems only, the same ones for every set of traces at them"""
    cap_tokens: CountOrNone = None
    """train on traces with at most so many tokens with loss"""


@dataclass(frozen=True, kw_only=True)
class Machine(Group):
    """Where and how the training computes, and what it keeps."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16: computations in bfloat16, weights and optimiser in float32; auto: bf16 where a GPU has it"""
    checkpointing: bool = False
    """gradient checkpointing: less memory, slower"""
    device: Annotated[Literal["auto", "cpu"], FREE] = "auto"
    """auto: the GPU if there is one"""
    save_every: Annotated[CountOrNone, FREE] = None
    """steps between checkpoints [a tenth of all]"""
    keep: Annotated[int, whole(), FREE] = 2
    """how many checkpoints to keep; 0 keeps all"""
    report_to: Annotated[list[Literal["tensorboard", "trackio", "wandb"]], FREE] = field(default_factory=list)
    """trackers beside metrics.jsonl; they have to be installed"""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Everything that decides a training."""

    data: Annotated[list[str], FREE]
    """traces: a run directory, the folder of an export, or a .parquet or .jsonl file with input_ids and labels; several
    times for several sets, then with shares if wanted: --data a,share=0.8 --data b,share=0.2"""
    out: Annotated[Path, FREE]
    """where the student goes; an unfinished training there goes on"""
    overwrite: Annotated[bool, FREE] = False
    """delete the training that OUT holds, and start anew; files that are not its own stop the command"""
    student: str | None = None
    """a model folder, a .gguf file, a hub name, or world; the run's own student if not given"""

    preset: Annotated[Literal["paper", "upft", "world"], FREE] = "paper"
    """the recipe that gives the options which are not given; their texts name its values"""
    recipe: Recipe = Recipe()
    seed: Seed = 0
    """decides the order of traces, random choices and the adapter's first weights"""
    choice: Choice = Choice()
    prefix: PrefixOptions = PrefixOptions()
    mask: MaskOptions = MaskOptions()
    weights: str | None = None
    """a per-token column that the loss of each token is multiplied by, such as pass_mass or one of your own"""
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
        values = {name: value for name, value in vars(self.recipe).items() if value is not None}
        recipe = replace(self.recipe, **{**preset, **values})
        tokens = self.prefix.tokens or prefix.get("tokens")
        if self.prefix.whole is not None and tokens is None:
            raise FieldError(
                "prefix.whole", "{prefix.whole} without {prefix.tokens}: without prefixes all traces are whole"
            )
        whole = prefix.get("whole", 0.0) if self.prefix.whole is None and tokens else self.prefix.whole
        if recipe.batch % recipe.micro_batch:
            raise FieldError(
                "batch",
                "{batch} {} is no multiple of {micro_batch} {}: expected one that is",
                recipe.batch,
                recipe.micro_batch,
            )
        return replace(
            self,
            recipe=recipe,
            prefix=replace(self.prefix, tokens=tokens, whole=whole),
            lora=replace(self.lora, alpha=self.lora.alpha or (2.0 * self.lora.rank if self.lora.rank else None)),
        )
