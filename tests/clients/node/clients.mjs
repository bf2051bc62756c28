// The Node clients. Reads a JSON object a line, {client, url, key, model, case, stream}, and answers each with a line:
// the answers that the client got in the words of cases.py, a failure of its own, or that it broke.

import { createInterface } from "node:readline";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";
import OpenAI from "openai";

// Nothing but answers goes to stdout.
globalThis.AI_SDK_LOG_WARNINGS = false;
console.log = console.info = console.error;

const FINISH = {
  stop: "stop", end_turn: "stop", completed: "stop",
  tool_calls: "tools", "tool-calls": "tools",
  length: "length", max_output_tokens: "length",
};

function answer({ text, calls, finish, usage, reasoning, pieces }) {
  if (!(finish in FINISH)) throw new TypeError(`the unknown finish ${finish}`);
  return { text: text ?? "", calls, finish: FINISH[finish], usage, reasoning: reasoning ?? "", pieces };
}

/** Both packages' failures, in the members that clients.py gives to its own. */
function failure(error) {
  const inner = error.error?.error ?? error.error ?? error.data?.error ?? {};
  const headers = error.headers ?? error.responseHeaders ?? {};
  return {
    classes: [error.constructor.name, error.name],
    status: error.status ?? error.statusCode ?? null,
    type: inner.type ?? null,
    code: inner.code ?? null,
    message: `${error.message} ${inner.message ?? ""} ${error.responseBody ?? ""} ${JSON.stringify(error)}`,
    retry_after: (typeof headers.get === "function" ? headers.get("retry-after") : headers["retry-after"]) ?? null,
  };
}

const openai = (job) => new OpenAI({ baseURL: `${job.url}/v1`, apiKey: job.key, maxRetries: 0 });

const chat = {
  history({ turns, system, image }) {
    const messages = turns.map(([role, content]) => ({ role, content }));
    if (image) {
      const last = messages.at(-1);
      const url = `data:image/png;base64,${image}`;
      last.content = [{ type: "text", text: last.content }, { type: "image_url", image_url: { url } }];
    }
    return system ? [{ role: "system", content: system }, ...messages] : messages;
  },
  async send(job, messages) {
    const { tools, choice, schema, cap, think } = job.case;
    const request = { model: job.model, messages };
    if (tools) request.tools = tools.map((t) => ({ type: "function", function: t }));
    if (choice) request.tool_choice = choice === "required" ? choice : { type: "function", function: { name: choice } };
    if (schema) {
      request.response_format = { type: "json_schema", json_schema: { name: "event", schema, strict: true } };
    }
    if (cap) request.max_completion_tokens = cap;
    if (think) request.reasoning_effort = "low";
    let pieces = 0, reasoning = "", got;
    if (job.stream) {
      const run = openai(job).chat.completions.stream({ ...request, stream_options: { include_usage: true } });
      for await (const chunk of run) {
        const delta = chunk.choices[0]?.delta;
        // The package keeps the last piece only of what it does not know.
        reasoning += delta?.reasoning_content ?? "";
        pieces += Boolean(delta?.content || delta?.tool_calls?.some((c) => c.function?.arguments));
      }
      got = await run.finalChatCompletion();
    } else {
      got = await openai(job).chat.completions.create(request);
    }
    const [{ message, finish_reason: finish }] = got.choices;
    const calls = (message.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]);
    const usage = [got.usage.prompt_tokens, got.usage.completion_tokens];
    const { parsed, ...reply } = message;
    if (job.stream && reasoning) reply.reasoning_content = reasoning;
    const facts = { text: message.content, reasoning: reply.reasoning_content };
    return [answer({ ...facts, calls, finish, usage, pieces }), [reply]];
  },
  results: (results) => results.map(([id, content]) => ({ role: "tool", tool_call_id: id, content })),
};

const responses = {
  history({ turns, image }) {
    const items = turns.map(([role, content]) => ({ role, content }));
    if (image) {
      const last = items.at(-1);
      const picture = { type: "input_image", image_url: `data:image/png;base64,${image}`, detail: "auto" };
      last.content = [{ type: "input_text", text: last.content }, picture];
    }
    return items;
  },
  async send(job, input) {
    const { tools, choice, schema, cap, think, system } = job.case;
    const request = { model: job.model, input, store: false, include: ["reasoning.encrypted_content"] };
    if (system) request.instructions = system;
    if (tools) request.tools = tools.map((t) => ({ type: "function", strict: false, ...t }));
    if (choice) request.tool_choice = choice === "required" ? choice : { type: "function", name: choice };
    if (schema) request.text = { format: { type: "json_schema", name: "event", schema, strict: true } };
    if (cap) request.max_output_tokens = cap;
    if (think) request.reasoning = { effort: "low", summary: "auto" };
    let pieces = 0, got;
    if (job.stream) {
      const run = openai(job).responses.stream(request);
      for await (const event of run) {
        pieces += /output_text.delta|arguments.delta/.test(event.type);
        if (event.type === "error") throw new OpenAI.APIError(undefined, event, event.message, undefined);
        if (/^response.(completed|incomplete)$/.test(event.type)) got = event.response;
      }
    } else {
      got = await openai(job).responses.create(request);
    }
    const items = (kind) => got.output.filter((item) => item.type === kind);
    const calls = items("function_call").map((c) => [c.call_id, c.name, c.arguments]);
    const text = items("message").flatMap((m) => m.content).map((c) => c.text).join("");
    const reasoning = items("reasoning").flatMap((r) => r.summary).map((s) => s.text).join("");
    let finish = calls.length ? "tool_calls" : got.status;
    if (got.status === "incomplete") finish = got.incomplete_details?.reason ?? "max_output_tokens";
    const usage = [got.usage.input_tokens, got.usage.output_tokens];
    const reply = got.output.map(({ status, ...item }) => item);
    return [answer({ text, calls, finish, usage, reasoning, pieces }), reply];
  },
  results: (results) => results.map(([call_id, output]) => ({ type: "function_call_output", call_id, output })),
};

