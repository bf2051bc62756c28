#!/usr/bin/env python3
"""Benchmarks gateways side by side in interleaved rounds; prints a table and each one's ratio to nginx.

    run.py [--rounds 3] [--only nginx,waypost] [--seconds 8] [--gateways FILE]... [--json OUT]

CPU time of the gateway's process tree per request is the figure to trust: it hardly depends on what else the machine
does. Needs nginx and wrk (Debian: nginx-light, wrk). Builds the release binaries first; WAYPOST_BIN names another
gateway to test. Works in $BENCH_WORK (default: a folder under the system's temporary folder). All stays on loopback.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request

ROOT = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(ROOT))
WORK = os.environ.get("BENCH_WORK", os.path.join(tempfile.gettempdir(), "waypost-bench"))
BINARIES = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{REPOSITORY}/target"), "release")
TICKS = os.sysconf("SC_CLK_TCK")


def body(model, stream=False, directive=""):
    """The request of 1.4 KB, for this model."""
    with open(f"{ROOT}/../data/request{'_stream' if stream else ''}.json", encoding="utf-8") as file:
        request = json.load(file)
    request["model"] = model
    request["messages"][-1]["content"] += directive
    return json.dumps(request, separators=(",", ":")).encode()


# --- processes


def tree(root):
    """A process and all below it."""
    children = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = open(path).read()
        except OSError:
            continue
        parent = int(text[text.rindex(")") + 2 :].split()[1])
        children.setdefault(parent, []).append(int(path.split("/")[2]))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_seconds(root):
    total = 0
    for pid in tree(root):
        try:
            text = open(f"/proc/{pid}/stat").read()
        except OSError:
            continue
        total += sum(map(int, text[text.rindex(")") + 2 :].split()[11:13]))
    return total / TICKS


def rss_mib(root):
    total = 0
    for pid in tree(root):
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
        except (OSError, TypeError):
            pass
    return total / 1024


running = []


def spawn(command, log):
    out = open(log, "ab")
    process = subprocess.Popen(
        "exec " + command, shell=True, cwd=WORK, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )
    running.append(process)
    return process


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    running.remove(process)


def prepare():
    """Tools, binaries and the work folder; then both upstreams."""
    for tool in ("nginx", "wrk", "cargo"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing (Debian packages: nginx-light, wrk)")
    os.makedirs(WORK, exist_ok=True)
    shutil.copytree(f"{ROOT}/conf", f"{WORK}/conf", dirs_exist_ok=True)
    shutil.copy(f"{ROOT}/../data/completion.json", f"{WORK}/conf/completion.json")
    packages = ["-p", "waypost-bench"] + ([] if "WAYPOST_BIN" in os.environ else ["-p", "waypost"])
    subprocess.run(["cargo", "build", "-q", "--release", "--bins", *packages], cwd=REPOSITORY, check=True)
    os.environ.setdefault("WAYPOST_BIN", f"{BINARIES}/waypost")
    spawn(f"nginx -p {WORK} -c {WORK}/conf/nginx-mock.conf", f"{WORK}/nginx-mock.log")
    spawn(f"{BINARIES}/mock 9002", f"{WORK}/mock.log")
    time.sleep(0.5)


def fill(text):
    text = text.replace("{R}", ROOT).replace("{W}", WORK)
    return re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], ""), text)


def start(g, plain):
    """Starts a gateway; the process and the seconds until its first answer."""
    for old in glob.glob(f"{WORK}/*.db*"):
        os.remove(old)
    began, last = time.time(), None
    process = spawn(fill(g["start"]), f"{WORK}/{g['name']}.log")
    while process.poll() is None and time.time() - began < g.get("start_timeout", 30):
        try:
            if post(g["url_json"], plain, g.get("headers", {})) == 200:
                return process, time.time() - began
        except OSError as e:
            last = getattr(e, "read", lambda: e)()
        time.sleep(0.002)
    raise RuntimeError(f"{g['name']} gives no answer: {last}; see {WORK}/{g['name']}.log")


# --- load


def post(url, data, headers):
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json", **headers})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        answer.read()
        return answer.status


SCRIPT = """
wrk.method = "POST"
local f = io.open("%s", "rb"); wrk.body = f:read("*a"); f:close()
%s
done = function(s, l, r)
  local bad = s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout
  io.write(string.format('RESULT {"n":%%d,"us":%%d,"bad":%%d}\\n', s.requests, s.duration, bad))
