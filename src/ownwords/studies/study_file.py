"""A study as its file says it: what all arms have in common, the arms, the seeds and the benchmarks.

    generate: {teacher: world, student: world, problems: "world:size=400,seed=7", attempts: 4}
    train: {preset: world, steps: 60}
    eval: {greedy: true}
    seeds: [1, 2, 3, 4, 5]
    benchmarks:
      the same kind: {benchmark: "world:size=1000,seed=8"}
    control: own rollouts
    arms:
      plain teacher: {generate: {gate: always}}
      own rollouts: {generate: {gate: never}}
      RSD: {}

`generate`, `score`, `select`, `train`, `distill` and `eval` hold options of these commands by their flat names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ownwords.io.paths import read_text
from ownwords.io.strict_yaml import parse_mapping, parse_yaml

COMMANDS = ("generate", "score", "select", "train", "distill", "eval")
OWN, SHARED = "each its own", "all the same"
PROBLEMS = {"own": OWN, "shared": SHARED}
"""what the arms are trained on: each at all problems that it solved, or at those that every arm solved"""
KNOWN = (*COMMANDS, "seeds", "benchmarks", "arms", "vary", "problems", "shared_by", "control", "quick", "about")
OF_ARM = (*COMMANDS[:-1], "traces")
EXPECTED = "a YAML file of a study"


@dataclass(frozen=True)
class Arm:
    """One way to make a student better."""

    said: str
    """its name in the file"""
    varied: str
    """what it has of `vary`, in words"""
    options: dict[str, dict[str, Any]]
    """command -> its options, with what the arms have in common"""
    traces: str | None = None
    """a file or a run with traces that are there, in place of made ones"""
    selects: bool = False
    """traces are chosen by `ownwords score` and `ownwords select`, not by the training itself"""
    distills: bool = False
    """it learns from what it writes itself, and a teacher says of each token (on-policy distillation)"""

    @property
    def name(self) -> str:
        return self.said + self.varied


@dataclass(frozen=True)
class Study:
    """What the file says, nothing left open."""

    student: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    benchmarks: dict[str, dict[str, Any]]
    """name -> options of `ownwords eval`"""
    problems: tuple[str, ...]
    """of `own` and `shared`"""
    shared_by: tuple[str, ...]
    """the arms whose solved problems are shared"""
    control: str | None
    """the arm that the others are compared with, each with the one that has the same of `vary`"""
    about: str = ""
    """what the study asks"""

    def control_of(self, name: str) -> str | None:
        """The control of the arm of this name; None of the base, and of the control itself."""
        arm = next((one for one in self.arms if one.name == name), None)
        return None if arm is None or self.control in (None, arm.said) else f"{self.control}{arm.varied}"


def read_study(path: Path, changes: Sequence[str] = (), quick: bool = False) -> Study:
    """`changes`: such as train.steps=9 or seeds=[1,2]. `quick`: with what stands below `quick` in the file.

    Raises ValueError in one line for what is no study.
    """
    try:
        said = parse_mapping(read_text(path, EXPECTED))
        if quick:
            if not isinstance(said.get("quick"), dict):
                raise ValueError("it has no part `quick`, which --quick is about")
            said = merged(said, said["quick"])
        for change in changes:
            said = merged(said, _change(change))
        return _study(said)
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _change(text: str) -> dict[str, Any]:
    """`a.b=3` as {a: {b: 3}}; a name with a point in it cannot be changed so."""
    name, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"--set {text}: expected NAME=VALUE, such as train.steps=9")
    found = parse_yaml(value)
    for part in reversed(name.split(".")):
        found = {part: found}
    return dict(found)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings within mappings are merged, too; null takes an entry away."""
    found = dict(base)
    for name, value in over.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            inner = found.get(name)
            found[name] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            found[name] = value
    return found


def _study(said: dict[str, Any]) -> Study:
    _known(said, KNOWN, "")
    common = {command: _mapping(said, command) for command in COMMANDS}
    arms = tuple(_arms(_mapping(said, "arms"), common, _mapping(said, "vary")))
    benchmarks = {name: _mapping(_mapping(said, "benchmarks"), name) for name in _mapping(said, "benchmarks")}
    seeds, problems = said.get("seeds", [1, 2, 3, 4, 5]), said.get("problems", ["own"])
    names = list(dict.fromkeys(arm.said for arm in arms))
    if not arms or not benchmarks:
        raise ValueError(f"it has {len(arms)} arms and {len(benchmarks)} benchmarks, expected one of each at least")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"seeds is {seeds!r}, expected a list of whole numbers such as [1, 2, 3]")
    if len({*seeds}) < len(seeds):
        raise ValueError(f"seeds is {seeds}, expected each once")
    if not isinstance(problems, list) or not problems or not {*problems} <= PROBLEMS.keys():
        raise ValueError(f"problems is {problems!r}, expected [own], [shared] or both")
    control, shared_by = said.get("control"), said.get("shared_by", [arm.said for arm in arms if not arm.distills])
    for name, among in (("control", [control] if control else []), ("shared_by", shared_by)):
        if missing := [one for one in among if one not in names]:
            raise ValueError(f"{name} names {missing[0]!r}, expected one of the arms {', '.join(names)}")
    student = common["generate"].get("student", "world")
    return Study(
        student,
        arms,
        tuple(seeds),
        {name: merged(common["eval"], options) for name, options in benchmarks.items()},
        tuple(problems),
        tuple(shared_by),
        control,
        str(said.get("about", "")).strip(),
    )


def _arms(said: dict[str, Any], common: dict[str, Any], vary: dict[str, Any]) -> list[Arm]:
    """Each arm with each combination of what varies."""
    found = []
    for name in said:
        mine = _mapping(said, name)
        _known(mine, OF_ARM, f"arms.{name}: ")
        for values in product(*(_values(option, values) for option, values in vary.items())):
            options = {command: merged(common[command], _mapping(mine, command)) for command in COMMANDS[:-1]}
            told = ""
            for option, value in zip(vary, values, strict=True):
                command, _, flat = option.partition(".")
                options[command] = options[command] | {flat: value}
                told += f", {flat} {value:g}" if isinstance(value, float) else f", {flat} {value}"
            traces = mine.get("traces")
            found.append(
                Arm(
                    name,
                    told,
                    options,
                    None if traces is None else str(traces),
                    selects="select" in mine,
                    distills="distill" in mine,
                )
            )
    return found


def _values(option: str, values: Any) -> list[Any]:
    if option.partition(".")[0] not in COMMANDS[:-1] or "." not in option:
        raise ValueError(f"vary names {option!r}, expected an option of a command, such as train.learning_rate")
    if not isinstance(values, list) or not values:
        raise ValueError(f"vary.{option} is {values!r}, expected a list")
    return values


def _mapping(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise ValueError(f"{name} is {found!r}, expected options")
    return found


def _known(said: dict[str, Any], known: Sequence[str], where: str) -> None:
    for name in said:
        if name in ("checkpoint", "checkpoints"):
            raise ValueError(
                f"{where}{name} cannot be chosen: a study evaluates the last one, since the best of several on a "
                "benchmark is no measurement of it"
            )
        if name not in known:
            raise ValueError(f"{where}{name} is not known, expected one of {', '.join(known)}")
