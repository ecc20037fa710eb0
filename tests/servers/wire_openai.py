# SPDX-License-Identifier: Apache-2.0
"""OpenAI's wire format: what the API accepts, and how it answers. Written from its documentation
(chat completions, responses, embeddings, models) and from what the official SDKs read."""

import base64
import json
import re
import struct

from reply import Refusal, arguments_text, need, thirds, words

CREATED = 1_760_000_000
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CHAT_FIELDS = set(
    "model messages audio frequency_penalty function_call functions logit_bias logprobs "
    "max_completion_tokens max_tokens metadata modalities n parallel_tool_calls prediction "
    "presence_penalty prompt_cache_key reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p "
    "user verbosity web_search_options".split())
RESPONSES_FIELDS = set(
    "background conversation include input instructions max_output_tokens max_tool_calls metadata model "
    "parallel_tool_calls previous_response_id prompt prompt_cache_key reasoning safety_identifier "
    "service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p "
    "truncation user".split())
EMBEDDINGS_FIELDS = set("input model dimensions encoding_format user".split())
CHAT_ROLES = {"developer", "system", "user", "assistant", "tool", "function"}
HOSTED_TOOLS = {"code_interpreter", "web_search", "file_search", "image_generation", "mcp",
                "local_shell", "custom", "computer_use_preview", "web_search_preview"}


def error_body(refusal):
    return {"error": {"message": refusal.message, "type": refusal.kind, "param": refusal.param,
                      "code": refusal.code}}


def refuse_key(key):
    shown = f"{key[:3]}{'*' * 8}{key[-4:]}" if key else "none"
    return Refusal(401, f"Incorrect API key provided: {shown}. You can find your API key at "
                   "https://platform.openai.com/account/api-keys.", code="invalid_api_key")


# ---- what is accepted -----------------------------------------------------------------------------

def known(body, fields):
    for name in body:
        need(name in fields, 400, f"Unrecognized request argument supplied: {name}")


def number(body, name, low, high, whole=False):
    v = body.get(name)
    if v is None:
        return
    kinds = (int,) if whole else (int, float)
    need(isinstance(v, kinds) and not isinstance(v, bool), 400, f"Invalid type for '{name}'.",
         param=name, code="invalid_type")
    need(low <= v <= high, 400, f"Invalid '{name}': expected a value between {low} and {high}, got {v}.",
         param=name)


