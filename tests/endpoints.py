"""Servers that behave as the endpoints do that people bring: real HTTP on the loopback, one kind for each, and troubles.

What a kind imitates was written by us from the pages that its docstring names; none of them is fetched or run. A token is
four bytes of UTF-8, begun ones counted: `tokens(text)`. A server keeps books of what it was asked and of the work it did.

    with Server("vllm", context=4096) as server:
        server.faults(rate=0.3, kinds=["stall", "429"], seed=1)
        ...  # ask server.base_url
        assert sum(output for _, output in server.billed) <= budget
"""

import contextlib
import json
import math
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "a-model"
FENCE = "`" * 3
ANSWER = f"""Here are both files.

{FENCE}python
# train_mps.py
from model import GPT, GPTConfig


def train():
    model = GPT(GPTConfig())
    return 2.5, 0.1
{FENCE}

{FENCE}python
# model.py
class GPTConfig:
    n_layer = 4


class GPT:
    def __init__(self, config):
        self.config = config
{FENCE}
"""

FAULTS = {
    "429": "Retry-After in seconds, and no work",
    "429_date": "Retry-After as an HTTP-date, and no work",
    "429_bare": "no Retry-After, and no work",
    "500": "an error in the kind's envelope, and no work",
    "502": "a proxy's HTML page, and no work",
    "503": "overloaded, and no work",
    "moderated": "the prompt is flagged and refused, and no work",
    "reset": "the connection is reset before the head, and no work",
    "hang": "the request is read and nothing ever comes, and no work",
    "silent": "the head, then nothing until the client leaves",
    "comments_stall": "the head and a few keep-alive comments, then nothing until the client leaves",
    "comments_forever": "keep-alive comments until the client leaves, never a token",
    "stall": "half of the answer, then nothing until the client leaves",
    "reset_midstream": "half of the answer, then the connection is reset",
    "cut_midstream": "half of the answer, then the connection is closed as if all were said",
    "error_chunk": "half of the answer, then an error within the stream",
    "busy_chunk": "half of the answer, then a rate limit's error within the stream",
    "garbage": "half of the answer, then a line that is no JSON",
    "other_json": "status 200 and JSON of another shape",
    "html": "status 200 and an HTML page",
    "unstreamed": "the whole completion as one JSON body although a stream was asked for",
    "empty": "status 200 and an answer without text",
    "no_choices": "status 200 and no choice in any chunk",
    "length": "cut in the middle, finish_reason length",
    "content_filter": "cut in the middle, finish_reason content_filter",
    "finish_error": "cut in the middle, finish_reason error, as OpenRouter names whatever went wrong",
    "wrong_stop": "cut within a fence, finish_reason stop",
    "no_done": "the whole answer, but no [DONE]",
    "no_usage": "the whole answer, but no usage",
    "slow": "the whole answer, its first pieces `slow_seconds` each",
    "lingers": "the whole answer and [DONE], and the connection stays open",
}
"""Every trouble by name. Where no work is done nothing is billed; otherwise the prompt, and the tokens that were sent."""
BREAKS = ("reset_midstream", "cut_midstream", "stall", "silent", "comments_stall", "comments_forever")
"""Those of a body that was begun and never comes to its end."""
ERRORS = {
    "error_chunk": ("server_error", "Provider disconnected unexpectedly"),
    "busy_chunk": (429, "Rate limit exceeded: 40000 tokens per minute"),
}
"""Code and words of an error within a stream."""


def tokens(text: str) -> int:
    """How many tokens a text is here."""
    return math.ceil(len(text.encode()) / 4)


def counted(messages) -> int:
    """How many tokens a conversation is here: those of its messages, nothing for their frames."""
    return sum(tokens(message["content"]) for message in messages)


def first(text: str, limit: int) -> str:
    """The beginning of a text that is at most so many tokens."""
    return text.encode()[: 4 * max(0, limit)].decode(errors="ignore")


def last(text: str, limit: int) -> str:
    """The end of a text that is at most so many tokens."""
    return text.encode()[-4 * limit :].decode(errors="ignore") if limit > 0 else ""


class Refusal(Exception):
    """A status and a body instead of an answer."""

    def __init__(self, status, content, headers=()):
        super().__init__(status)
        self.status, self.content, self.headers = status, content, dict(headers)


@dataclass
class Request:
    """One question that arrived, and what became of it."""

    number: int
    body: dict
    key: str
    fault: str
    arrived: float
    worked: bool = False
    """Whether the prompt was read, so that it is paid for."""
    input: int = 0
    output: int = 0
    left: bool = False
    """Whether the client hung up before the server was done."""
    over: float | None = None


@dataclass
class Answer:
    """What a model says to a request, as far as its limits let it."""

    text: str
    reasoning: str = ""
    finish: str = "stop"
    hidden: int = 0
    """Tokens of a reasoning that is counted and never shown."""

    def pieces(self, size):
        """(field, text), a few tokens each."""
        for name, text in (("reasoning", self.reasoning), ("content", self.text)):
            while text:
                piece = first(text, size) or text[0]
                text = text[len(piece) :]
                yield name, piece


# ---- the kinds ----


