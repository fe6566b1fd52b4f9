"""A hook of MkDocs: the site's pages are the repository's Markdown, wherever it lies, so that no copy drifts.

Links in the Markdown lead from file to file, as GitHub reads them. On the site, a link to one of `PAGES` leads to its
page, and a link to any other file outside docs/ leads to the source. A link to nothing stays, and fails the build.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""file beside docs/ -> page of the site"""
SOURCE = "https://github.com/ownwords/ownwords/blob/main/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    folder = ROOT if page.file.src_uri in PAGES.values() else DOCS
    return re.sub(r"\]\(([^)#:]+)(#[^)]*)?\)", lambda link: f"]({moved(folder, link[1])}{link[2] or ''})", markdown)


def moved(folder: Path, target: str) -> str:
    """Where a link to `target`, written in a file of `folder`, leads on the site, whose pages lie side by side."""
    path = Path(os.path.normpath(folder / target))
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    if name in PAGES:
        return PAGES[name]
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return SOURCE + name if path.is_file() else target
