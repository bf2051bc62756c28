#!/usr/bin/env python3
"""Unrounded figures of the reference evaluator, for comparison with `waypost eval`. Needs numpy and the evaluator's file.

  reference.py EVALUATE.py fixtures DIR                      writes the synthetic cases of crates/learn/tests/fixtures/eval
  reference.py EVALUATE.py judge DATA PRED [DEV_DATA DEV_PRED]   prints the figures of one evaluation as JSON

EVALUATE.py is given by its path and is no part of this repository. A figure that is not finite is null; `ece` is null
where predictions are equal, since the order in which the evaluator sorts equals is not defined.
"""
import importlib.util
import json
import math
import pathlib
import sys

import numpy as np


def evaluator(path):
    spec = importlib.util.spec_from_file_location("evaluate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(ev, data, pred, dev=None):
    """The figures over the sample itself (one row of weights, all ones), and the operating points."""
    rows = ev.rd(data)
    models, score, cost = ev.matrix(rows)
    quality, predicted_cost, _ = ev.load_pred(pred, rows, models)
    ones = np.ones((1, len(rows)))
    out = {}
    if len(models) == 2:
        strong = int(np.argmax(score.mean(0)))
        gain = quality[:, strong] - quality[:, 1 - strong]
        out.update(ev.two_model(gain, score[:, strong], score[:, 1 - strong], ones))
    choice = ev.choose(quality, cost.mean(0) if predicted_cost is None else predicted_cost)
    with np.errstate(all="ignore"):
        out.update(ev.multi(choice, score, cost, ones))
    out = {name: float(value[0]) for name, value in out.items()}
    tied = len(np.unique(quality)) < quality.size
    out["ece"] = math.nan if tied else ev.ece(quality, score)
    out = {name: value if math.isfinite(value) else None for name, value in out.items()}
    if dev:
        dev_rows = ev.rd(dev[0])
        _, dev_score, dev_cost = ev.matrix(dev_rows, models)
        dev_quality, dev_predicted, _ = ev.load_pred(dev[1], dev_rows, models)
        dev_choice = ev.choose(dev_quality, dev_cost.mean(0) if dev_predicted is None else dev_predicted)
        out["operating_points"] = ev.operating_points(dev_choice, dev_score, dev_cost, choice, score, cost)
    return out


def lines(path, items):
    path.write_text("".join(json.dumps(item, separators=(",", ":")) + "\n" for item in items))


def synthetic(rng, rows, skill, price, prefix="q"):
    """Rows of a difficulty that their length hints at; models of a skill and a price; scores in quarters."""
    out = []
    for i in range(rows):
        hard = rng.normal()
        words = int(max(1, 12 + 6 * hard + 4 * rng.normal()))
        outcomes = {}
        for k, (s, p) in enumerate(zip(skill, price)):
            right = 1 / (1 + math.exp(-(s - hard + 0.5 * rng.normal())))
            score = round(4 * right) / 4 if k % 2 else float(rng.random() < right)
            outcomes[f"model-{chr(97 + k)}"] = {"score": score, "cost_usd": round(p * words * (0.5 + rng.random()), 9)}
        task = ["sums", "prose", "code"][i % 3]
        out.append({"id": f"{prefix}{i}", "source": "synthetic", "task": task, "prompt": "w " * words, "outcomes": outcomes})
    return out


def guesses(rng, rows, noise, digits=6, costs=False):
    """Predictions: what came out, blurred."""
    out = []
    for row in rows:
        blur = lambda o: 1 / (1 + math.exp(-(2 * (o["score"] - 0.5) + noise * rng.normal())))
        scores = {m: round(blur(o), digits) for m, o in row["outcomes"].items()}
        line = {"id": row["id"], "scores": scores}
        if costs:
            line["costs"] = {m: round(o["cost_usd"] * math.exp(0.4 * rng.normal()), 9) for m, o in row["outcomes"].items()}
        out.append(line)
    return out


def without_costs(rows):
    """The first model's cost is never said, and the second's is null in every third row."""
    for i, row in enumerate(rows):
        del row["outcomes"]["model-a"]["cost_usd"]
        if i % 3 == 0:
            row["outcomes"]["model-b"]["cost_usd"] = None
    return rows


def means(rows):
    models = list(rows[0]["outcomes"])
    mean = {m: sum(r["outcomes"][m]["score"] for r in rows) / len(rows) for m in models}
    return [{"id": r["id"], "scores": mean} for r in rows]


def cases():
    """Each case: its rows and predictions, and with dev those of dev."""
    rng = np.random.default_rng(20261127)
    four, prices = [-0.5, 0.2, 0.8, 1.5], [2e-6, 9e-6, 3e-5, 4e-4]
    pair = synthetic(rng, 120, [0.0, 1.2], [3e-6, 2e-4])
    yield "pair_ties", pair, guesses(rng, pair, 1.0, digits=1), None
    exact = synthetic(rng, 90, [0.4, 0.9], [5e-6, 1e-4])
    dev = synthetic(rng, 80, [0.4, 0.9], [5e-6, 1e-4], "d")
    yield "pair", exact, guesses(rng, exact, 1.5, digits=17), (dev, guesses(rng, dev, 1.5))
    many = synthetic(rng, 150, four + [0.6, 1.4], prices + [5e-6, 1e-4])
    dev = synthetic(rng, 100, four + [0.6, 1.4], prices + [5e-6, 1e-4], "d")
    yield "many", many, guesses(rng, many, 1.2), (dev, guesses(rng, dev, 1.2))
    priced = synthetic(rng, 110, four + [1.0], prices + [6e-5])
    yield "predicted_costs", priced, guesses(rng, priced, 1.4, costs=True), None
    free = without_costs(synthetic(rng, 80, four, prices))
    yield "missing_cost", free, guesses(rng, free, 1.0), None
    partly = synthetic(rng, 80, four, prices)
    for row in partly[::4]:
        del row["outcomes"]["model-c"]["cost_usd"]
    yield "missing_some_cost", partly, guesses(rng, partly, 1.0), None
    flat = synthetic(rng, 100, four, prices)
    yield "constant", flat, means(flat), None
    worse = synthetic(rng, 100, [0.2, 1.3, -0.4], [1e-5, 8e-5, 6e-4])
    yield "dominated", worse, guesses(rng, worse, 1.0), None
    noise = synthetic(rng, 100, four, prices)
    yield "noise", noise, guesses(rng, noise, 50.0), None
    one = synthetic(rng, 40, [0.5], [1e-5])
    yield "one_model", one, guesses(rng, one, 1.0), None


def fixtures(ev, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows, pred, dev in cases():
        path = lambda part: folder / f"{name}.{part}"
        lines(path("rows.jsonl"), rows)
        lines(path("predictions.jsonl"), pred)
        if dev:
            lines(path("dev.rows.jsonl"), dev[0])
            lines(path("dev.predictions.jsonl"), dev[1])
        paths = [str(path(p)) for p in ("dev.rows.jsonl", "dev.predictions.jsonl")] if dev else None
        figures = judge(ev, str(path("rows.jsonl")), str(path("predictions.jsonl")), paths)
        path("reference.json").write_text(json.dumps(figures, indent=1) + "\n")


def main():
    if len(sys.argv) < 4 or sys.argv[2] not in ("fixtures", "judge"):
        sys.exit(__doc__)
    ev, rest = evaluator(sys.argv[1]), sys.argv[3:]
    if sys.argv[2] == "fixtures":
        fixtures(ev, rest[0])
    else:
        print(json.dumps(judge(ev, rest[0], rest[1], rest[2:4] or None), indent=1))


if __name__ == "__main__":
    main()
