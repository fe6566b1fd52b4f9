"""The data card, and the upload, against a small real HTTP server that speaks the hub's part in it."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import make
from huggingface_hub import RepoCard

from ownwords.models.load import model_path
from ownwords.sharing.data_card import command, licence_of, public_name
from ownwords.sharing.run_export import export_run
from ownwords.sharing.upload import FILES
from ownwords.traces.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of two problems by the small student alone, whose folder and file names want escaping."""
    here = tmp_path_factory.mktemp("sharing")
    rows = [{"question": f"{i} + 1 =", "answer": str(i + 1)} for i in range(2)]
    (here / "a | <b>.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (here / "pupil").mkdir()
    for file in Path(model_path("world", "student")).iterdir():
        (here / "pupil" / file.name).symlink_to(file)
    (here / "pupil/README.md").write_text("---\nlicense: mit\n---\n# pupil\n")
    model = str(here / "pupil")
    make(
        here / "run", problems=str(here / "a | <b>.jsonl"), teacher=model, student=model, gate="never", attempts=2,
        max_tokens=12, seed=5,
    )  # fmt: skip
    export_run(here / "run", here / "run/exports", correct=False, title="someone/traces", licence="cc-by-4.0")
    return here / "run"


def test_the_card_tells_what_the_run_holds(run):
    card = RepoCard.load(run / "exports/README.md")
    assert card.data.license == "cc-by-4.0" and card.data.size_categories == "n<1K"
    # no attempt ended within 12 tokens, so nothing was selected, and a table without rows is not offered
    assert [c["config_name"] for c in card.data.configs] == ["problems", "tokens"]
    for line in ("| problems | 2 |", "| attempts | 4 |", "| selected traces | 0 |", "| gate | never |"):
        assert line in card.text
    assert "| teacher | pupil | mit |" in card.text and "| these traces | someone/traces | cc-by-4.0 |" in card.text
    markup = card.text.split("```")[0::2]
    assert "a &#124; &lt;b&gt;.jsonl (2)" in card.text and not any("<b>" in text for text in markup)
    assert str(run.parent) not in card.text
    with Store.read(run) as store:
        for name, version in store.versions.items():
            assert f"| {name} | {version} |" in card.text


def test_the_command_of_the_card_makes_the_same_run(run, monkeypatch, tmp_path):
    """Run where models and problems lie under the names that the card tells, it has the digest of the run."""
    from ownwords.cli.app import app
    from ownwords.cli.flags import gathered
    from ownwords.cli.generate import generate
    from ownwords.generation.config import GenerateConfig

    with Store.read(run) as store:
        words = shlex.split(command(store))
        config = {k: v for k, v in store.config.items() if k not in GenerateConfig.free() and "weights" not in k}
    monkeypatch.chdir(run.parent)
    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    again = json.loads(json.dumps(gathered(generate, bound.arguments)["config"].resolved().flat()))
    here = {"teacher", "student", "problems"}  # told by the last part of their path
    assert {k: again[k] for k in config if k not in here} == {k: v for k, v in config.items() if k not in here}
    assert {again[k] for k in here} == {"pupil", "a | <b>.jsonl"} and again["attempts"] == 2


def test_it_loads_as_the_card_says(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    for name, rows in (("problems", 2), ("tokens", 4)):
        assert len(datasets.load_dataset(str(run / "exports"), name, split="train")) == rows
    assert len(datasets.load_dataset(str(run / "exports"), split="train")) == 2  # problems, by default


def test_a_card_is_not_overwritten_unasked(run):
    with pytest.raises(ValueError, match="holds README.md already"):
        export_run(run, run / "exports")


def test_names_and_licences(tmp_path):
    assert public_name("/home/me/models/big") == "big" and public_name(str(tmp_path)) == tmp_path.name
    assert public_name("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B" and public_name("<think>\n") == "<think>\n"
    assert public_name("hf:/home/me/set,split=train") == "hf:set,split=train" and public_name(0.5) == "0.5"
    assert licence_of("world", "model") == "apache-2.0"
    for name in ("nobody/nothing", str(tmp_path), "not a name: at all"):
        assert licence_of(name, "model") == "not stated"


class Hub(ThreadingHTTPServer):
    """As much of the hub as an upload of small files asks for: every file is sent within the commit."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.created: dict | None = None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, value, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        hub: Hub = self.server
        if self.headers["Authorization"] != "Bearer hf_test":
            self.answer(401, {"error": "Invalid credentials"})
        elif self.path.startswith("/api/whoami-v2"):
            self.answer(200, {"name": "someone", "type": "user", "orgs": []})
        elif hub.created is None:
            self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        elif "/tree/" in self.path:
            self.answer(200, [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in hub.files])
        else:
            siblings = [{"rfilename": name} for name in hub.files]
            self.answer(200, {"id": "someone/traces", "sha": "0" * 40, "siblings": siblings, "tags": []})

    def do_POST(self) -> None:
        hub: Hub = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            hub.created = json.loads(body)
            self.answer(200, {"url": f"{hub.url}/datasets/someone/traces"})
        elif "/preupload/" in self.path:
            files = [f["path"] for f in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]
            self.answer(200, {"files": modes})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self.answer(200, {"commitUrl": f"{hub.url}/datasets/someone/traces/commit/0", "commitOid": "0" * 40})
        else:
            self.answer(200, {})

    def log_message(self, *_: object) -> None:
        pass


def ownwords(*words: str, url: str, token: str = "hf_test") -> subprocess.CompletedProcess:
    hub = {"HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-m", "ownwords", *map(str, words)], env={**os.environ, **hub}, capture_output=True, text=True
    )


def test_an_upload(run, tmp_path):
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        export = ("export", run, "--out", tmp_path, "--to-hub", "someone/traces", "--incorrect")
        done = ownwords(*export, "--overwrite", url=hub.url)
        assert done.returncode == 0, done.stderr
        assert "uploaded to" in done.stdout and hub.created["type"] == "dataset"
        assert hub.created.get("private") or hub.created["visibility"] == "private"  # by the library's version
        assert hub.files == {name: (tmp_path / name).read_bytes() for name in FILES}
        again = ownwords(*export[:3], tmp_path / "other", *export[4:], url=hub.url)
        assert again.returncode == 2 and "someone/traces holds README.md, " in again.stderr
        assert not (tmp_path / "other").exists()
        hub.shutdown()


def test_a_hub_that_is_not_there_is_one_line_and_nothing_is_lost(run, tmp_path):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and "lock" not in p.name}
    done = ownwords("export", run, "--out", tmp_path / "new", "--to-hub", "a/b", url="http://127.0.0.1:9")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "cannot write the data set a/b of the hub" in done.stderr
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and "lock" not in p.name} == before


def test_a_hub_that_goes_away_leaves_the_export(run, tmp_path, monkeypatch):
    from ownwords.sharing.upload import push

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "README.md").write_text("card")
    with pytest.raises(ValueError, match=f"The export is kept in {tmp_path}: ownwords export --to-hub a/b --overwrite"):
        push(tmp_path, "a/b")
    assert (tmp_path / "README.md").read_text() == "card"


def test_generate_refuses_a_hub_that_it_cannot_write_before_the_first_token(run, tmp_path, monkeypatch, capfd):
    from ownwords.cli.app import main

    words = ["generate", "--run", tmp_path / "new", "--problems", "world:size=1", "--push-to-hub", "a//b"]
    monkeypatch.setattr(sys, "argv", ["ownwords", *map(str, words)])
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 2 and "cannot write the data set a//b of the hub" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()
