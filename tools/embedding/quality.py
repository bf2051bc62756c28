#!/usr/bin/env python3
"""How much of the model's sense of likeness a table keeps: Spearman's correlation of the cosines of prompt pairs.

    python3 tools/embedding/quality.py WHEEL FOLDER     # FOLDER: *.train.jsonl.gz, a prompt a row
"""

import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np
import scipy.stats

import table
from minilm import MiniLm

PAIRS = 500
SEED = 20261127


def main(wheel, folder):
    model = MiniLm(wheel)
    pairs = sample(folder)
    texts = sorted({text for pair in pairs for text in pair})
    at = {text: i for i, text in enumerate(texts)}
    left, right = ([at[pair[side]] for pair in pairs] for side in (0, 1))
    ids = [model.ids(text) for text in texts]
    full = model.embed(ids)
    vectors = token_vectors(model)

    def correlation(rows):
        means = np.array([rows[[i - table.FIRST for i in row if i >= table.FIRST]].sum(axis=0) for row in ids])
        return scipy.stats.spearmanr(cosines(means, left, right), cosines(full, left, right)).statistic

    weights = table.sif(model.vocabulary)[:, None]
    print("| dimensions | float | int8, a scale a row | int8, one scale | float, no weights |")
    print("|---|---|---|---|---|")
    for dimensions in (32, 64, 128, 384):
        plain = table.project(vectors, dimensions)
        x = plain * weights
        stored = [x, *(q.astype(float) * w[:, None] for q, w in (table.quantise_rows(x), table.quantise_table(x))), plain]
        print(f"| {dimensions} | " + " | ".join(f"{correlation(rows):.4f}" for rows in stored) + " |")
    x = table.project(vectors, table.DIMENSIONS)
    for smoothing in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2):
        print(f"a = {smoothing}: {correlation(x * table.sif(model.vocabulary, smoothing)[:, None]):.4f}")


def sample(folder):
    """Pairs within a data set, as many of each: between data sets, a likeness of layout would be easily found."""
    draw = random.Random(SEED)
    pairs = []
    files = sorted(Path(folder).glob("*.train.jsonl.gz"))
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            prompts = sorted({json.loads(line)["prompt"] for line in lines})
        pairs += [draw.sample(prompts, 2) for _ in range(PAIRS // len(files))]
    return pairs


def token_vectors(model):
    return model.embed([[token] for token in range(table.FIRST, len(model.vocabulary))])


def cosines(x, left, right):
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return (x[left] * x[right]).sum(axis=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
