"""From token vectors to the table: weights, projection, int8, bytes. The layout is stated in embedding.rs."""

import struct
import zlib

import numpy as np

MAGIC, VERSION, HEADER = b"WAYPOSTE", 1, 64
DIMENSIONS = 64
FIRST = 999  # before it stand [PAD], [unusedN] and the special tokens: never in a text
FIRST_WORD = 1996  # "the": whole words in order of frequency, and pieces among them, from here on
SMOOTHING = 1e-3  # the `a` of a / (a + p)
HEAVIEST = 4095


def probabilities(vocabulary):
    """p(token) by Zipf's law, 1 / rank. The vocabulary is in order of frequency from "the" on; before that stand single
    characters in order of code point. Of those, the ASCII ones (the first 69) are taken to be as frequent as the 69 most
    frequent words, all others as rare as the last word."""
    tokens = vocabulary[FIRST:]
    last = len(vocabulary) - FIRST_WORD
    ranks = np.array([
        i - (FIRST_WORD - FIRST) + 1 if i >= FIRST_WORD - FIRST else (i + 1 if token.isascii() else last)
        for i, token in enumerate(tokens)
    ])
    p = 1.0 / ranks
    return p / p.sum()


def sif(vocabulary, smoothing=SMOOTHING):
    return smoothing / (smoothing + probabilities(vocabulary))


def project(vectors, dimensions):
    """Without the mean, on the first principal axes. Signs are fixed: of each axis, the largest entry is positive."""
    x = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(x.T @ x)
    axes = axes[:, ::-1][:, :dimensions]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimensions)])
    return x @ axes


def quantise_rows(x):
    """Each row to int8 with a scale of its own, the scale as a 12-bit integer: what is multiplied when pooling."""
    scale = np.abs(x).max(axis=1) / 127
    q = np.rint(x / scale[:, None]).astype(np.int8)
    return q, np.maximum(1, np.rint(scale / scale.max() * HEAVIEST)).astype(np.uint16)


def quantise_table(x):
    """One scale for all, for comparison."""
    return np.rint(x / (np.abs(x).max() / 127)).astype(np.int8), np.ones(len(x), dtype=np.uint16)


def pack(tokens):
    """Each token: its length, with the high bit for a piece that continues a word (`##`), and its UTF-8."""
    out = bytearray()
    for token in tokens:
        continues = token.startswith("##") and len(token) > 2
        text = token.removeprefix("##").encode() if continues else token.encode()
        assert 0 < len(text) < 0x80
        out += bytes([len(text) | (0x80 if continues else 0)]) + text
    return bytes(out)


def write(q, weights, vocabulary):
    packed = pack(vocabulary[FIRST:])
    body = q.astype("<i1").tobytes() + weights.astype("<u2").tobytes() + packed
    rest = struct.pack("<5I", VERSION, q.shape[1], FIRST, len(q), len(packed)).ljust(HEADER - len(MAGIC) - 4, b"\0") + body
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest
