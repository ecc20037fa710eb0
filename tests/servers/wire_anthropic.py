# SPDX-License-Identifier: Apache-2.0
"""Anthropic's wire format: what the API accepts, and how it answers. Written from its documentation
(messages, extended thinking, tool use, count_tokens, errors) and from what the official SDKs read."""

import base64
import re

from reply import Refusal, arguments_text, need, thirds, words
from wire_openai import sse

VERSION = re.compile(r"20\d\d-\d\d-\d\d")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
MESSAGES_FIELDS = set(
    "model messages max_tokens system stop_sequences stream temperature top_k top_p metadata tools "
    "tool_choice thinking service_tier container context_management mcp_servers output_config "
    "cache_control inference_geo".split())
COUNT_FIELDS = set("model messages system tools tool_choice thinking mcp_servers context_management "
                   "output_config cache_control".split())
ERROR_KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
               403: "permission_error", 404: "not_found_error", 413: "request_too_large",
               429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error"}
IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
MINIMUM_THINKING = 1024
SERVER_RESULTS = {"web_search_tool_result", "code_execution_tool_result",
                  "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"}


def error_body(refusal):
    return {"type": "error", "error": {"type": refusal.kind, "message": refusal.message},
            "request_id": "req_test"}


def bad(condition, message):
    need(condition, 400, message)


def refuse_key(_key):
    return Refusal(401, "invalid x-api-key", kind="authentication_error")


def judge_headers(seen):
    version = seen.field("anthropic-version")
    bad(version is not None, "anthropic-version: header is required")
    bad(VERSION.fullmatch(version), f"anthropic-version: \"{version}\" is not a valid version")


# ---- what is accepted -----------------------------------------------------------------------------

