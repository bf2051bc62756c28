#!/usr/bin/env python3
"""Makes crates/core/data/catalogue.tsv from LiteLLM's price list. Standard library only, Python 3.11.

    python3 tools/catalogue/generate.py model_prices_and_context_window.json[.gz]
    python3 tools/catalogue/generate.py --check FILE     # compares only; exit code 1 where they differ

The same input gives the same bytes. README.md beside this file states the rules; tiers.py has the rule of size tiers,
supplement.tsv what the price list lacks.
"""

import gzip
import json
import re
import sys
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import tiers

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent.parent / "crates/core/data/catalogue.tsv"
COLUMNS = (
    "provider name kind window max_output capabilities tier input output cache_read cache_write reasoning long batch"
    " deprecated tokenizer"
).split()

# LiteLLM's provider -> ours, and what to take off the front of a key. Where two of theirs are one of ours, the first
# in this table wins a name that both have.
PROVIDERS = {
    "openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "gemini": ("gemini", "gemini/"),
    "mistral": ("mistral", "mistral/"),
    "deepseek": ("deepseek", "deepseek/"),
    "xai": ("xai", "xai/"),
    "groq": ("groq", "groq/"),
    "together_ai": ("together", "together_ai/"),
    "fireworks_ai": ("fireworks", "fireworks_ai/"),
    "fireworks_ai-embedding-models": ("fireworks", "fireworks_ai/"),
    "cerebras": ("cerebras", "cerebras/"),
    "bedrock_converse": ("bedrock", "bedrock/"),
    "bedrock": ("bedrock", "bedrock/"),
    "bedrock_mantle": ("bedrock", "bedrock_mantle/"),
    "azure": ("azure", "azure/"),
    "azure_ai": ("azure", "azure_ai/"),
    "vertex_ai": ("vertex", "vertex_ai/"),
    **{
        f"vertex_ai-{kind}": ("vertex", "vertex_ai/")
        for kind in (
            "language-models embedding-models anthropic_models mistral_models llama_models deepseek_models qwen_models"
            " openai_models zai_models moonshot_models minimax_models ai21_models"
        ).split()
    },
    "ollama": ("ollama", "ollama/"),
    "perplexity": ("perplexity", "perplexity/"),
    "deepinfra": ("deepinfra", "deepinfra/"),
    "moonshot": ("moonshot", "moonshot/"),
    "zai": ("zai", "zai/"),
    "cohere_chat": ("cohere", ""),
    "cohere": ("cohere", "cohere/"),
    "dashscope": ("dashscope", "dashscope/"),
    "minimax": ("minimax", "minimax/"),
    "novita": ("novita", "novita/"),
    "nebius": ("nebius", "nebius/"),
    "sambanova": ("sambanova", "sambanova/"),
    "baseten": ("baseten", "baseten/"),
    "vercel_ai_gateway": ("vercel", "vercel_ai_gateway/"),
}
RANK = {name: rank for rank, name in enumerate(PROVIDERS)}

# Keys that are no name at the vendor: LiteLLM's price classes, its short forms of Fireworks' names (which it has in full
# too), and regions and commitments as path segments.
NOT_A_NAME = re.compile(
    r"^together-ai-|^fireworks_ai/[^/]+$|^ft:|^(openai|azure)/container$"
    r"|^azure/(apac|eu|us|us-gov|global|global-standard)/"
    r"|^bedrock/(\*|invoke|claude_platform|[a-z]+(-gov)?-[a-z]+-\d)/|^bedrock_mantle/us-gov-"
)

# Vendors and models whose price is zero indeed. Elsewhere a zero in the list means that nobody stated one.
FREE = re.compile(r"^(ollama/|zai/glm-.*-flash$|gemini/gemma-|mistral/labs-)")

# Dollars per million tokens, of answers and of embeddings, above which a price is taken for a mistake of its unit.
DEAREST = (1000, 10)

# OpenAI states the longest input where others state the window: these sums are its published windows.
INPUT_PLUS_OUTPUT = {(272_000, 128_000): 400_000, (922_000, 128_000): 1_050_000}


def main(arguments):
    check = "--check" in arguments
    paths = [a for a in arguments if not a.startswith("-")]
    if len(paths) != 1:
        sys.exit(__doc__)
    raw = Path(paths[0]).read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    made = render(json.loads(text, parse_float=Decimal))
    if not check:
        OUTPUT.write_text(made, encoding="utf-8", newline="\n")
        print(f"{OUTPUT.name}: {made.count(chr(10)) - 1} models, {len(made.encode())} bytes")
    elif OUTPUT.read_text(encoding="utf-8") != made:
        sys.exit(f"{OUTPUT.name} is not what this price list makes")


def render(prices):
    """The whole file: a header, then a line a model, sorted by the bytes of provider and name."""
    rows = {}
    for key, entry in sorted(prices.items(), key=lambda item: (RANK.get(item[1].get("litellm_provider"), 0), item[0])):
        if entry.get("litellm_provider") in PROVIDERS and not NOT_A_NAME.search(key):
            row = fact(key, entry)
            # A bare key and a prefixed one may name the same model: the first of the better provider stays.
            rows.setdefault((row["provider"], row["name"]), row)
    for row in supplement(rows):
        rows[row["provider"], row["name"]] = row
    lines = ["#" + "\t".join(COLUMNS)]
    for _, row in sorted(rows.items(), key=lambda item: (item[0][0].encode(), item[0][1].encode())):
        lines.append("\t".join(row.get(column, "") for column in COLUMNS).rstrip("\t"))
    return "\n".join(lines) + "\n"