end
"""


def wrk(url, data, headers, seconds, connections):
    with open(f"{WORK}/body.json", "wb") as file:
        file.write(data)
    sent = {"Content-Type": "application/json", **headers}
    lines = "\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in sent.items())
    with open(f"{WORK}/post.lua", "w") as file:
        file.write(SCRIPT % (f"{WORK}/body.json", lines))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", f"{WORK}/post.lua", url]
    out = subprocess.run(command, capture_output=True, text=True)
    return json.loads(re.search(r"RESULT (\{.*\})", out.stdout)[1])


def load(mode, url, data, headers, seconds, *extra):
    with open(f"{WORK}/body-load.json", "wb") as file:
        file.write(data)
    command = [f"{BINARIES}/load", mode, url, f"{WORK}/body-load.json", str(seconds), *map(str, extra)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 6 + 60)
    return json.loads(out.stdout.strip().splitlines()[-1])


def per_request(pid, run, count):
    """Microseconds of CPU time for each request, and what the run gave."""
    before = cpu_seconds(pid)
    result = run()
    return (cpu_seconds(pid) - before) / max(1, count(result)) * 1e6, result


def turn(g, seconds):
    """One gateway, started fresh: every figure of one round."""
    headers, models = g.get("headers", {}), {"json": "mock-json", "sim": "mock-sim", **g.get("models", {})}
    plain = body(models["json"])
    paced, burst = (body(models["sim"], True, f" mock[ttft=0,n=60,gap={gap}]") for gap in (5, 0))
    process, start_s = start(g, plain)
    pid = process.pid
    try:
        out = {"start_s": start_s, "rss_idle": rss_mib(pid)}
        wrk(g["url_json"], plain, headers, 2, 16)
        run = lambda: wrk(g["url_json"], plain, headers, seconds, 64)
        out["cpu_us"], r = per_request(pid, run, lambda r: r["n"] - r["bad"])
        out.update(rps=r["n"] / r["us"] * 1e6, bad=r["bad"])
        rate = ("-c", 32, "-r", g.get("rate", 200))
        through = load("open", g["url_json"], plain, headers, 4, *rate)
        direct = load("open", "http://127.0.0.1:9001/v1/chat/completions", plain, {}, 2, *rate)
        out["added_p50_us"] = through["p50_us"] - direct["p50_us"]
        load("closed", g["url_sim"], burst, headers, 1, "-c", 8)
        for name, data, share in (("paced_us", paced, 0.7), ("burst_us", burst, 0.5)):
            run = lambda: load("closed", g["url_sim"], data, headers, seconds * share, "-c", 32)
            out[name], r = per_request(pid, run, lambda r: r["ok"])
            out["bad"] += r["err"]
        out["rss_after"] = rss_mib(pid)
        return out
    finally:
        stop(process)


COLUMNS = [
    ("cpu_us", "CPU us/request", 1),
    ("rps", "requests/s", 0),
    ("added_p50_us", "added p50 us", 0),
    ("paced_us", "CPU us/60-chunk stream, paced", 0),
    ("burst_us", "burst", 0),
    ("rss_idle", "MiB idle", 0),
    ("rss_after", "MiB after", 0),
    ("start_s", "start s", 3),
    ("bad", "failed", 0),
]


def gateways(files, only=()):
    """gateway: name, start, url_json, url_sim; headers, models, rate, start_timeout, needs (a file) where they differ."""
    found = []
    for path in files:
        with open(path, "rb") as file:
            found += tomllib.load(file)["gateway"]
    found = [g for g in found if not only or g["name"] in only]
    return [g for g in found if os.path.exists(fill(g.get("needs", ROOT)))]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--only", default="")
    a.add_argument("--seconds", type=float, default=8)
    a.add_argument("--gateways", action="append", default=[f"{ROOT}/gateways.toml"])
    a.add_argument("--json")
    a = a.parse_args()
    chosen = gateways(a.gateways, [name for name in a.only.split(",") if name])
    results = {g["name"]: [] for g in chosen}
    try:
        prepare()
        for n in range(a.rounds):
            for g in chosen:
                results[g["name"]].append(turn(g, a.seconds))
                print(f"round {n + 1} {g['name']}: {results[g['name']][-1]['cpu_us']:.1f} us", file=sys.stderr, flush=True)
    finally:
        for process in list(running):
            stop(process)
    median = {name: {k: statistics.median(r[k] for r in rs) for k in rs[0]} for name, rs in results.items()}
    print("| gateway | " + " | ".join(c[1] for c in COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    for name, m in median.items():
        print(f"| {name} | " + " | ".join(f"{m[k]:,.{d}f}" for k, _, d in COLUMNS) + " |")
    if "nginx" in median:
        for name, m in median.items():
            ratios = (f"{k} {m[k] / median['nginx'][k]:.2f}" for k in ("cpu_us", "paced_us", "burst_us"))
            print(f"{name}/nginx: " + ", ".join(ratios))
    if a.json:
        with open(a.json, "w") as file:
            json.dump({"median": median, "rounds": results}, file, indent=1)


if __name__ == "__main__":
    main()
