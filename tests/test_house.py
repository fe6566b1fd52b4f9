"""What strangers read first: every path that it names is there, its YAML parses, its versions agree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import ownwords

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".github/pull_request_template.md")
MADE = {"site/", ".venv", ".venv/bin/python", "dist/"}
"""what commands make"""


@pytest.mark.parametrize("name", PAGES)
def test_every_path_that_is_named_exists(name):
    text = (ROOT / name).read_text()
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    named = re.findall(r"(?<![\w./-])((?:\.?(?:src|docs|tests|benchmarks|ci|github))/[\w./-]+|[A-Z_]{6,}\.\w+)", text)
    missing = {path for path in {*linked, *named} - MADE if not (ROOT / path.rstrip("./")).exists()}
    assert not missing


def test_the_pages_name_paths_at_all():
    """So that the test above cannot pass because its patterns find nothing."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert {"src/ownwords/__init__.py", "tests/test_rsd_law.py"} <= set(re.findall(r"(?:src|tests)/[\w./]+\.py", text))


def yaml_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.yml", "*.yaml", "*.cff"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.split()]


def test_yaml_parses():
    read = {path.relative_to(ROOT).as_posix(): yaml.safe_load(path.read_text()) for path in yaml_files()}
    assert {"CITATION.cff", "mkdocs.yml", ".github/workflows/ci.yml"} <= read.keys()
    assert all(isinstance(content, dict) for content in read.values())
    for form in ("bug", "feature"):
        content = read[f".github/ISSUE_TEMPLATE/{form}.yml"]
        assert {"name", "description", "body"} <= content.keys()
        assert len({field["id"] for field in content["body"]}) == len(content["body"])


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ownwords.__version__
    assert [entry["value"] for entry in citation["references"][0]["identifiers"]] == ["arXiv:2509.22230"]


def test_the_layers_in_the_guide_are_those_of_the_test():
    from test_layers import LAYERS

    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert tuple(rows) == tuple(name for name in LAYERS if name not in {"numbers", "__main__"})


def test_every_page_of_the_documentation_has_a_place_in_the_site():
    text = (ROOT / "mkdocs.yml").read_text()
    assert all(f": {path.name}" in text for path in (ROOT / "docs").glob("*.md"))
