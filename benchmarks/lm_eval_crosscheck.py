"""The same model, the same prompts, two evaluators: `ownwords eval --greedy` and EleutherAI's lm-evaluation-harness.

python benchmarks/lm_eval_crosscheck.py --benchmark world:size=300,seed=5

lm-eval is given each prompt as the string that ownwords has the model read (its chat template around the question, and
the opening of the answer), generates by `transformers`, finds the answer by a regular expression of its own and
compares it as text. Every item that differs is shown, with the gap between the two likeliest tokens where the texts
part. Needs `pip install "ownwords[crosscheck]"`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch

from ownwords.chat.templates import decode
from ownwords.evaluation.answering import prepare
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.prepare import Prepared
from ownwords.generation.run import generate
from ownwords.models.load import model_path
from ownwords.records.trace import Trace
from ownwords.traces.store import Store

TASK = {
    "task": "crosscheck",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{answer}}",
    "filter_list": [
        {
            "name": "boxed",
            "filter": [
                {"function": "regex", "regex_pattern": r"</think>[\s\S]*\\boxed\{(.*)\}"},
                {"function": "take_first"},
            ],
        }
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
"""what would be the task's YAML file"""


def ours(config: EvalConfig) -> tuple[Prepared, dict[str, Trace]]:
    """Our run, and its traces by problem."""
    prepared = prepare(config)
    assert generate(prepared)
    with Store.read(config.run) as store:
        return prepared, {trace.problem_id: trace for trace in store.traces()}


def theirs(prepared: Prepared, folder: Path) -> tuple[float, dict[str, tuple[str, bool]]]:
    """lm-eval's accuracy, and per problem the text it saw and whether it is right."""
    import lm_eval

    tokenizer, forced = prepared.engine.student.tokenizer, list(prepared.style.forced)
    docs = []
    for problem in prepared.problems:
        ids = prepared.prompts[problem.id][1] + forced
        prompt = tokenizer.decode(ids)
        assert tokenizer(prompt, add_special_tokens=False)["input_ids"] == ids, "the string does not say these tokens"
        docs.append({"id": problem.id, "prompt": prompt, "answer": problem.answer})
    data = folder / "prompts.jsonl"
    data.write_text("\n".join(map(json.dumps, docs)))
    task = {
        **TASK,
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "generation_kwargs": {
            "until": [tokenizer.eos_token],
            "do_sample": False,
            "max_gen_toks": prepared.config.budget.max_tokens - len(forced),
        },
    }
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": model_path(prepared.config.model, "student"), "dtype": "float32"},
        tasks=[task],
        batch_size=32,
        device="cpu",
        bootstrap_iters=0,
    )
    seen = {}
    for sample in results["samples"]["crosscheck"]:
        assert sample["arguments"][0][0] == sample["doc"]["prompt"]
        seen[sample["doc"]["id"]] = sample["resps"][0][0], sample["exact_match"] == 1.0
    return results["results"]["crosscheck"]["exact_match,boxed"], seen


def text_of(prepared: Prepared, trace: Trace) -> str:
    """A completion as lm-eval hands it on: without the opening and the end of the turn."""
    return decode(prepared.engine.student.tokenizer, trace.token_ids[len(prepared.style.forced) :])


@torch.inference_mode()
def gap(prepared: Prepared, trace: Trace, text: str) -> float:
    """Where `text` parts from the trace: the difference in logits of the two likeliest tokens there."""
    other = prepared.engine.student.tokenizer(text, add_special_tokens=False)["input_ids"]
    own = trace.token_ids.tolist()[len(prepared.style.forced) :]
    at = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    ids = [*trace.prompt_ids.tolist(), *prepared.style.forced, *own[:at]]
    top = prepared.engine.student.model(torch.tensor([ids])).logits[0, -1].float().topk(2).values
    return float(top[0] - top[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="world:size=300,seed=5")
    parser.add_argument("--model", default="world")
    parser.add_argument("--max-tokens", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = EvalConfig.of(
            run=folder / "run", benchmark=options.benchmark, model=options.model, model_device="cpu",
            model_dtype="float32", greedy=True, max_tokens=options.max_tokens, repetition_window=0,
        )  # fmt: skip
        prepared, traces = ours(config)
        accuracy, seen = theirs(prepared, folder)
        right = {i: trace.verdict == "correct" for i, trace in traces.items()}
        texts = {i: text_of(prepared, trace) for i, trace in traces.items()}
        print(f"ownwords: {sum(right.values()) / len(right):.4f} of {len(right)} problems")
        print(f"lm-eval:  {accuracy:.4f} of {len(seen)} problems")
        same = sum(texts[i] == text for i, (text, _) in seen.items())
        print(f"completions that are equal: {same} of {len(seen)}")
        for i, (text, correct) in seen.items():
            if text != texts[i]:
                print(f"{i}: the texts part where two tokens are {gap(prepared, traces[i], text):.2g} nats apart")
            if correct != right[i]:
                answer = next(p.answer for p in prepared.problems if p.id == i)
                print(
                    f"{i}: ownwords {traces[i].verdict}, lm-eval {'right' if correct else 'wrong'}; "
                    f"reference {answer!r}, ours {traces[i].answer!r}, theirs ends {text[-60:]!r}"
                )


if __name__ == "__main__":
    main()