def common(body):
    need(isinstance(body.get("model"), str) and body["model"], 400, "you must provide a model parameter")
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    for name in ("stream", "store", "parallel_tool_calls"):
        need(isinstance(body.get(name), (bool, type(None))), 400, f"Invalid type for '{name}': expected a "
             "boolean.", param=name, code="invalid_type")
    need(body.get("stream_options") is None or body.get("stream"), 400,
         "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    tools = body.get("tools")
    need(tools is None or isinstance(tools, list), 400, "Invalid type for 'tools'.", param="tools")
    for name in ("tool_choice", "parallel_tool_calls"):
        need(tools or body.get(name) in (None, "none"), 400,
             f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", param=name)


def function_tool(f, where):
    need(isinstance(f.get("name"), str) and TOOL_NAME.fullmatch(f["name"]), 400,
         f"Invalid '{where}.name': string does not match pattern '^[a-zA-Z0-9_-]+$'.", param=f"{where}.name")
    need(isinstance(f.get("parameters", {}), (dict, type(None))), 400, f"Invalid schema for function "
         f"'{f['name']}'", param=f"{where}.parameters", code="invalid_function_parameters")


def judge_chat(body):
    known(body, CHAT_FIELDS)
    common(body)
    messages = body.get("messages")
    need(isinstance(messages, list), 400, "Missing required parameter: 'messages'.", param="messages",
         code="missing_required_parameter")
    need(messages, 400, "Invalid 'messages': empty array.", param="messages", code="empty_array")
    number(body, "n", 1, 128, whole=True)
    for name in ("max_tokens", "max_completion_tokens"):
        number(body, name, 1, 10**7, whole=True)
    tools = body.get("tools")
    need(tools != [], 400, "Invalid 'tools': empty array.", param="tools", code="empty_array")
    need(len(tools or ()) <= 128, 400, "Invalid 'tools': array too long.", param="tools",
         code="array_above_max_length")
    for i, tool in enumerate(tools or ()):
        kind = tool.get("type")
        need(kind in ("function", "custom"), 400, f"Invalid value: '{kind}'. Supported values are: "
             "'function' and 'custom'.", param=f"tools[{i}].type", code="invalid_value")
        function_tool(tool.get(kind) or {}, f"tools[{i}].{kind}")
    waiting = []
    for i, m in enumerate(messages):
        waiting = judge_message(m, f"messages.[{i}]", waiting)
    unanswered(waiting)


def unanswered(waiting):
    need(not waiting, 400, "An assistant message with 'tool_calls' must be followed by tool messages "
         "responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
         + ", ".join(waiting), param="messages")


def judge_message(m, where, waiting):
    """-> ids of calls that still wait for their tool messages"""
    need(isinstance(m, dict), 400, f"Invalid type for '{where}'.", param=where)
    role = m.get("role")
    need(role in CHAT_ROLES, 400, f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', "
         "'user', 'function', 'tool', and 'developer'.", param=f"{where}.role", code="invalid_value")
    if role == "tool":
        need(m.get("tool_call_id") in waiting, 400, "Invalid parameter: messages with role 'tool' must be a "
             "response to a preceeding message with 'tool_calls'.", param=f"{where}.role")
        content_parts(m.get("content"), where, {"text"}, required=True)
        return [w for w in waiting if w != m["tool_call_id"]]
    unanswered(waiting)
    calls = m.get("tool_calls")
    need(calls is None or role == "assistant", 400, f"Invalid '{where}.tool_calls'.", param=where)
    need(calls != [], 400, f"Invalid '{where}.tool_calls': empty array.", param=where, code="empty_array")
    content_parts(m.get("content"), where, {"text", "refusal"} if role == "assistant" else
                  {"text", "image_url", "input_audio", "file"} if role == "user" else {"text"},
                  required=role != "assistant" or not (calls or m.get("refusal") or m.get("audio")))
    for j, c in enumerate(calls or ()):
        place = f"{where}.tool_calls[{j}]"
        need(isinstance(c.get("id"), str) and c["id"], 400, f"Missing required parameter: '{place}.id'.")
        need(c.get("type") in ("function", "custom"), 400, f"Invalid value for '{place}.type'.")
        f = c.get("function") or {}
        need(c["type"] != "function" or isinstance(f.get("name"), str) and
             isinstance(f.get("arguments"), str), 400, f"Invalid type for '{place}.function.arguments'.")
    return [c["id"] for c in calls or ()]


def content_parts(content, where, kinds, required):
    if content is None:
        need(not required, 400, f"Invalid value for 'content': expected a string, got null. {where}",
             param=f"{where}.content")
        return
    if isinstance(content, str):
        return
    need(isinstance(content, list) and content, 400, f"Invalid type for '{where}.content'.")
    for p in content:
        need(p.get("type") in kinds, 400, f"Invalid value: '{p.get('type')}' in {where}.content.",
             code="invalid_value")
        if p["type"] == "text":
            need(isinstance(p.get("text"), str), 400, f"Invalid type for '{where}.content.text'.")
        if p["type"] == "image_url":
            url = (p.get("image_url") or {}).get("url")
            need(isinstance(url, str) and url.startswith(("data:image/", "https://")), 400,
                 "Invalid image URL.", code="invalid_image_url")


def judge_responses(body):
    known(body, RESPONSES_FIELDS)
    common(body)
    need(body.get("input") is not None or body.get("prompt"), 400, "Missing required parameter: 'input'.",
         param="input", code="missing_required_parameter")
    need(not body.get("previous_response_id"), 400, "Previous response with id "
         f"'{body.get('previous_response_id')}' not found.", code="previous_response_not_found")
    number(body, "max_output_tokens", 16, 10**7, whole=True)
    for i, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") == "function":
            function_tool(tool, f"tools[{i}]")
        else:
            need(tool.get("type") in HOSTED_TOOLS, 400, f"Invalid value: '{tool.get('type')}'.",
                 param=f"tools[{i}].type", code="invalid_value")
    if not isinstance(body.get("input"), str):
        judge_items(body["input"])


def judge_items(items):
    need(isinstance(items, list) and items, 400, "Invalid type for 'input'.", param="input")
    open_calls, reasoning = {}, None
    for i, item in enumerate(items):
        kind = item.get("type", "message")
        where = f"input[{i}]"
        need(reasoning is None or kind != "reasoning" and kind in
             ("message", "function_call", "code_interpreter_call", "custom_tool_call"), 400,
             f"Item '{reasoning}' of type 'reasoning' was provided without its required following item.")
        reasoning = None
        if kind == "message":
            judge_item_message(item, where)
        elif kind in ("function_call", "custom_tool_call"):
            need(isinstance(item.get("call_id"), str) and isinstance(item.get("name"), str) and
                 isinstance(item.get("arguments", item.get("input")), str), 400, f"Invalid '{where}'.")
            open_calls[item["call_id"]] = True
        elif kind in ("function_call_output", "custom_tool_call_output"):
            need(item.get("call_id") in open_calls, 400, "No tool call found for function call output with "
                 f"call_id {item.get('call_id')}.", param="input")
            need(isinstance(item.get("output"), (str, list)), 400, f"Invalid type for '{where}.output'.")
            open_calls.pop(item["call_id"])
        elif kind == "reasoning":
            need(isinstance(item.get("summary"), list), 400, f"Missing '{where}.summary'.")
            need(item.get("encrypted_content") is None or item["encrypted_content"] == sealed(item["id"]),
                 400, "The encrypted content could not be verified.", code="invalid_encrypted_content")
            need(item.get("encrypted_content") or item.get("content"), 404, f"Item with id '{item.get('id')}' not "
                 "found. Items are not persisted when `store` is set to false.", param="input")
            reasoning = item.get("id")
        elif kind == "code_interpreter_call":
            need(isinstance(item.get("container_id"), str) and item.get("id", "").startswith("ci_"), 400,
                 f"Invalid '{where}'.")
        else:
            raise Refusal(400, f"Invalid value: '{kind}'.", param=f"{where}.type", code="invalid_value")
    need(reasoning is None, 400, f"Item '{reasoning}' of type 'reasoning' was provided without its required "
         "following item.")
    for call in open_calls:
        raise Refusal(400, f"No tool output found for function call {call}.", param="input")


def judge_item_message(item, where):
    role = item.get("role")
    need(role in ("user", "assistant", "system", "developer"), 400, f"Invalid value: '{role}'.",
         param=f"{where}.role", code="invalid_value")
    content = item.get("content")
    if isinstance(content, str):
        return
    need(isinstance(content, list), 400, f"Invalid type for '{where}.content'.")
    kinds = {"output_text", "refusal"} if role == "assistant" else {"input_text", "input_image", "input_file"}
    for p in content:
        need(p.get("type") in kinds, 400, f"Invalid value: '{p.get('type')}'. Supported values are: "
             f"{sorted(kinds)}.", param=f"{where}.content", code="invalid_value")


def judge_embeddings(body):
    known(body, EMBEDDINGS_FIELDS)
    common(body)
    v = body.get("input")
    need(isinstance(v, (str, list)) and v, 400, "'$.input' is invalid.", param="input")
    need(body.get("encoding_format") in (None, "float", "base64"), 400, "Invalid encoding_format.")
    number(body, "dimensions", 1, 4096, whole=True)


def sealed(item_id):
    """What stands for the encrypted reasoning of an item."""
    return base64.b64encode(b"sealed:" + item_id.encode()).decode()


# ---- how it answers -------------------------------------------------------------------------------

def sse(obj, event=""):
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(obj, separators=(',', ':'))}\n\n".encode()


def chat_usage(reply):
    tokens_in, tokens_out = reply.usage
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": reply.details[0], "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reply.details[2] or (3 if reply.thinking else 0)}}


