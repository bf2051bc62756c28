"""What a request says, whatever its dialect: bodies that reached a provider, for comparison with a case."""

import json
from dataclasses import dataclass, field


@dataclass
class Said:
    system: str = ""
    turns: list = field(default_factory=list)  # [role, text]
    images: list = field(default_factory=list)  # [media type, base64]
    calls: list = field(default_factory=list)  # [id, name, arguments]
    results: list = field(default_factory=list)  # [id, text]
    thoughts: list = field(default_factory=list)  # [text, signature]
    tools: dict = field(default_factory=dict)  # name: JSON schema
    choice: str = None  # auto, none, required, or a tool's name
    schema: dict = None
    cap: int = None
    thinks: bool = False
    shows: bool = True  # the thoughts, where that has to be asked for

    def text(self, role, text):
        if text:
            self.turns.append([role, text])


def said(seen):
    readers = {"azure": openai, "vertex": gemini}
    out = Said()
    readers.get(seen.place, globals().get(seen.place))(seen.body, out)
    return out


def parts(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def joined(content):
    return "".join(p["text"] for p in parts(content))


def data_url(url):
    head, _, data = url.partition(",")
    return [head.removeprefix("data:").removesuffix(";base64"), data]


def openai(body, out):
    for message in body["messages"]:
        role = message["role"]
        if role in ("system", "developer"):
            out.system += joined(message["content"])
        elif role == "tool":
            out.results.append([message["tool_call_id"], joined(message["content"])])
        else:
            for part in parts(message.get("content")):
                if part["type"] == "image_url":
                    out.images.append(data_url(part["image_url"]["url"]))
                else:
                    out.text(role, part["text"])
            for call in message.get("tool_calls", []):
                function = call["function"]
                out.calls.append([call["id"], function["name"], json.loads(function["arguments"])])
    out.tools = {t["function"]["name"]: t["function"]["parameters"] for t in body.get("tools", [])}
    choice = body.get("tool_choice")
    out.choice = choice["function"]["name"] if isinstance(choice, dict) else choice
    out.schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    out.cap = body.get("max_completion_tokens") or body.get("max_tokens")
    out.thinks = "reasoning_effort" in body


def responses(body, out):
    out.system = body.get("instructions") or ""
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            out.calls.append([item["call_id"], item["name"], json.loads(item["arguments"])])
        elif kind == "function_call_output":
            out.results.append([item["call_id"], joined(item["output"])])
        elif kind == "reasoning":
            out.thoughts.append(["".join(s["text"] for s in item["summary"]), item.get("encrypted_content")])
        elif item["role"] in ("system", "developer"):
            out.system += joined(item["content"])
        else:
            for part in parts(item["content"]):
                if part["type"] == "input_image":
                    out.images.append(data_url(part["image_url"]))
                else:
                    out.text(item["role"], part["text"])
    out.tools = {t["name"]: t["parameters"] for t in body.get("tools", [])}
    choice = body.get("tool_choice")
    out.choice = choice["name"] if isinstance(choice, dict) else choice
    out.schema = body.get("text", {}).get("format", {}).get("schema")
    out.cap = body.get("max_output_tokens")
    out.thinks = bool(body.get("reasoning", {}).get("effort"))


def anthropic(body, out):
    out.system = joined(body.get("system"))
    for message in body["messages"]:
        for part in parts(message["content"]):
            kind = part["type"]
            if kind == "tool_use":
                out.calls.append([part["id"], part["name"], part["input"]])
            elif kind == "tool_result":
                out.results.append([part["tool_use_id"], joined(part["content"])])
            elif kind == "thinking":
                out.thoughts.append([part["thinking"], part["signature"]])
            elif kind == "image":
                out.images.append([part["source"]["media_type"], part["source"]["data"]])
            else:
                out.text(message["role"], part["text"])
    out.tools = {t["name"]: t["input_schema"] for t in body.get("tools", [])}
    choice = body.get("tool_choice") or {}
    out.choice = choice.get("name") or {"any": "required"}.get(choice.get("type"), choice.get("type"))
    out.schema = (body.get("output_config", {}).get("format") or {}).get("schema")
    out.cap = body["max_tokens"]
    out.thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def gemini(body, out):
    out.system = "".join(p["text"] for p in body.get("systemInstruction", {}).get("parts", []))
    for content in body["contents"]:
        for part in content["parts"]:
            if call := part.get("functionCall"):
                out.calls.append([call.get("id"), call["name"], call.get("args", {})])
            elif result := part.get("functionResponse"):
                values = list(result["response"].values())
                whole = len(values) == 1 and isinstance(values[0], str)
                out.results.append([result.get("id"), values[0] if whole else json.dumps(result["response"])])
            elif image := part.get("inlineData"):
                out.images.append([image["mimeType"], image["data"]])
            elif part.get("thought"):
                out.thoughts.append([part["text"], part.get("thoughtSignature")])
            else:
                out.text({"model": "assistant"}.get(content["role"], content["role"]), part["text"])
    declared = [d for t in body.get("tools", []) for d in t.get("functionDeclarations", [])]
    out.tools = {d["name"]: d.get("parametersJsonSchema") or d.get("parameters") for d in declared}
    choice = body.get("toolConfig", {}).get("functionCallingConfig", {})
    names = choice.get("allowedFunctionNames")
    out.choice = names[0] if names else {"ANY": "required"}.get(choice.get("mode"), choice.get("mode", "").lower())
    config = body.get("generationConfig", {})
    out.schema = config.get("responseJsonSchema") or config.get("responseSchema")
    out.cap = config.get("maxOutputTokens")
    out.thinks = "thinkingConfig" in config
    out.shows = config.get("thinkingConfig", {}).get("includeThoughts", False)


def bedrock(body, out):
    out.system = "".join(p["text"] for p in body.get("system", []))
    for message in body["messages"]:
        for part in message["content"]:
            if call := part.get("toolUse"):
                out.calls.append([call["toolUseId"], call["name"], call["input"]])
            elif result := part.get("toolResult"):
                texts = [p["text"] if "text" in p else json.dumps(p["json"]) for p in result["content"]]
                out.results.append([result["toolUseId"], "".join(texts)])
            elif image := part.get("image"):
                out.images.append([f"image/{image['format']}", image["source"]["bytes"]])
            elif thought := part.get("reasoningContent"):
                text = thought["reasoningText"]
                out.thoughts.append([text["text"], text.get("signature")])
            else:
                out.text(message["role"], part["text"])
    config = body.get("toolConfig", {})
    out.tools = {t["toolSpec"]["name"]: t["toolSpec"]["inputSchema"]["json"] for t in config.get("tools", [])}
    [choice] = config.get("toolChoice", {"": {}})
    named = config.get("toolChoice", {}).get("tool", {}).get("name")
    out.choice = named or {"any": "required"}.get(choice, choice)
    text = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {})
    out.schema = json.loads(text["schema"]) if text else None
    out.cap = body.get("inferenceConfig", {}).get("maxTokens")
    more = body.get("additionalModelRequestFields", {})
    out.thinks = "thinking" in more or "reasoning_config" in more or "effort" in body.get("outputConfig", {})