/** The AI SDK has messages of its own; `model` and `options` differ by the API behind. */
const sdk = ({ model, options }) => ({
  history({ turns, image }) {
    const messages = turns.map(([role, content]) => ({ role, content }));
    if (image) {
      const last = messages.at(-1);
      const picture = { type: "image", image, mediaType: "image/png" };
      last.content = [{ type: "text", text: last.content }, picture];
    }
    return messages;
  },
  async send(job, messages) {
    const { tools, choice, schema, cap, think, system } = job.case;
    const request = { model: model(job)(job.model), messages, system, maxRetries: 0, providerOptions: options(think) };
    const declared = (tools ?? []).map(({ name, description, parameters }) => [
      name, tool({ description, inputSchema: jsonSchema(parameters) }),
    ]);
    if (tools) request.tools = Object.fromEntries(declared);
    if (choice) request.toolChoice = choice === "required" ? choice : { type: "tool", toolName: choice };
    if (schema) request.output = Output.object({ schema: jsonSchema(schema), name: "event" });
    if (cap) request.maxOutputTokens = cap;
    let pieces = 0, got;
    if (job.stream) {
      got = streamText({ ...request, onError: () => {} });
      for await (const part of got.fullStream) {
        if (part.type === "error") throw part.error;
        pieces += part.type === "text-delta" || part.type === "tool-input-delta";
      }
    } else {
      got = await generateText(request);
    }
    const calls = (await got.toolCalls).map((c) => [c.toolCallId, c.toolName, JSON.stringify(c.input)]);
    const { inputTokens, outputTokens } = await got.usage;
    const facts = { text: await got.text, reasoning: await got.reasoningText, finish: await got.finishReason };
    const reply = (await got.response).messages;
    if (schema) facts.text = JSON.stringify(await got.output);
    return [answer({ ...facts, calls, usage: [inputTokens, outputTokens], pieces }), reply];
  },
  results(results, calls) {
    const names = Object.fromEntries(calls.map(([id, name]) => [id, name]));
    const content = results.map(([toolCallId, value]) => (
      { type: "tool-result", toolCallId, toolName: names[toolCallId], output: { type: "text", value } }
    ));
    return [{ role: "tool", content }];
  },
});

const viaOpenAI = (job) => createOpenAI({ baseURL: `${job.url}/v1`, apiKey: job.key });
const viaAnthropic = (job) => createAnthropic({ baseURL: `${job.url}/v1`, apiKey: job.key });
const CLIENTS = {
  "node-chat": chat,
  "node-responses": responses,
  "ai-sdk-chat": sdk({
    model: (job) => viaOpenAI(job).chat,
    options: (think) => ({ openai: think ? { reasoningEffort: "low" } : {} }),
  }),
  "ai-sdk-responses": sdk({
    model: (job) => viaOpenAI(job).responses,
    options: (think) => ({
      openai: {
        store: false, include: ["reasoning.encrypted_content"],
        ...(think && { reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true }),
      },
    }),
  }),
  "ai-sdk-anthropic": sdk({
    model: (job) => viaAnthropic(job),
    options: (think) => ({ anthropic: think ? { thinking: { type: "enabled", budgetTokens: 1024 } } : {} }),
  }),
};

async function ask(job) {
  const client = CLIENTS[job.client];
  const history = client.history(job.case);
  const [first, reply] = await client.send(job, history);
  if (!job.case.results) return [first];
  history.push(...reply, ...client.results(Object.entries(job.case.results), first.calls));
  return [first, (await client.send(job, history))[0]];
}

/** A failure that a client tells of, no mistake in here; what broke a stream the AI SDK hands on as it came. */
const known = (error) =>
  error instanceof OpenAI.APIError || error.name === "AI_APICallError" || !(error instanceof Error);

for await (const line of createInterface({ input: process.stdin })) {
  let told;
  try {
    told = { answers: await ask(JSON.parse(line)) };
  } catch (error) {
    told = known(error) ? { failure: failure(error) } : { broken: String(error?.stack ?? JSON.stringify(error)) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