class Kind:
    """What all have in common: OpenAI's paths and chunks, as far as a kind does not say otherwise."""

    protocol = "HTTP/1.1"
    keyless_list = False
    """Whether `GET /v1/models` is answered without a key."""
    shows = "reasoning_content"
    """The field that holds the reasoning; none puts it into the content, in <think> tags."""
    usage = "asked"
    """When a stream says what it used: where `stream_options.include_usage` is set, or always."""
    limits = ("max_tokens", "max_completion_tokens")
    """Parameters that limit the answer; others of that meaning are ignored."""
    limit_by_default = None
    envelope = {}  # noqa: RUF012

    def __init__(self, server):
        self.server = server

    def error(self, status, message, code=None, param=None, type="invalid_request_error", headers=()):
        """A refusal in the kind's own envelope."""
        error = {"message": message, "type": type, "param": param, "code": code}
        return Refusal(status, {"error": error}, headers)

    def bad_key(self, key):
        return self.error(401, "Unauthorized")

    def no_credit(self, asked):
        return None

    def no_model(self, name):
        return self.error(404, f"The model `{name}` does not exist.", param="model")

    def busy(self, headers):
        return self.error(429, "Too many requests", type="rate_limit_error", headers=headers)

    def flagged(self):
        message = "Invalid prompt: your prompt was flagged as potentially violating our usage policy."
        return self.error(400, message, code="invalid_prompt")

    def broken(self, status):
        return self.error(status, "The server had an error while processing your request", type="server_error")

    def headers(self, request):
        return {}

    def check(self, body):
        """Raise a Refusal for what the kind does not accept of a request."""
        if body.get("model") not in self.server.models:
            raise self.no_model(body.get("model"))

    def limit(self, body):
        asked = [body[name] for name in self.limits if body.get(name) is not None]
        return asked[0] if asked else self.limit_by_default

    def read(self, messages):
        """The messages as the model sees them."""
        return messages

    def model(self, body):
        return body.get("model")

    def listed(self, name):
        return {"id": name, "object": "model", "created": 1, "owned_by": "us"}

    def get(self, path):
        """Body of another path, or None."""
        return None

    def used(self, request):
        used = {"prompt_tokens": request.input, "completion_tokens": request.output}
        return used | {"total_tokens": request.input + request.output}

    def last_chunk(self, request):
        """What the last chunk holds besides."""
        return {}

    def error_event(self, envelope, code, message):
        """The event of an error within a stream, with what follows it."""
        error = {"message": message, "type": "server_error", "param": None, "code": code}
        return f"data: {json.dumps({'error': error})}\n\ndata: [DONE]\n\n"