def judge_messages(body):
    judge_body(body, MESSAGES_FIELDS)
    limit = body.get("max_tokens")
    bad(limit is not None, "max_tokens: Field required")
    bad(isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1,
        "max_tokens: Input should be greater than or equal to 1")
    for name in ("temperature", "top_p"):
        v = body.get(name)
        bad(v is None or isinstance(v, (int, float)) and 0 <= v <= 1, f"{name}: range: 0..1")
    bad(isinstance(body.get("stream", False), bool), "stream: Input should be a valid boolean")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        bad(isinstance(budget, int) and budget >= MINIMUM_THINKING,
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        bad(budget < limit, "`max_tokens` must be greater than `thinking.budget_tokens`")
        bad(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled")


def judge_body(body, fields):
    bad(isinstance(body.get("model"), str) and body["model"], "model: Field required")
    for name in body:
        bad(name in fields, f"{name}: Extra inputs are not permitted")
    messages = body.get("messages")
    bad(messages is not None, "messages: Field required")
    bad(isinstance(messages, list) and messages, "messages: at least one message is required")
    system = body.get("system")
    bad(system is None or isinstance(system, (str, list)), "system: Input should be a valid string")
    judge_tools(body)
    # Neighbours of one role count as one turn.
    turns = []
    for i, m in enumerate(messages):
        where = f"messages.{i}"
        bad(m.get("role") in ("user", "assistant"), f"{where}.role: Input should be 'user' or 'assistant'")
        bad(set(m) <= {"role", "content"}, f"{where}: Extra inputs are not permitted")
        content = m.get("content")
        bad(isinstance(content, (str, list)), f"{where}.content: Input should be a valid list")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        bad(blocks or i == len(messages) - 1, f"{where}: all messages must have non-empty content")
        for j, block in enumerate(blocks):
            judge_block(block, m["role"], f"{where}.content.{j}")
        if turns and turns[-1][0] == m["role"]:
            turns[-1][1].extend(blocks)
        else:
            turns.append((m["role"], list(blocks)))
    bad(turns[0][0] == "user", "messages: first message must use the \"user\" role")
    judge_turns(turns, (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"))


def judge_tools(body):
    tools, names = body.get("tools") or [], set()
    for i, tool in enumerate(tools):
        where = f"tools.{i}"
        name = tool.get("name")
        bad(isinstance(name, str) and TOOL_NAME.fullmatch(name),
            f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        bad(name not in names, "tools: Tool names must be unique.")
        names.add(name)
        if tool.get("type", "custom") == "custom":
            schema = tool.get("input_schema")
            bad(isinstance(schema, dict), f"{where}.custom.input_schema: Field required")
            bad(schema.get("type") == "object", f"{where}.custom.input_schema.type: Input should be 'object'")
            bad(set(tool) <= {"type", "name", "description", "input_schema", "cache_control", "strict",
                              "eager_input_streaming", "defer_loading", "allowed_callers",
                              "input_examples"}, f"{where}: Extra inputs are not permitted")
    choice = body.get("tool_choice")
    bad(choice is None or tools, "tool_choice: may only be specified while providing tools")
    bad(choice is None or choice.get("type") in ("auto", "any", "tool", "none"), "tool_choice: bad type")


def judge_block(block, role, where):
    kind = block.get("type")
    if kind == "text":
        bad(isinstance(block.get("text"), str), f"{where}.text.text: Input should be a valid string")
        bad(block["text"], "messages: text content blocks must be non-empty")
    elif kind == "image":
        source = block.get("source") or {}
        bad(role == "user", f"{where}: image blocks are not allowed here")
        bad(source.get("type") in ("base64", "url", "file"), f"{where}.image.source: bad type")
        if source["type"] == "base64":
            bad(source.get("media_type") in IMAGE_TYPES, f"{where}.image.source.base64.media_type: bad")
            try:
                base64.b64decode(source.get("data"), validate=True)
            except (ValueError, TypeError):
                bad(False, f"{where}.image.source.base64: invalid base64 data")
    elif kind == "tool_use":
        bad(role == "assistant", f"{where}: `tool_use` blocks can only be in `assistant` messages")
        bad(isinstance(block.get("id"), str) and isinstance(block.get("name"), str) and
            isinstance(block.get("input"), dict), f"{where}.tool_use.input: should be a dictionary")
    elif kind == "tool_result":
        bad(role == "user", f"{where}: `tool_result` blocks can only be in `user` messages")
        bad(isinstance(block.get("tool_use_id"), str), f"{where}.tool_result.tool_use_id: Field required")
        bad(isinstance(block.get("content", ""), (str, list)), f"{where}.tool_result.content: bad")
        bad(set(block) <= {"type", "tool_use_id", "content", "is_error", "cache_control"},
            f"{where}.tool_result: Extra inputs are not permitted")
    elif kind == "thinking":
        bad(role == "assistant", f"{where}: `thinking` blocks can only be in `assistant` messages")
        bad(block.get("signature") == signature(block.get("thinking", "")),
            f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "server_tool_use":
        bad(role == "assistant" and str(block.get("id", "")).startswith("srvtoolu_"),
            f"{where}.server_tool_use.id: String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'")
    else:
        bad(kind in SERVER_RESULTS | {"redacted_thinking", "document", "container_upload",
                                      "search_result"}, f"{where}: Input tag '{kind}' found using 'type' "
            "does not match any of the expected tags")


def judge_turns(turns, thinking):
    asked = []
    for i, (role, blocks) in enumerate(turns):
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if role == "user":
            missing = [a for a in asked if a not in results]
            bad(not missing, f"messages.{i}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` "
                "block in the next message.")
            for r in results:
                bad(r in asked, f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {r}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message.")
            bad(len(set(results)) == len(results), f"messages.{i}: each tool_use must have a single result")
            kinds = [b["type"] == "tool_result" for b in blocks]
            bad(not asked or kinds == sorted(kinds, reverse=True), f"messages.{i}: `tool_result` blocks must "
                "come first in the content")
        asked = [b["id"] for b in blocks if b["type"] == "tool_use"] if role == "assistant" else []
        bad(len(set(asked)) == len(asked), f"messages.{i}: `tool_use` ids must be unique")
        if thinking and asked:
            bad(blocks[0]["type"] in ("thinking", "redacted_thinking"), f"messages.{i}.content.0.type: "
                f"Expected `thinking` or `redacted_thinking`, but found `{blocks[0]['type']}`. When `thinking` is "
                "enabled, a final `assistant` message must start with a thinking block.")
    bad(not asked, f"messages.{len(turns) - 1}: `tool_use` ids were found without `tool_result` blocks "
        f"immediately after: {', '.join(asked)}")


def signature(text):
    """What stands for the signature of a thinking block."""
    return base64.b64encode(b"signed:" + text.encode()).decode()


def judge_count(body):
    judge_body(body, COUNT_FIELDS)


# ---- how it answers -------------------------------------------------------------------------------

def content_blocks(reply, number):
    out = []
    if reply.thinking:
        out.append({"type": "thinking", "thinking": reply.thinking, "signature": signature(reply.thinking)})
    if reply.text:
        out.append({"type": "text", "text": reply.text})
    for i, (name, arguments) in enumerate(reply.calls):
        out.append({"type": "tool_use", "id": f"toolu_{number}_{i}", "name": name, "input": arguments})
    return out


def usage_of(reply, tokens_out=None):
    tokens_in, total = reply.usage or (0, 0)
    cached, written, _ = reply.details
    return {"input_tokens": tokens_in - cached - written, "cache_creation_input_tokens": written,
            "cache_read_input_tokens": cached,
            "output_tokens": total if tokens_out is None else tokens_out, "service_tier": "standard"}


def message_object(body, reply, number, content, stop):
    out = {"id": f"msg_{number}", "type": "message", "role": "assistant",
           "model": body["model"] + "-20250101", "content": content, "stop_reason": stop,
           "stop_sequence": None}
    if reply.usage:
        out["usage"] = usage_of(reply)
    return out


def message_whole(body, reply, number):
    return message_object(body, reply, number, content_blocks(reply, number),
                          reply.stop_reason("tool_use", "end_turn"))


def message_events(body, reply, number):
    def event(kind, **more):
        return sse({"type": kind, **more}, kind)

    begun = message_object(body, reply, number, [], None)
    if reply.usage:
        begun["usage"] = usage_of(reply, 1)
    yield event("message_start", message=begun)
    yield event("ping")
    for at, block in enumerate(content_blocks(reply, number)):
        empty, deltas = BLOCKS[block["type"]](block)
        yield event("content_block_start", index=at, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=at, delta=delta)
        yield event("content_block_stop", index=at)
    end = {"delta": {"stop_reason": reply.stop_reason("tool_use", "end_turn"), "stop_sequence": None}}
    if reply.usage:
        end["usage"] = {"output_tokens": reply.usage[1]}
    yield event("message_delta", **end)
    yield event("message_stop")


def text_deltas(block):
    return {**block, "text": ""}, [{"type": "text_delta", "text": w} for w in words(block["text"])]


def thinking_deltas(block):
    deltas = [{"type": "thinking_delta", "thinking": w} for w in words(block["thinking"])]
    return ({**block, "thinking": "", "signature": ""},
            [*deltas, {"type": "signature_delta", "signature": block["signature"]}])


def tool_deltas(block):
    text = arguments_text(block["input"])
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in
                                    ["", *thirds(text)]]


BLOCKS = {"text": text_deltas, "thinking": thinking_deltas, "tool_use": tool_deltas}


def count_whole(_body, reply, _number):
    return {"input_tokens": reply.usage[0] if reply.usage else 0}


def models_whole():
    return {"data": [{"type": "model", "id": "claude-test", "display_name": "Test",
                      "created_at": "2025-01-01T00:00:00Z"}], "has_more": False, "first_id": "claude-test",
            "last_id": "claude-test"}


ROUTES = {
    "/v1/messages": (judge_messages, message_whole, message_events),
    "/v1/messages/count_tokens": (judge_count, count_whole, None),
}