def chat_calls(reply, number):
    return [{"id": f"call_{number}_{i}", "type": "function",
             "function": {"name": name, "arguments": arguments_text(arguments)}}
            for i, (name, arguments) in enumerate(reply.calls)]


def chat_whole(body, reply, number):
    message = {"role": "assistant", "content": reply.text if reply.text or not reply.calls else None,
               "refusal": None, "annotations": []}
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.calls:
        message["tool_calls"] = chat_calls(reply, number)
    out = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": CREATED,
           "model": body["model"] + "-2025-01-01",
           "choices": [{"index": i, "message": message, "logprobs": None,
                        "finish_reason": reply.stop_reason("tool_calls", "stop")}
                       for i in range(body.get("n") or 1)],
           "service_tier": "default", "system_fingerprint": "fp_test"}
    if reply.usage:
        out["usage"] = chat_usage(reply)
    return out


def chat_events(body, reply, number):
    with_usage = (body.get("stream_options") or {}).get("include_usage")
    base = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": CREATED,
            "model": body["model"] + "-2025-01-01", "service_tier": "default",
            "system_fingerprint": "fp_test"}

    def chunk(delta, finish=None):
        out = {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        if with_usage:
            out["usage"] = None
        return sse(out)

    yield chunk({"role": "assistant", "content": "" if reply.text else None, "refusal": None})
    for w in words(reply.thinking) if reply.thinking else ():
        yield chunk({"reasoning_content": w})
    for w in words(reply.text) if reply.text else ():
        yield chunk({"content": w})
    for i, call in enumerate(chat_calls(reply, number)):
        f = call["function"]
        yield chunk({"tool_calls": [{"index": i, **call, "function": {"name": f["name"], "arguments": ""}}]})
        for part in thirds(f["arguments"]):
            yield chunk({"tool_calls": [{"index": i, "function": {"arguments": part}}]})
    yield chunk({}, reply.stop_reason("tool_calls", "stop"))
    if with_usage and reply.usage:
        yield sse({**base, "choices": [], "usage": chat_usage(reply)})
    yield b"data: [DONE]\n\n"


def response_items(reply, number):
    items = []
    if reply.thinking:
        item_id = f"rs_{number}"
        seal = {"encrypted_content": sealed(item_id)} if reply.sealed else {}
        items.append({"id": item_id, "type": "reasoning", **seal,
                      "summary": [{"type": "summary_text", "text": reply.thinking}]})
    if reply.text:
        items.append({"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant",
                      "content": [{"type": "output_text", "text": reply.text, "annotations": [],
                                   "logprobs": []}]})
    for i, (name, arguments) in enumerate(reply.calls):
        items.append({"id": f"fc_{number}_{i}", "type": "function_call", "status": "completed",
                      "call_id": f"call_{number}_{i}", "name": name,
                      "arguments": arguments_text(arguments)})
    return items


def response_object(body, reply, number, status, items):
    short = reply.stop in ("length", "max_output_tokens") and status == "completed"
    out = {"id": f"resp_{number}", "object": "response", "created_at": CREATED,
           "status": "incomplete" if short else status, "background": False, "error": None,
           "incomplete_details": {"reason": "max_output_tokens"} if short else None,
           "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
           "max_tool_calls": None, "model": body["model"] + "-2025-01-01", "output": items,
           "parallel_tool_calls": body.get("parallel_tool_calls", True), "previous_response_id": None,
           "reasoning": {"effort": None, "summary": None}, "service_tier": "default",
           "store": body.get("store", True), "temperature": 1.0,
           "text": {"format": {"type": "text"}, "verbosity": "medium"},
           "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools") or [],
           "top_p": 1.0, "truncation": "disabled", "usage": None, "user": None, "metadata": {}}
    if reply.usage and status == "completed":
        tokens_in, tokens_out = reply.usage
        out["usage"] = {"input_tokens": tokens_in, "input_tokens_details": {"cached_tokens": reply.details[0]},
                        "output_tokens": tokens_out,
                        "output_tokens_details": {"reasoning_tokens": 3 if reply.thinking else 0},
                        "total_tokens": tokens_in + tokens_out}
    return out