def fact(key, entry):
    """One line of the catalogue, as column -> text."""
    provider, prefix = PROVIDERS[entry["litellm_provider"]]
    name = key.removeprefix(prefix)
    kind = "embedding" if "embed" in name else entry["mode"]
    row = {"provider": provider, "name": name, "kind": kind}
    row |= windows(entry, kind)
    row |= price(f"{provider}/{name}", entry, kind)
    row["deprecated"] = entry.get("deprecation_date", "")
    row["tokenizer"] = tokenizer(name)
    if kind != "embedding":
        row["capabilities"] = capabilities(entry)
        row["tier"] = tiers.tier(provider, name, float(row.get("output") or 0)) or ""
    return row


def windows(entry, kind):
    """The window (input and output together) and the longest answer."""
    longest, output = int(entry.get("max_input_tokens") or 0), int(entry.get("max_output_tokens") or 0)
    window = INPUT_PLUS_OUTPUT.get((longest, output), longest)
    if window and output > window:
        output = window
    return {"window": str(window or ""), "max_output": "" if kind == "embedding" else str(output or "")}


def price(model, entry, kind):
    """The price columns, in dollars per million tokens; all empty where the list states no complete price."""
    tiered = entry.get("tiered_pricing") or []
    base = entry if entry.get("input_cost_per_token") is not None else (tiered[0] if tiered else entry)
    field = {
        "input": "input_cost_per_token",
        "output": "output_cost_per_token",
        "cache_read": "cache_read_input_token_cost",
        "cache_write": "cache_creation_input_token_cost",
        "reasoning": "output_cost_per_reasoning_token",
    }
    rate = {column: base.get(name) for column, name in field.items()}
    if kind == "embedding" and rate["input"] is not None:
        rate = {"input": rate["input"], "output": 0}
    if rate["input"] is None or rate["output"] is None:
        return {}
    if not rate["input"] and not rate["output"] and not FREE.search(model):
        return {}
    if max(rate["input"], rate["output"]) * 1_000_000 > DEAREST[kind == "embedding"]:
        return {}
    for column, otherwise in (("cache_read", "input"), ("cache_write", "input"), ("reasoning", "output")):
        # A rate that is zero or that its fallback would give is no statement.
        if not rate.get(column) or rate[column] == rate[otherwise]:
            rate.pop(column, None)
    row = {column: per_million(value) for column, value in rate.items()}
    row["long"] = long_price(entry, tiered if base is not entry else [], rate)
    batch = [entry.get(f"{field[column]}_batches") for column in ("input", "output")]
    if None not in batch:
        row["batch"] = ":".join(map(per_million, batch))
    return row


def long_price(entry, tiered, rate):
    """`above:input:output:cache_read:cache_write` of the first threshold; a cache rate that it does not state stays."""
    thresholds = sorted(
        int(found[1]) * 1000
        for found in (re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", field) for field in entry)
        if found
    )
    if thresholds:
        above, at = thresholds[0], lambda field: entry.get(f"{field}_above_{thresholds[0] // 1000}k_tokens")
    elif len(tiered) > 1:
        above, at = int(tiered[1]["range"][0]), tiered[1].get
    else:
        return ""
    values = [
        at("input_cost_per_token"),
        at("output_cost_per_token") or rate["output"],
        at("cache_read_input_token_cost") or rate.get("cache_read"),
        at("cache_creation_input_token_cost") or rate.get("cache_write"),
    ]
    return ":".join([str(above)] + ["" if value is None else per_million(value) for value in values])


def per_million(per_token):
    """Dollars a token -> dollars per million, exact to a nano-dollar, without the noise of binary fractions."""
    value = (Decimal(per_token) * 1_000_000).quantize(Decimal("1e-9"), ROUND_HALF_UP)
    text = f"{value:f}".rstrip("0").rstrip(".")
    return text or "0"


def capabilities(entry):
    """The complete list, `none`, or '' where the record does not say enough to be a complete list (README.md)."""
    states = entry.get
    if "supports_function_calling" not in entry:
        return ""
    if "supports_response_schema" not in entry and "supports_native_structured_output" not in entry:
        return ""
    modalities = states("supported_modalities") or []
    tools = states("supports_function_calling")
    can = {
        "vision": states("supports_vision") or states("supports_image_input") or "image" in modalities,
        "audio": states("supports_audio_input") or "audio" in modalities,
        "video": states("supports_video_input") or "video" in modalities,
        "documents": states("supports_pdf_input"),
        "tools": tools,
        "parallel_tools": tools and states("supports_parallel_function_calling") is not False,
        "structured_output": states("supports_response_schema") or states("supports_native_structured_output"),
        "reasoning": states("supports_reasoning"),
        "no_streaming": states("supports_native_streaming") is False,
    }
    return ",".join(name for name, yes in can.items() if yes) or "none"


def tokenizer(name):
    """cl100k for OpenAI's models up to GPT-4 and its embeddings; empty is o200k, the best public guess for the rest."""
    short = name.rsplit("/", 1)[-1]
    old = re.search(r"^(ft:)?(openai\.)?(gpt-3|gpt-4(?![o.]|-o)|text-embedding-(3|ada))", short)
    return "cl100k" if old else ""


def supplement(rows):
    """The hand-written lines. `provider name = other-provider other-name` copies a line of the list."""
    for line in (HERE / "supplement.tsv").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if cells[2] == "=":
            yield rows[cells[3], cells[4]] | {"provider": cells[0], "name": cells[1], "batch": ""}
        else:
            row = dict(zip(COLUMNS, cells))
            if row["kind"] == "chat" and not row.get("tier"):
                row["tier"] = tiers.tier(row["provider"], row["name"]) or ""
            yield row


if __name__ == "__main__":
    main(sys.argv[1:])
