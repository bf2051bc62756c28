"""The Python clients: each says a case in its own words, and tells what it got in those of the cases."""

import json

import anthropic
import langchain_anthropic
import langchain_core.messages as lc
import langchain_openai
import openai

from conftest import CLIENT_KEY, PATIENCE
from reading import parts

FINISH = {
    "stop": ("stop", "end_turn", "completed"),
    "tools": ("tool_calls", "tool_use"),
    "length": ("length", "max_tokens", "max_output_tokens"),
}


def finish_of(word):
    return next(name for name, words in FINISH.items() if word in words)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answer(text, calls, finish, usage, reasoning="", pieces=0):
    calls = [[i, name, a if isinstance(a, str) else compact(a)] for i, name, a in calls]
    return {
        "text": text or "",
        "calls": calls,
        "finish": finish_of(finish),
        "usage": usage,
        "reasoning": reasoning or "",
        "pieces": pieces,
    }


def failure(error):
    """An exception of a client's, in the same members for all."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    response = getattr(error, "response", None)
    return {
        # LangChain has subclasses of its own.
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "status": getattr(error, "status_code", None),
        "type": inner.get("type"),
        "code": inner.get("code"),
        "message": f"{error.message} {inner.get('message', '')}",
        "retry_after": response is not None and response.headers.get("retry-after"),
    }


class Client:
    """`ask` makes the one or two requests of a case."""

    errors = (openai.APIError, anthropic.APIError)
    shows_reasoning = True
    keeps_signatures = True  # in what goes back with the next request

    def __init__(self, url, key=CLIENT_KEY):
        self.common = {"api_key": key, "max_retries": 0, "timeout": PATIENCE}
        self.url = url
        self.open()

    def ask(self, model, case, stream):
        history = self.history(case)
        try:
            first, reply = self.send(model, case, history, stream)
            if "results" not in case:
                return [first]
            history += [*reply, *self.results(case["results"])]
            return [first, self.send(model, case, history, stream)[0]]
        except self.errors as e:
            return failure(e)


class OpenAiChat(Client):
    name, dialect = "openai-chat", "openai"

    def open(self):
        self.api = openai.OpenAI(base_url=f"{self.url}/v1", **self.common)

    def history(self, case):
        system = [{"role": "system", "content": case["system"]}] if "system" in case else []
        turns = [{"role": role, "content": text} for role, text in case["turns"]]
        if image := case.get("image"):
            url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
            turns[-1]["content"] = [{"type": "text", "text": turns[-1]["content"]}, url]
        return system + turns

    def send(self, model, case, messages, stream):
        request = {"model": model, "messages": messages}
        if tools := case.get("tools"):
            request["tools"] = [{"type": "function", "function": tool} for tool in tools]
        if choice := case.get("choice"):
            named = {"type": "function", "function": {"name": choice}}
            request["tool_choice"] = choice if choice == "required" else named
        if schema := case.get("schema"):
            format = {"name": "event", "schema": schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": format}
        if cap := case.get("cap"):
            request["max_completion_tokens"] = cap
        if case.get("think"):
            request["reasoning_effort"] = "low"
        pieces = 0
        if stream:
            try:
                with self.api.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                    for event in events:
                        pieces += event.type in ("content.delta", "tool_calls.function.arguments.delta")
                    got = events.get_final_completion()
            except openai.LengthFinishReasonError as e:
                got = e.completion
        else:
            got = self.api.chat.completions.create(**request)
        [choice] = got.choices
        message = choice.message
        calls = [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or []]
        usage = [got.usage.prompt_tokens, got.usage.completion_tokens]
        reasoning = getattr(message, "reasoning_content", None)
        # As applications do it: the answer goes back as it came.
        reply = message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in reply.get("tool_calls", []):
            call["function"].pop("parsed_arguments", None)
        return answer(message.content, calls, choice.finish_reason, usage, reasoning, pieces), [reply]

    def results(self, results):
        return [{"role": "tool", "tool_call_id": i, "content": text} for i, text in results.items()]


class OpenAiResponses(Client):
    name, dialect = "openai-responses", "responses"
    open = OpenAiChat.open

    def history(self, case):
        turns = [{"role": role, "content": text} for role, text in case["turns"]]
        if image := case.get("image"):
            url = {"type": "input_image", "image_url": f"data:image/png;base64,{image}", "detail": "auto"}
            turns[-1]["content"] = [{"type": "input_text", "text": turns[-1]["content"]}, url]
        return turns

    def send(self, model, case, items, stream):
        request = {"model": model, "input": items, "store": False, "include": ["reasoning.encrypted_content"]}
        if system := case.get("system"):
            request["instructions"] = system
        if tools := case.get("tools"):
            request["tools"] = [{"type": "function", "strict": False, **tool} for tool in tools]
        if choice := case.get("choice"):
            request["tool_choice"] = choice if choice == "required" else {"type": "function", "name": choice}
        if schema := case.get("schema"):
            format = {"type": "json_schema", "name": "event", "schema": schema, "strict": True}
            request["text"] = {"format": format}
        if cap := case.get("cap"):
            request["max_output_tokens"] = cap
        if case.get("think"):
            request["reasoning"] = {"effort": "low", "summary": "auto"}
        streamed = {}
        if stream:
            for event in self.api.responses.create(**request, stream=True):
                if event.type == "error":
                    raise openai.APIError(event.message, None, body={"code": event.code})
                if event.type.endswith(".delta"):
                    streamed.setdefault(event.type.split(".")[1], []).append(event.delta)
            got = event.response
            assert event.type in ("response.completed", "response.incomplete"), event.type
        else:
            got = self.api.responses.create(**request)
        calls = [(i.call_id, i.name, i.arguments) for i in got.output if i.type == "function_call"]
        reasoning = "".join(s.text for i in got.output if i.type == "reasoning" for s in i.summary)
        if stream:
            self.agree(streamed, got.output_text, calls, reasoning)
        finish = "tool_calls" if calls else got.status
        if got.status == "incomplete":
            finish = got.incomplete_details.reason if got.incomplete_details else "max_output_tokens"
        usage = [got.usage.input_tokens, got.usage.output_tokens]
        pieces = sum(len(deltas) for kind, deltas in streamed.items() if "reasoning" not in kind)
        reply = [i.model_dump(exclude_none=True, exclude={"status"}) for i in got.output]
        return answer(got.output_text, calls, finish, usage, reasoning, pieces), reply

    @staticmethod
    def agree(streamed, text, calls, reasoning):
        """What came in pieces is what the whole answer at the end says."""
        assert "".join(streamed.get("output_text", [])) == text
        assert "".join(streamed.get("function_call_arguments", [])) == "".join(a for _, _, a in calls)
        assert "".join(streamed.get("reasoning_summary_text", [])) == reasoning

    def results(self, results):
        return [{"type": "function_call_output", "call_id": i, "output": text} for i, text in results.items()]


class Anthropic(Client):
    name, dialect = "anthropic", "anthropic"

    def open(self):
        self.api = anthropic.Anthropic(base_url=self.url, **self.common)

    def history(self, case):
        turns = [{"role": role, "content": text} for role, text in case["turns"]]
        if image := case.get("image"):
            source = {"type": "base64", "media_type": "image/png", "data": image}
            text = {"type": "text", "text": turns[-1]["content"]}
            turns[-1]["content"] = [text, {"type": "image", "source": source}]
        return turns

    def send(self, model, case, messages, stream):
        request = {"model": model, "messages": messages, "max_tokens": case.get("cap", 4096)}
        if system := case.get("system"):
            request["system"] = system
        if tools := case.get("tools"):
            given = [(t["name"], t["description"], t["parameters"]) for t in tools]
            request["tools"] = [{"name": n, "description": d, "input_schema": schema} for n, d, schema in given]
        if choice := case.get("choice"):
            request["tool_choice"] = {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}
        if schema := case.get("schema"):
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if case.get("think"):
            request["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        pieces = 0
        if stream:
            with self.api.messages.stream(**request) as events:
                for event in events:
                    pieces += event.type in ("text", "input_json")
                got = events.get_final_message()
        else:
            got = self.api.messages.create(**request)
        blocks = got.content
        calls = [(b.id, b.name, b.input) for b in blocks if b.type == "tool_use"]
        text = "".join(b.text for b in blocks if b.type == "text")
        reasoning = "".join(b.thinking for b in blocks if b.type == "thinking")
        usage = [got.usage.input_tokens, got.usage.output_tokens]
        reply = [b.model_dump(exclude_none=True, exclude={"parsed_output"}) for b in blocks]
        return answer(text, calls, got.stop_reason, usage, reasoning, pieces), [{"role": "assistant", "content": reply}]

    def results(self, results):
        blocks = [{"type": "tool_result", "tool_use_id": i, "content": text} for i, text in results.items()]
        return [{"role": "user", "content": blocks}]


class LangChain(Client):
    """Its own messages, whatever the API behind; `make` and `finish` differ."""

    def open(self):
        pass

    def history(self, case):
        kinds = {"user": lc.HumanMessage, "assistant": lc.AIMessage}
        turns = [kinds[role](text) for role, text in case["turns"]]
        if image := case.get("image"):
            block = {"type": "image", "base64": image, "mime_type": "image/png"}
            turns[-1] = lc.HumanMessage([{"type": "text", "text": turns[-1].content}, block])
        return [lc.SystemMessage(case["system"]), *turns] if "system" in case else turns

    def send(self, model, case, messages, stream):
        chat = self.make(model, case)
        if tools := case.get("tools"):
            given = [{"type": "function", "function": tool} for tool in tools]
            choice = {"required": "any"}.get(case.get("choice"), case.get("choice"))
            chat = chat.bind_tools(given, tool_choice=choice) if choice else chat.bind_tools(given)
        if schema := case.get("schema"):
            got = chat.with_structured_output(schema, method="json_schema", include_raw=True).invoke(messages)
            assert got["parsing_error"] is None
            return self.read(got["raw"]) | {"text": compact(got["parsed"]), "pieces": None}, []
        if not stream:
            got = chat.invoke(messages)
            return self.read(got), [got]
        got, pieces = None, 0
        for chunk in chat.stream(messages):
            pieces += bool(chunk.text or any(c["args"] for c in chunk.tool_call_chunks))
            got = chunk if got is None else got + chunk
        return self.read(got) | {"pieces": pieces}, [got]

    def read(self, got):
        calls = [(c["id"], c["name"], c["args"]) for c in got.tool_calls]
        assert not got.invalid_tool_calls
        usage = [got.usage_metadata["input_tokens"], got.usage_metadata["output_tokens"]]
        thoughts = [b.get("reasoning", "") for b in got.content_blocks if b["type"] == "reasoning"]
        return answer(got.text, calls, self.finish(got.response_metadata, calls), usage, "".join(thoughts))

    def results(self, results):
        return [lc.ToolMessage(text, tool_call_id=i) for i, text in results.items()]


class LangChainChat(LangChain):
    name, dialect = "langchain-chat", "openai"
    shows_reasoning = keeps_signatures = False

    def make(self, model, case):
        return langchain_openai.ChatOpenAI(
            model=model,
            base_url=f"{self.url}/v1",
            max_tokens=case.get("cap"),
            reasoning_effort="low" if case.get("think") else None,
            stream_usage=True,
            **self.common,
        )

    def finish(self, metadata, _calls):
        return metadata["finish_reason"]


class LangChainResponses(LangChain):
    name, dialect = "langchain-responses", "responses"

    def make(self, model, case):
        more = {"reasoning": {"effort": "low", "summary": "auto"}} if case.get("think") else {}
        return langchain_openai.ChatOpenAI(
            model=model,
            base_url=f"{self.url}/v1",
            max_tokens=case.get("cap"),
            use_responses_api=True,
            store=False,
            include=["reasoning.encrypted_content"],
            **more,
            **self.common,
        )

    def finish(self, metadata, calls):
        if metadata["status"] == "incomplete":
            return (metadata.get("incomplete_details") or {}).get("reason", "max_output_tokens")
        return "tool_calls" if calls else metadata["status"]


class LangChainAnthropic(LangChain):
    name, dialect = "langchain-anthropic", "anthropic"

    def make(self, model, case):
        more = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if case.get("think") else {}
        cap = case.get("cap", 4096)
        return langchain_anthropic.ChatAnthropic(model=model, base_url=self.url, max_tokens=cap, **more, **self.common)

    def finish(self, metadata, _calls):
        return metadata["stop_reason"]


class Node(Client):
    """The clients of `node/clients.mjs`, in one process."""

    def __init__(self, url, process, key=CLIENT_KEY):
        self.url, self.process, self.key = url, process, key

    def ask(self, model, case, stream):
        job = {"client": self.name, "url": self.url, "key": self.key, "model": model, "case": case, "stream": stream}
        told = self.process.say(job)
        assert "broken" not in told, told["broken"]
        return told["answers"] if "answers" in told else told["failure"]


class NodeChat(Node):
    name, dialect = "node-chat", "openai"
    keeps_signatures = False  # not whole, from a stream


class NodeResponses(Node):
    name, dialect = "node-responses", "responses"


class AiSdkChat(Node):
    name, dialect = "ai-sdk-chat", "openai"
    shows_reasoning = keeps_signatures = False


class AiSdkResponses(Node):
    name, dialect = "ai-sdk-responses", "responses"


class AiSdkAnthropic(Node):
    name, dialect = "ai-sdk-anthropic", "anthropic"


PYTHON = [OpenAiChat, OpenAiResponses, Anthropic, LangChainChat, LangChainResponses, LangChainAnthropic]
NODE = [NodeChat, NodeResponses, AiSdkChat, AiSdkResponses, AiSdkAnthropic]