def response_whole(body, reply, number):
    return response_object(body, reply, number, "completed", response_items(reply, number))


class ResponseEvents:
    """The typed events of one response, numbered as they go."""

    def __init__(self, body, reply, number):
        self.body, self.reply, self.number, self.sequence = body, reply, number, 0

    def event(self, kind, **more):
        out = sse({"type": kind, "sequence_number": self.sequence, **more}, kind)
        self.sequence += 1
        return out

    def all(self):
        begun = response_object(self.body, self.reply, self.number, "in_progress", [])
        yield self.event("response.created", response=begun)
        yield self.event("response.in_progress", response=begun)
        items = response_items(self.reply, self.number)
        for at, item in enumerate(items):
            yield from getattr(self, item["type"])(at, item)
        ended = response_object(self.body, self.reply, self.number, "completed", items)
        yield self.event(f"response.{ended['status']}", response=ended)

    def reasoning(self, at, item):
        yield self.event("response.output_item.added", output_index=at, item={**item, "summary": []})
        here = {"item_id": item["id"], "output_index": at, "summary_index": 0}
        text = item["summary"][0]["text"]
        yield self.event("response.reasoning_summary_part.added", **here,
                         part={"type": "summary_text", "text": ""})
        for w in words(text):
            yield self.event("response.reasoning_summary_text.delta", **here, delta=w)
        yield self.event("response.reasoning_summary_text.done", **here, text=text)
        yield self.event("response.reasoning_summary_part.done", **here, part=item["summary"][0])
        yield self.event("response.output_item.done", output_index=at, item=item)

    def message(self, at, item):
        yield self.event("response.output_item.added", output_index=at,
                         item={**item, "status": "in_progress", "content": []})
        here = {"item_id": item["id"], "output_index": at, "content_index": 0}
        part = item["content"][0]
        yield self.event("response.content_part.added", **here, part={**part, "text": ""})
        for w in words(part["text"]):
            yield self.event("response.output_text.delta", **here, delta=w, logprobs=[])
        yield self.event("response.output_text.done", **here, text=part["text"], logprobs=[])
        yield self.event("response.content_part.done", **here, part=part)
        yield self.event("response.output_item.done", output_index=at, item=item)

    def function_call(self, at, item):
        yield self.event("response.output_item.added", output_index=at,
                         item={**item, "status": "in_progress", "arguments": ""})
        here = {"item_id": item["id"], "output_index": at}
        for part in thirds(item["arguments"]):
            yield self.event("response.function_call_arguments.delta", **here, delta=part)
        yield self.event("response.function_call_arguments.done", **here, name=item["name"],
                         arguments=item["arguments"])
        yield self.event("response.output_item.done", output_index=at, item=item)


def embeddings_whole(body, reply, number):
    texts = body["input"]
    count = 1 if isinstance(texts, str) or isinstance(texts[0], int) else len(texts)
    vector = [((number + i) % 7) / 8 for i in range(body.get("dimensions") or 8)]
    packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    tokens = reply.usage[0] if reply.usage else 0
    return {"object": "list", "model": body["model"], "usage": {"prompt_tokens": tokens,
                                                                 "total_tokens": tokens},
            "data": [{"object": "embedding", "index": i,
                      "embedding": packed if body.get("encoding_format") == "base64" else vector}
                     for i in range(count)]}


def models_whole():
    return {"object": "list", "data": [{"id": "gpt-test", "object": "model", "created": CREATED,
                                        "owned_by": "test"}]}


ROUTES = {
    "/v1/chat/completions": (judge_chat, chat_whole, chat_events),
    "/v1/responses": (judge_responses, response_whole,
                      lambda body, reply, number: ResponseEvents(body, reply, number).all()),
    "/v1/embeddings": (judge_embeddings, embeddings_whole, None),
}