class OpenAI(Kind):
    """OpenAI: a reasoning model refuses `max_tokens` and a temperature; what it does not know, and what it cannot hold, is a 400.

    From https://platform.openai.com/docs/api-reference/chat (stream_options: "the `choices` field will always be an empty
    array; all other chunks will also include a `usage` field, but with a null value"), …/docs/guides/error-codes and
    …/docs/guides/rate-limits (the x-ratelimit headers); the words of `unsupported_parameter` and `unsupported_value` from
    https://github.com/sipeed/picoclaw/issues/16 and https://github.com/diffbot/code-gpt-docs/issues/445.
    """

    shows = None
    known = (
        "model messages stream stream_options max_tokens max_completion_tokens temperature top_p seed n stop user tools"
        " tool_choice response_format frequency_penalty presence_penalty logit_bias logprobs top_logprobs reasoning_effort"
        " service_tier store metadata prediction parallel_tool_calls verbosity prompt_cache_key"
    )

    def reasons(self, name):
        return name.startswith(("o1", "o3", "o4", "gpt-5"))

    def bad_key(self, key):
        shown = f"{key[:7]}*****{key[-4:]}"
        message = f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com."
        return self.error(401, message, code="invalid_api_key")

    def no_credit(self, asked):
        message = "You exceeded your current quota, please check your plan and billing details."
        return self.error(429, message, code="insufficient_quota", type="insufficient_quota")

    def no_model(self, name):
        message = f"The model `{name}` does not exist or you do not have access to it."
        return self.error(404, message, code="model_not_found")

    def busy(self, headers):
        message = f"Rate limit reached for {MODEL} on requests per min (RPM): Limit 3, Used 3, Requested 1."
        return self.error(429, message, code="rate_limit_exceeded", type="requests", headers=headers)

    def headers(self, request):
        left = "0" if request.fault.startswith("429") else "499"
        return {
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": left,
            "x-ratelimit-reset-requests": "120ms",
            "x-request-id": f"req_{request.number}",
        }

    def check(self, body):
        super().check(body)
        for name in body:
            if name not in self.known.split():
                raise self.error(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
        if body.get("stream_options") and not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise self.error(400, message, param="stream_options")
        if self.reasons(body["model"]):
            self.check_reasoning(body)
        asked, most = self.limit(body) or 0, self.server.most
        if most and asked > most:
            message = f"max_tokens is too large: {asked}. This model supports at most {most} completion tokens, whereas you provided {asked}."  # noqa: E501
            raise self.error(400, message, param="max_tokens")
        self.check_context(body, counted(body["messages"]), asked)

    def check_reasoning(self, body):
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            raise self.error(400, message, code="unsupported_parameter", param="max_tokens")
        if body.get("temperature", 1) != 1:
            message = f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. Only the default (1) value is supported."  # noqa: E501
            raise self.error(400, message, code="unsupported_value", param="temperature")

    def check_context(self, body, prompt, asked):
        context = self.server.context
        if not context or prompt + asked <= context:
            return
        head = f"This model's maximum context length is {context} tokens. However, "
        if prompt > context:
            message = f"{head}your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        else:
            message = f"{head}you requested {prompt + asked} tokens ({prompt} in the messages, {asked} in the completion). Please reduce the length of the messages or completion."  # noqa: E501
        raise self.error(400, message, code="context_length_exceeded", param="messages")


class Gateway(Kind):
    """OpenRouter: comments keep a stream alive, an upstream's error comes within it, usage always and with its cost, 402.

    From https://openrouter.ai/docs/api-reference/streaming (": OPENROUTER PROCESSING"; the error chunk with
    `finish_reason: "error"`, after which the stream ends), …/docs/api-reference/errors (numbers as `code`, 402, a 403 for a
    flagged prompt), …/docs/use-cases/usage-accounting (`cost`), …/docs/use-cases/reasoning-tokens (`reasoning`); the words of
    the 402 from https://github.com/Taewan-P/gpt_mobile/issues/284, of the overflow from
    https://github.com/aaif-goose/goose/issues/1303.
    Its list of models wants no key. It ignores what it does not know.
    """

    keyless_list = True
    shows = "reasoning"
    usage = "always"
    envelope = {"provider": "Upstream"}  # noqa: RUF012

    def error(self, status, message, code=None, param=None, type="", headers=()):
        return Refusal(status, {"error": {"message": message, "code": status}}, headers)

    def bad_key(self, key):
        return self.error(401, "User not found.")

    def no_credit(self, asked):
        can = self.server.affordable
        message = f"This request requires more credits, or fewer max_tokens. You requested up to {asked} tokens, but can only afford {can}. To increase, visit https://openrouter.ai/settings/credits and upgrade to a paid account"  # noqa: E501
        return self.error(402, message)

    def no_model(self, name):
        return self.error(400, f"{name} is not a valid model ID")

    def busy(self, headers):
        upstream = {"raw": f"{MODEL} is temporarily rate-limited upstream", "provider_name": "Upstream"}
        error = {"message": "Provider returned error", "code": 429, "metadata": upstream}
        return Refusal(429, {"error": error}, headers)

    def flagged(self):
        message = f'{MODEL} requires moderation on Upstream. Your input was flagged for "violence".'
        flagged = {"reasons": ["violence"], "flagged_input": "improve it", "provider_name": "Upstream"}
        return Refusal(403, {"error": {"message": message, "code": 403, "metadata": flagged}})

    def broken(self, status):
        return self.error(status, "Provider returned error")

    def check(self, body):
        super().check(body)
        prompt, asked, context = counted(body["messages"]), self.limit(body) or 0, self.server.context
        if context and prompt + asked > context:
            message = f'This endpoint\'s maximum context length is {context} tokens. However, you requested about {prompt + asked} tokens ({prompt} of text input, {asked} in the output). Please reduce the length of either one, or use the "middle-out" transform to compress your prompt automatically.'  # noqa: E501
            raise self.error(400, message)

    def listed(self, name):
        prices = {"prompt": "0.0000005", "completion": "0.000004"}
        return {"id": name, "name": name, "created": 1, "context_length": self.server.context, "pricing": prices}

    def used(self, request):
        cost = (request.input * 0.5 + request.output * 4.0) / 1e6
        return super().used(request) | {"cost": cost, "completion_tokens_details": {"reasoning_tokens": 0}}

    def error_event(self, envelope, code, message):
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        error = {"code": code, "message": message}
        return f"data: {json.dumps(envelope | {'error': error, 'choices': [choice]})}\n\n"


class LiteLLM(Kind):
    """LiteLLM's proxy: every code is a string, an upstream's words are wrapped, a spent budget is a 429 that never passes.

    From https://docs.litellm.ai/docs/proxy/error_reference and …/docs/exception_mapping; the budget's words from
    https://github.com/BerriAI/litellm/issues/36729 (429; a 400 in releases before: issues/14144).
    """

    def error(self, status, message, code=None, param=None, type="None", headers=()):
        error = {"message": message, "type": type, "param": param, "code": str(status)}
        return Refusal(status, {"error": error}, headers)

    def bad_key(self, key):
        message = f"Authentication Error, Invalid proxy server token passed. Received API Key = sk-...{key[-4:]}"
        return self.error(401, message, type="token_not_found_in_db", param="key")

    def no_credit(self, asked):
        message = "Budget has been exceeded! Current cost: 10.51, Max budget: 10.00"
        return self.error(429, message, type="budget_exceeded")

    def no_model(self, name):
        message = f"/chat/completions: Invalid model name passed in model={name}. Call `/v1/models` to view available models for your key."  # noqa: E501
        return self.error(400, message, type="invalid_request_error", param="model")

    def busy(self, headers):
        message = f"litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for {MODEL}"
        return self.error(429, message, type="throttling_error", headers=headers)

    def check(self, body):
        super().check(body)
        prompt, asked, context = counted(body["messages"]), self.limit(body) or 0, self.server.context
        if context and prompt + asked > context:
            message = f"litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - This model's maximum context length is {context} tokens. However, your messages resulted in {prompt} tokens."  # noqa: E501
            raise self.error(400, message)


class Ollama(Kind):
    """Ollama's /v1: a prompt over the context is cut at its front without a word, and only `prompt_tokens` tells.

    From https://docs.ollama.com/context-length (4k by default under 24 GiB), https://docs.ollama.com/api/openai-compatibility
    ("required but ignored" keys, `reasoning`, the fields it reads: neither `num_ctx` nor `max_completion_tokens` is one, the
    first is for the Modelfile), openai/openai.go of github.com/ollama/ollama (types of errors, usage where asked for) and
    https://github.com/ollama/ollama/issues/9452 ("truncating input prompt"). Here the oldest text goes first, whoever said it;
    the real one spares a system message that fits.
    """

    keyless_list = True
    shows = "reasoning"
    limits = ("max_tokens",)
    envelope = {"system_fingerprint": "fp_ollama"}  # noqa: RUF012

    def error(self, status, message, code=None, param=None, type="", headers=()):
        type = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
        return super().error(status, message, type=type, headers=headers)

    def bad_key(self, key):
        return self.error(401, "unauthorized")  # of its cloud; a local one has no keys

    def no_model(self, name):
        return self.error(404, f"model '{name}' not found")

    def busy(self, headers):
        return self.error(503, "server busy, please try again.  maximum pending requests exceeded", headers=headers)

    def read(self, messages):
        room, kept = self.server.context or 4096, []
        for message in reversed(messages):
            text = last(message["content"], room)
            room -= tokens(text)
            if text:
                kept.append(message | {"content": text})
        return kept[::-1]

    def get(self, path):
        return {"version": "0.40.12"} if path == "/api/version" else None


class LMStudio(Kind):
    """LM Studio: any model's name and any key, <think> in the content, three ways of a prompt over the context.

    From https://lmstudio.ai/docs/developer/openai-compat; <think> from https://github.com/lmstudio-ai/lmstudio-bug-tracker
    issues/1569. What does not fit: a 400 whose `error` is a string (bug-tracker issues/237, words of issues/2205), a 200 whose
    stream is one `event: error` (bug-tracker issues/2322, releases of 2026), or a 200 without a word (issues/2339): the server's
    `overflow` is "400", "event" or "empty". Of a request's limits it reads `max_tokens` alone.
    """

    keyless_list = True
    shows = None
    limits = ("max_tokens",)
    overflow = "400"

    def bad_key(self, key):
        return self.error(401, "Invalid LM Studio API token", code="invalid_api_key")

    def check(self, body):
        prompt, context = counted(body["messages"]), self.server.context
        if not context or prompt < context or self.server.overflow == "empty":
            return
        if self.server.overflow == "event" and body.get("stream"):
            message = f"Input does not fit in context length. The input has {prompt} tokens, but the context length only supports {context} tokens."  # noqa: E501
            event = f"event: error\ndata: {json.dumps({'error': {'message': message}, 'message': message})}\n\n"
            raise Refusal(200, event.encode(), {"Content-Type": "text/event-stream"})
        message = f"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: {prompt}>= n_ctx: {context}). Try to load the model with a larger context length, or provide a shorter input."  # noqa: E501
        raise Refusal(400, {"error": message})

    def model(self, body):
        return self.server.models[0]


class VLLM(Kind):
    """vLLM: prompt and limit together over the context are a 400 that says the numbers; what it does not know it ignores.

    From https://docs.vllm.ai/en/stable/serving/openai_compatible_server and …/features/reasoning_outputs (`reasoning`, in
    releases of 2025 `reasoning_content`: give `shows`); the words from https://github.com/vllm-project/vllm issues/20409 and
    issues/33418, extra parameters allowed since pull/10463. Without a limit the answer may fill the context.
    """

    shows = "reasoning"

    def error(self, status, message, code=None, param=None, type="BadRequestError", headers=()):
        return super().error(status, message, code=status, param=param, type=type, headers=headers)

    def bad_key(self, key):
        return Refusal(401, {"error": "Unauthorized"})

    def no_model(self, name):
        return self.error(404, f"The model `{name}` does not exist.", type="NotFoundError", param="model")

    def check(self, body):
        super().check(body)
        prompt, asked, context = counted(body["messages"]), self.limit(body), self.server.context
        if body.get("stream_options") and not body.get("stream"):
            raise self.error(400, "Stream options can only be defined when `stream=True`.", param="stream_options")
        if not context:
            return
        head = f"This model's maximum context length is {context} tokens"
        if prompt >= context:
            message = f"{head}. However, your request has {prompt} input tokens. Please reduce the length of the input messages."
            raise self.error(400, message, param="input_tokens")
        if asked is not None and asked > context - prompt:
            message = f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. {head} and your request has {prompt} input tokens ({asked} > {context} - {prompt})."  # noqa: E501
            raise self.error(400, message, param="max_tokens")

    def limit(self, body):
        room = self.server.context and self.server.context - counted(body["messages"])
        return super().limit(body) or room

    def listed(self, name):
        return super().listed(name) | {"max_model_len": self.server.context}

    def get(self, path):
        return b"" if path == "/health" else None


class LlamaCpp(Kind):
    """llama.cpp's server: 503 "Loading model" until it has, `exceed_context_size_error`, its own model whatever name is asked.

    From tools/server/README.md of https://github.com/ggml-org/llama.cpp (/health, /props, `timings`, --api-key, which neither
    /health nor /v1/models wants; `reasoning_content`), server-task.cpp (`n_prompt_tokens`, `n_ctx` beside the message) and
    pull/19831 (max_completion_tokens). An answer that fills the context ends with finish_reason length.
    """

    keyless_list = True
    envelope = {"system_fingerprint": "b9554-d403f00ec"}  # noqa: RUF012

    def error(self, status, message, code=None, param=None, type="invalid_request_error", headers=()):
        return Refusal(status, {"error": {"code": status, "message": message, "type": type}}, headers)

    def bad_key(self, key):
        return self.error(401, "Invalid API Key", type="authentication_error")

    def loading(self):
        return self.error(503, "Loading model", type="unavailable_error")

    def check(self, body):
        prompt, context = counted(body["messages"]), self.server.context
        if context and prompt >= context:
            message = (
                f"request ({prompt} tokens) exceeds the available context size ({context} tokens), try increasing it"
            )
            refusal = self.error(400, message, type="exceed_context_size_error")
            refusal.content["error"] |= {"n_prompt_tokens": prompt, "n_ctx": context}
            raise refusal

    def limit(self, body):
        room = self.server.context - counted(body["messages"]) if self.server.context else math.inf
        limit = min(super().limit(body) or math.inf, room)
        return None if math.isinf(limit) else limit

    def model(self, body):
        return self.server.models[0]

    def get(self, path):
        if path == "/props":
            return {"default_generation_settings": {"n_ctx": self.server.context}, "total_slots": 1}
        return {"status": "ok"} if path == "/health" else None

    def last_chunk(self, request):
        return {"timings": {"prompt_n": request.input, "predicted_n": request.output, "predicted_per_second": 50.0}}


class MLX(Kind):
    """mlx_lm.server: HTTP/1.0, so that the end of a stream is the end of the connection; 512 tokens where no limit is given.

    From mlx_lm/SERVER.md of https://github.com/ml-explore/mlx-lm and server.py there: an error's `error` is a string, an
    unknown model is looked for at Hugging Face and ends as a 404, comments while it reads the prompt, `reasoning`, usage where
    asked for. No key is looked at, and no length of a prompt is too much (github.com/ml-explore/mlx-examples/issues/1170).
    """

    protocol = "HTTP/1.0"
    keyless_list = True
    shows = "reasoning"
    limit_by_default = 512

    def error(self, status, message, code=None, param=None, type="", headers=()):
        return Refusal(status, {"error": message}, headers)

    def no_model(self, name):
        url = f"https://huggingface.co/api/models/{name}/revision/main"
        return self.error(404, f"404 Client Error. Repository Not Found for url: {url}.")


KINDS = {
    "openai": OpenAI,
    "gateway": Gateway,
    "litellm": LiteLLM,
    "ollama": Ollama,
    "lmstudio": LMStudio,
    "vllm": VLLM,
    "llamacpp": LlamaCpp,
    "mlx": MLX,
}


# ---- the server ----


@dataclass
class _Faults:
    rate: float = 0.0
    kinds: tuple = ()
    seed: int = 1
    most: float = math.inf
    retry_after: float = 1.0
    script: list = field(default_factory=list)


class Server:
    """One endpoint of a kind, on the loopback, until it is closed.

    Args:
        kind: a name of KINDS.
        answer: what the model says to (messages as it sees them, seed).
        models: the names it has.
        key: the one key that is taken; None takes any.
        context: tokens of prompt and answer together; None has no limit (Ollama: 4096).
        most: the most output tokens a request may ask for (OpenAI).
        reasoning: what the model says to itself first; counted, and shown as the kind does.
        usage: whether tokens are ever told.
        overflow: of LM Studio, see there.
        shows: the reasoning's field, where a release has another than the kind's.
        chunk: tokens of one chunk.
        slow_seconds: of one chunk of the fault `slow`.
        seconds: of one chunk of every answer.
    """

    def __init__(
        self, kind="openai", answer=None, *, models=(MODEL,), key=None, context=None, most=None, reasoning="", usage=True,
        overflow="400", shows="", chunk=8, slow_seconds=0.2, seconds=0.0,
    ):  # fmt: skip
        self.kind = KINDS[kind](self)
        if shows:
            self.kind.shows = shows
        self.answer = answer or (lambda messages, seed: ANSWER)
        self.models, self.key, self.context, self.most = tuple(models), key, context, most
        self.reasoning, self.usage, self.overflow = reasoning, usage, overflow
        self.chunk, self.slow_seconds, self.seconds = chunk, slow_seconds, seconds
        self.affordable, self.loading, self.over = math.inf, False, threading.Event()
        self._lock, self._requests, self._flying, self._peak = threading.Lock(), [], 0, 0
        self._looked, self._faults, self._refuses_keys, self._unwell = [], _Faults(), False, False
        self._connections, self._given, self._held = set(), 0, None
        self._listener = self._listen(0)
        self.port = self._listener.server_port

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    # ---- switches ----

    def faults(self, rate=1.0, kinds=tuple(FAULTS), seed=1, most=math.inf, retry_after=1.0):
        """From now on a share of arrivals meets trouble: which, and whether, follows from the seed and the arrival's number.

        Args:
            rate: the share.
            kinds: names of FAULTS, each as likely.
            seed: of the draws.
            most: after so many faults there are no more.
            retry_after: seconds of the 429s.
        """
        if unknown := set(kinds) - set(FAULTS):
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self._given = 0
        self._faults = _Faults(rate, tuple(kinds), seed, most, retry_after, self._faults.script)

    def next(self, *kinds, retry_after=1.0):
        """The next arrivals meet these in turn, "" for none, whatever was drawn."""
        self._faults.script[:], self._faults.retry_after = kinds, retry_after

    def refuse_key(self):
        """From now on every key is a wrong one."""
        self._refuses_keys = True

    def no_credit(self, affordable=0):
        """From now on a request for more output tokens than these is not paid for, where the kind asks for money."""
        self.affordable = affordable

    def down(self, how="refused"):
        """Away: connections are "refused" and those that were open are reset; or everything is a "503"."""
        if how == "503":
            self._unwell = True
            return
        self._listener.shutdown()
        self._listener.server_close()
        self._held = socket.socket()  # the port stays ours while nobody listens on it
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _reset(connection)
        self._held.bind(("127.0.0.1", self.port))

    def up(self):
        """Back."""
        self._unwell = False
        if self._held is not None:
            held, self._held = self._held, None
            self._listener = self._listen(self.port, held)

    def close(self):
        self.over.set()
        if self._held is not None:
            self._held.close()
        else:
            self._listener.shutdown()
            self._listener.server_close()

    # ---- books ----

    @property
    def requests(self):
        """Every question that arrived, in order."""
        with self._lock:
            return list(self._requests)

    @property
    def asked(self):
        """The bodies of all questions, in order of arrival."""
        return [request.body for request in self.requests]

    @property
    def times(self):
        """When they arrived, on the monotonic clock."""
        return [request.arrived for request in self.requests]

    @property
    def met(self):
        """The fault of each, "" where there was none."""
        return [request.fault for request in self.requests]

    @property
    def billed(self):
        """(input, output) tokens of every question that work was done for, whatever became of it."""
        return [(request.input, request.output) for request in self.requests if request.worked]

    @property
    def looked(self):
        """The paths of everything else that was asked for."""
        with self._lock:
            return list(self._looked)

    @property
    def peak(self):
        """The most questions that were in flight at a time."""
        return self._peak

    # ---- what the handler needs ----

    def _listen(self, port, held=None):
        listener = ThreadingHTTPServer(("127.0.0.1", port), _handler(self), bind_and_activate=held is None)
        if held is not None:
            listener.socket.close()
            listener.socket = held
            listener.server_activate()
        listener.daemon_threads, listener.block_on_close = True, False
        listener.handle_error = lambda *_: None  # a client that left is no error of the test
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        return listener

    def _arrives(self, body, key):
        with self._lock:
            request = Request(len(self._requests), body, key, "", time.monotonic())
            request.fault = self._draw(request.number)
            self._requests.append(request)
            self._flying += 1
            self._peak = max(self._peak, self._flying)
        return request

    def _leaves(self, request):
        with self._lock:
            self._flying -= 1
            request.over = time.monotonic()

    def _draw(self, number):
        faults = self._faults
        if faults.script:
            return faults.script.pop(0)
        draw = random.Random(f"{faults.seed}/{number}")
        if draw.random() >= faults.rate or self._given >= faults.most:
            return ""
        self._given += 1
        return draw.choice(faults.kinds)

    def _wrong_key(self, key):
        return self._refuses_keys or (self.key is not None and key != self.key)


def _reset(connection):
    """Let a connection end with a reset, by whichever thread closes it."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)


def _handler(server):
    return type("Handler", (_Handler,), {"endpoint": server, "protocol_version": server.kind.protocol})


class _Handler(BaseHTTPRequestHandler):
    endpoint: Server
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        with self.endpoint._lock:
            self.endpoint._connections.add(self.connection)

    def finish(self):
        with self.endpoint._lock:
            self.endpoint._connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()  # before the server says goodbye in its own way, which is no reset

    def parse_request(self):
        """A request that slips in on a connection about to be reset, while the server is away, has no answer."""
        read = super().parse_request()
        if self.endpoint._held is not None:
            self.close_connection = True
            return False
        return read

    def do_GET(self):
        with self.endpoint._lock:
            self.endpoint._looked.append(self.path)
        kind = self.endpoint.kind
        try:
            self._check_health()
            if self.path == "/v1/models":
                if not kind.keyless_list and self.endpoint._wrong_key(self._key()):
                    raise kind.bad_key(self._key())
                self._send(200, {"object": "list", "data": [kind.listed(name) for name in self.endpoint.models]})
                return
            content = kind.get(self.path)
            self._send(404 if content is None else 200, {"error": "Not Found"} if content is None else content)
        except Refusal as refusal:
            self._send(refusal.status, refusal.content, refusal.headers)
        except OSError:
            self.close_connection = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/chat/completions":
            with self.endpoint._lock:
                self.endpoint._looked.append(self.path)
            self._send(404, {"error": "Not Found"})
            return
        request = self.endpoint._arrives(json.loads(body), self._key())
        try:
            self._answer(request)
        except Refusal as refusal:
            with contextlib.suppress(OSError):
                self._send(refusal.status, refusal.content, self.endpoint.kind.headers(request) | refusal.headers)
        except OSError:  # the client is gone
            request.left = True
            self.close_connection = True
        finally:
            self.endpoint._leaves(request)

    def _key(self):
        return (self.headers["Authorization"] or "").removeprefix("Bearer ")

    def _check_health(self):
        if self.endpoint.loading:
            raise self.endpoint.kind.loading()
        if self.endpoint._unwell:
            raise self.endpoint.kind.broken(503)

    def _send(self, status, content, headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # ---- a question ----

    def _answer(self, request):
        server, kind, body = self.endpoint, self.endpoint.kind, request.body
        self._check_health()
        if server._wrong_key(request.key):
            raise kind.bad_key(request.key)
        asked = kind.limit(body) or 0
        if (asked > server.affordable or server.affordable == 0) and (refusal := kind.no_credit(asked)):
            raise refusal
        if self._head_fault(request):
            return
        kind.check(body)
        messages = kind.read(body["messages"])
        request.worked, request.input = True, counted(messages)
        if self._other_body(request):
            return
        answer = self._said(request, messages)
        if request.fault == "unstreamed" or not body.get("stream"):
            self._whole(request, answer)
        else:
            self._stream(request, answer)

    def _head_fault(self, request):
        """Trouble before any work; True where the question is thereby over."""
        fault, kind, seconds = request.fault, self.endpoint.kind, self.endpoint._faults.retry_after
        if fault == "429":
            raise kind.busy({"Retry-After": f"{seconds:g}"})
        if fault == "429_date":
            raise kind.busy({"Retry-After": formatdate(math.ceil(time.time() + seconds), usegmt=True)})
        if fault == "429_bare":
            raise kind.busy({})
        if fault in ("500", "503"):
            raise kind.broken(int(fault))
        if fault == "moderated":
            raise kind.flagged()
        if fault == "502":
            page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
            raise Refusal(502, page, {"Content-Type": "text/html"})
        if fault == "reset":
            self._hang_up()
        elif fault == "hang":
            self._wait_until_left(request)
        return fault in ("reset", "hang")

    def _other_body(self, request):
        """Status 200 and something else than an answer."""
        if request.fault == "html":
            self._send(200, b"<html><body>Sign in to the network</body></html>", {"Content-Type": "text/html"})
        elif request.fault == "other_json" and not request.body.get("stream"):
            self._send(200, {"status": "ok"})
        elif request.fault == "other_json":
            event = b'data: {"status": "ok"}\n\ndata: [DONE]\n\n'
            self._send(200, event, {"Content-Type": "text/event-stream"})
        return request.fault in ("html", "other_json")

    def _said(self, request, messages):
        server, kind, body = self.endpoint, self.endpoint.kind, request.body
        answer = Answer(server.answer(messages, body.get("seed", 0)), server.reasoning)
        if isinstance(kind, LMStudio):
            thoughts = f"<think>\n{answer.reasoning}\n</think>\n\n" if answer.reasoning else ""
            answer = Answer(thoughts + answer.text)
            if server.overflow == "empty" and server.context and request.input >= server.context:
                answer = Answer("")
        limit = kind.limit(body)
        if isinstance(kind, OpenAI):
            thought = tokens(answer.reasoning) if kind.reasons(body["model"]) else 0
            answer.reasoning, answer.hidden = "", thought if limit is None else min(thought, limit)
        if limit is not None:
            whole = (answer.reasoning, answer.text)
            answer.reasoning = first(answer.reasoning, limit)
            answer.text = first(answer.text, limit - answer.hidden - tokens(answer.reasoning))
            answer.finish = "stop" if (answer.reasoning, answer.text) == whole else "length"
        return self._spoilt(request.fault, answer)

    def _spoilt(self, fault, answer):
        """An answer that is not what the model said."""
        half = answer.text[: len(answer.text) // 2]
        if fault == "empty":
            return Answer("", hidden=answer.hidden)
        if fault in ("length", "content_filter", "finish_error"):
            return Answer(half, answer.reasoning, fault.removeprefix("finish_"), answer.hidden)
        if fault == "wrong_stop":
            opening = answer.text.rfind(FENCE, 0, answer.text.rfind(FENCE))
            cut = opening + (len(answer.text) - opening) // 2 if opening > 0 else len(half)
            return Answer(answer.text[:cut], answer.reasoning, "stop", answer.hidden)
        return answer

    def _envelope(self, request, kind_of="chat.completion.chunk"):
        kind = self.endpoint.kind
        own = {"id": f"chatcmpl-{request.number}", "object": kind_of, "created": 1, "model": kind.model(request.body)}
        return own | kind.envelope

    def _told(self, request, always=False):
        """Whether tokens are told."""
        options = request.body.get("stream_options") or {}
        asked = always or self.endpoint.kind.usage == "always" or options.get("include_usage")
        return bool(asked) and self.endpoint.usage and request.fault != "no_usage"

    def _whole(self, request, answer):
        kind = self.endpoint.kind
        request.output = answer.hidden + tokens(answer.reasoning) + tokens(answer.text)
        message = {"role": "assistant", "content": answer.text}
        if answer.reasoning and kind.shows:
            message[kind.shows] = answer.reasoning
        choices = [{"index": 0, "message": message, "finish_reason": answer.finish}]
        body = self._envelope(request, "chat.completion") | kind.last_chunk(request)
        body["choices"] = [] if request.fault == "no_choices" else choices
        if self._told(request, always=True):
            body["usage"] = kind.used(request)
        if request.fault in ERRORS:
            body = kind.broken(500).content
        if request.fault == "slow":
            time.sleep(self.endpoint.slow_seconds)
        data = json.dumps(body).encode()
        half = data[: len(data) // 2]
        if request.fault == "garbage":
            self._send(200, half, kind.headers(request))
        elif request.fault in BREAKS:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(half)
            self._break_off(request)
        else:
            self._send(200, data, kind.headers(request))

    # ---- a stream ----

    def _stream(self, request, answer):
        kind, told = self.endpoint.kind, self._told(request)
        null = {"usage": None} if told and isinstance(kind, OpenAI) else {}
        self._stream_head(request)
        if not self._until_first_token(request):
            return
        request.output = answer.hidden
        self._event(request, self._choice({"role": "assistant", "content": ""}) | null)
        sent, pieces = {"reasoning": 0, "content": 0}, list(answer.pieces(self.endpoint.chunk))
        middle = len(pieces) // 2
        for number, (name, piece) in enumerate(pieces):
            if number == middle and self._breaks(request):
                return
            if request.fault == "slow" and number < 3:
                time.sleep(self.endpoint.slow_seconds)
            time.sleep(self.endpoint.seconds)
            shown = "content" if name == "content" else kind.shows
            self._event(request, self._choice({shown: piece}) | null)
            sent[name] += len(piece.encode())
            request.output = answer.hidden + sum(math.ceil(count / 4) for count in sent.values())
        self._stream_end(request, answer, told, null)

    def _choice(self, delta, finish=None):
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def _stream_head(self, request):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        for name, value in self.endpoint.kind.headers(request).items():
            self.send_header(name, value)
        if self._chunked():
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _until_first_token(self, request):
        """Comments and silence; False where nothing follows."""
        comment = ": OPENROUTER PROCESSING\n\n"
        if request.fault in ("comments_stall", "comments_forever") or isinstance(self.endpoint.kind, Gateway):
            for _ in range(2):
                self._raw(comment)
        while request.fault == "comments_forever" and not self.endpoint.over.is_set():
            if self._left(0.03):
                request.left = True
                break
            self._raw(comment)
        if request.fault in ("silent", "comments_stall"):
            self._wait_until_left(request)
        if request.fault in ("silent", "comments_stall", "comments_forever"):
            self.close_connection = True
            return False
        return True

    def _breaks(self, request):
        """Trouble in the midst of an answer; True where nothing follows."""
        if request.fault in ERRORS:
            self._raw(self.endpoint.kind.error_event(self._envelope(request), *ERRORS[request.fault]))
            self._raw(None)
        elif request.fault == "garbage":
            self._raw('data: {"id": "chatcmpl-1", "choices": [{"ind\n\ndata: [DONE]\n\n')
            self._raw(None)
        elif request.fault in ("stall", "reset_midstream", "cut_midstream"):
            self._break_off(request)
        else:
            return False
        return True

    def _break_off(self, request):
        if request.fault == "reset_midstream":
            self._hang_up()
        elif request.fault != "cut_midstream":
            self._wait_until_left(request)
        self.close_connection = True

    def _stream_end(self, request, answer, told, null):
        kind = self.endpoint.kind
        last_of_all = kind.last_chunk(request)
        self._event(request, self._choice({}, answer.finish) | null | ({} if told else last_of_all))
        if told:
            self._event(request, {"choices": [], "usage": kind.used(request)} | last_of_all)
        if request.fault != "no_done":
            self._raw("data: [DONE]\n\n")
        if request.fault == "lingers":
            self._wait_until_left(request)
        else:
            self._raw(None)

    def _event(self, request, content):
        if request.fault == "no_choices":
            content = content | {"choices": []}
        self._raw(f"data: {json.dumps(self._envelope(request) | content)}\n\n")

    def _chunked(self):
        return self.protocol_version == "HTTP/1.1"

    def _raw(self, text):
        """Bytes of a stream; None ends it."""
        data = (text or "").encode()
        if self._chunked():
            data = f"{len(data):x}\r\n".encode() + data + b"\r\n"
        self.wfile.write(data)

    # ---- the connection ----

    def _hang_up(self):
        _reset(self.connection)
        self.close_connection = True

    def _left(self, seconds):
        """Whether the client hangs up within so long."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _wait_until_left(self, request):
        while not self.endpoint.over.is_set() and not request.left:
            request.left = self._left(0.02)
        self.close_connection = True
