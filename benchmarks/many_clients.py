"""Clients of `ownwords serve`, many at once and for long: does it lose memory, or blocks of keys and values?

ownwords serve --port 8000 --vllm-options.max_model_len 256 &
python benchmarks/many_clients.py --process $! --seconds 660

Each client asks again and again, of any gate and length. One request in ten has a prompt that is too long, one in ten
an unknown argument; one in five is left before its answer. Memory is the resident one of the server's processes.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--process", type=int, required=True, help="the server's process id")
parser.add_argument("--port", type=int, default=8000)
parser.add_argument("--clients", type=int, default=64)
parser.add_argument("--seconds", type=float, default=660)
parser.add_argument("--model", default="world")
options = parser.parse_args()
url, stop, done = f"http://127.0.0.1:{options.port}", time.monotonic() + options.seconds, Counter[str]()


def memory() -> float:
    """MiB of the server and all processes under it."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [[*map(int, line.split())] for line in listed.splitlines()]
    kin = {options.process}
    while more := {pid for pid, parent, _ in rows if parent in kin} - kin:
        kin |= more
    return sum(rss for pid, _, rss in rows if pid in kin) / 1024


def metric(name: str) -> float:
    text = urllib.request.urlopen(f"{url}/metrics", timeout=60).read().decode()
    return float(next(line for line in text.splitlines() if line.startswith(f"vllm:{name}{{")).split()[-1])


def client(number: int) -> None:
    rng = random.Random(number)
    while time.monotonic() < stop:
        kind = rng.random()
        asked = {
            "model": options.model, "prompt": f"What is {rng.randrange(99)} + {rng.randrange(99)}?", "temperature": 1,
            "max_tokens": rng.choice([8, 40, 150]),
            "vllm_xargs": {"gate": rng.choice(["always", "never", "threshold:0.01", "ratio"])},
        }  # fmt: skip
        if kind < 0.1:
            asked["prompt"] = "a b c " * 400
        elif kind < 0.2:
            asked["vllm_xargs"] = {"gat": "always"}
        body = json.dumps(asked).encode()
        if kind > 0.8:
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
            head += f"\r\nContent-Length: {len(body)}"
            with socket.create_connection(("127.0.0.1", options.port), timeout=60) as gone:
                gone.sendall(f"{head}\r\n\r\n".encode() + body)
                time.sleep(2 * rng.random())
            done["vanished"] += 1
            continue
        request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=600).read()
            done["answered"] += 1
        except urllib.error.HTTPError as refused:
            done[f"status {refused.code}"] += 1


print(f"before: {memory():.0f} MiB, share of blocks {metric('kv_cache_usage_perc'):g}", flush=True)
threads = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
started = time.monotonic()
for thread in threads:
    thread.start()
while (left := stop - time.monotonic()) > 0:
    time.sleep(min(60, left))
    told = f"{memory():.0f} MiB, share of blocks {metric('kv_cache_usage_perc'):.3f}, {dict(done)}"
    print(f"{time.monotonic() - started:.0f} s: {told}", flush=True)
for thread in threads:
    thread.join()
time.sleep(5)
print(f"after: {memory():.0f} MiB, share of blocks {metric('kv_cache_usage_perc'):g}, {dict(done)}")
