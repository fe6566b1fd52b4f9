"""From trace sets to one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ownwords.io.files import plain_errors, replacing
from ownwords.io.paths import check_output
from ownwords.reports.attention import findings
from ownwords.reports.contents import embedded, facts
from ownwords.reports.figures import measure
from ownwords.reports.payload import shown
from ownwords.reports.pictures import pictures
from ownwords.reports.trace_sets import open_sources

SCRIPTS = ("decode.js", "overview.js", "browser.js", "reader.js", "start.js")


def write_report(
    paths: Sequence[Path],
    out: Path,
    budget: float = 16.0,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda step: None,
) -> None:
    """Write the report about the trace sets at `paths`, side by side in their order, to the HTML file `out`.

    Figures and pictures are about all traces; the traces of so many problems are embedded as fit into `budget`
    (MiB), and the page says of how many.

    Raises ValueError if `out` exists and `overwrite` is not set, or for whatever `open_sources` refuses.
    """
    if not budget > 0:
        raise ValueError(f"budget is {budget:g}, expected MiB above 0")
    check_output(out, overwrite, replace="overwrite")
    with open_sources(paths) as sources:
        sets = []
        for source in sources:
            tell(f"reading {source.name}")
            sets.append(measure(source))
        tell("drawing")
        drawn = pictures(sets)
        tell("embedding traces")
        found = findings(sets)
        data = {**facts(sets, drawn), **embedded(sets, found, budget)}
    page = render(data, title=" · ".join(one.name for one in sets))
    with plain_errors(out.parent), replacing([out]) as [file]:
        file.write(page)


def render(data: dict[str, Any], title: str) -> bytes:
    """The page. What the data says is text everywhere: it stands in a script element as JSON without any character
    that HTML reads, and reaches the document through `textContent`. The page's own script and style are the only ones
    that its security policy lets run, and it may load nothing."""
    folder = resources.files("ownwords.reports") / "page"
    script = '"use strict";\n' + "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    style = (folder / "page.css").read_text("utf-8")
    assert "</script" not in script and "</style" not in style
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII, so U+2028 and the like are escaped
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template((folder / "page.html").read_text("utf-8"))
    page = template.substitute(policy=policy, style=style, script=script, data=text, title=html.escape(shown(title)))
    return page.encode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
