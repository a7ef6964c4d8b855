"""`[[model]]`: settings of a model, and presets for common servers."""

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from evo.config.tables import Table

CATALOGUE = "catalogue"
"""The `name` in `[[model]]` that selects the catalogue."""
OPENAI_URL = "https://api.openai.com/v1"

_OURS = {"model", "messages", "n", "seed", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
_SECRET = re.compile(r"api_?key|secret|password|authorization|(^|_)token$", re.IGNORECASE)

PresetName = Literal["openai", "gateway", "ollama", "lmstudio", "vllm", "llamacpp", "mlx"]


@dataclass(frozen=True)
class Preset:
    """Defaults for one kind of server.

    Attributes:
        base_url: Default address. "" if there is none.
        limit: Name of the request parameter that limits an answer, in tokens.
        advice: One line of advice for users of the server. "" for none.
    """

    base_url: str
    limit: str = "max_tokens"
    advice: str = ""


PRESETS: dict[str, Preset] = {
    "openai": Preset(OPENAI_URL, limit="max_completion_tokens"),
    "gateway": Preset("https://openrouter.ai/api/v1"),
    "ollama": Preset(
        "http://localhost:11434/v1",
        advice="it cuts prompts silently to its own context length: start it with OLLAMA_CONTEXT_LENGTH=16384",
    ),
    "lmstudio": Preset(
        "http://localhost:1234/v1",
        advice="it answers with the loaded model, whatever name is requested; set the context length in LM Studio",
    ),
    "vllm": Preset("http://localhost:8000/v1"),
    "llamacpp": Preset("http://localhost:8080/v1", advice="its context (-c) is shared by its slots (-np)"),
    "mlx": Preset("http://localhost:8080/v1", advice="mlx_lm.server answers one request at a time: concurrency = 1"),
}


class Model(Table):
    """`[[model]]`: a model that answers prompts. Several models share the candidates of a run.

    `command`, `gguf` or `answers_from` determines the kind. Otherwise, the model is an endpoint if it has `base_url`, `preset`
    or a name other than `catalogue`, and the built-in proposer if not.
    """

    name: str = CATALOGUE
    """Name of the model at the endpoint. `catalogue` selects the built-in offline proposer."""
    label: str | None = None
    """Name in this configuration and in the lineage, to distinguish models with the same name. Defaults to `name`."""
    preset: PresetName | None = None
    """Kind of server: openai, gateway, ollama, lmstudio, vllm, llamacpp or mlx. Sets the default address."""
    base_url: str | None = None
    """URL of an OpenAI-compatible endpoint. Defaults to the preset's, then OPENAI_BASE_URL, then OpenAI's."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the API key. The key itself is never stored."""
    command: tuple[str, ...] = ()
    """Program and arguments. The program reads the prompt from standard input and writes the answer to standard output."""
    environment: tuple[str, ...] = ()
    """Environment variables passed to `command` besides PATH, HOME and LANG."""
    gguf: str | None = None
    """GGUF file of a local model. llama.cpp serves it on this machine during a session (extra `local`)."""
    answers_from: str | None = None
    """Run whose recorded answers are replayed, without an endpoint."""
    weight: float = Field(1.0, ge=0.0, allow_inf_nan=False)
    """Share of candidates that use this model, relative to the weights of the other models."""
    price_in: float | None = Field(None, ge=0.0, allow_inf_nan=False)
    """Price in US dollars per million input tokens. Required for every endpoint if `budget.usd` is set. 0 for a free endpoint."""
    price_out: float | None = Field(None, ge=0.0, allow_inf_nan=False)
    """Price in US dollars per million output tokens."""
    context_length: int | None = Field(None, ge=1024)
    """Maximum number of tokens in prompt and answer together. A prompt that is too long is cut or refused before it is sent."""
    max_tokens: int = Field(16384, ge=256)
    """Maximum length of an answer in tokens."""
    temperature: float | None = Field(1.0, ge=0.0, le=2.0)
    """Sampling temperature. The catalogue ignores it."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Extra fields sent unchanged with every request."""
    connect_seconds: float = Field(15.0, gt=0.0)
    """Timeout in seconds for connecting to the endpoint."""
    first_token_seconds: float = Field(600.0, gt=0.0)
    """Timeout in seconds until an answer begins. A large prompt on a CPU takes minutes."""
    stall_seconds: float = Field(60.0, gt=0.0)
    """Timeout in seconds between parts of an answer. A stalled answer is abandoned and requested again."""
    timeout_seconds: float = Field(1800.0, gt=0.0)
    """Timeout in seconds for a complete answer."""
    retries: int = Field(5, ge=0)
    """Maximum number of retries of a request after 429, 5xx, a lost connection or a stalled answer, with increasing delays.
    After the last one, the endpoint counts as down.
    """
    concurrency: int = Field(8, ge=1)
    """Maximum number of requests in flight."""
    requests_per_minute: float | None = Field(None, gt=0.0)
    """Limit on requests per minute. If unset, only the endpoint's own limit applies."""
    tokens_per_minute: float | None = Field(None, gt=0.0)
    """Limit on tokens per minute, counting input and maximum output. If unset, only the endpoint's own limit applies."""
    faults: str = ""
    """Faults that the catalogue simulates, e.g. `truncated=0.1,429=0.1` (see `evo catalogue serve --help`). Catalogue only."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        told = {
            "command": bool(self.command),
            "gguf": self.gguf is not None,
            "answers_from": self.answers_from is not None,
            "base_url or preset": self.base_url is not None or self.preset is not None,
        }
        if not re.fullmatch(r"[A-Za-z_]\w*", self.key_variable):
            raise ValueError("expected the name of an environment variable in key_variable, not the key itself")
        for name in self.extra_body:
            if name in _OURS or _SECRET.search(name):
                raise ValueError(f"expected no {name} in extra_body: evo sets that field, or it is a secret")
        given = [name for name, there in told.items() if there]
        if len(given) > 1:
            raise ValueError(f"expected one of command, gguf, answers_from and base_url, found {' and '.join(given)}")
        return self

    @property
    def kind(self) -> str:
        """Return the kind of model: `catalogue`, `endpoint`, `command`, `gguf` or `answers`."""
        if self.command:
            return "command"
        if self.gguf is not None:
            return "gguf"
        if self.answers_from is not None:
            return "answers"
        named = self.base_url is not None or self.preset is not None or self.name != CATALOGUE
        return "endpoint" if named else CATALOGUE

    @property
    def is_catalogue(self) -> bool:
        """Return whether the model is the catalogue."""
        return self.kind == CATALOGUE

    @property
    def display_name(self) -> str:
        """Return the name of the model in this configuration and in the lineage."""
        if self.label or self.kind in ("endpoint", CATALOGUE):
            return self.label or self.name
        if self.name != CATALOGUE:
            return self.name
        if self.gguf is not None:
            return self.gguf.rsplit("/", 1)[-1].removesuffix(".gguf")
        return self.command[0].rsplit("/", 1)[-1] if self.command else f"answers of {self.answers_from}"

    @property
    def prompt_limit(self) -> int | None:
        """Return the maximum number of tokens in a prompt, or None if `context_length` is not set.

        The limit is `context_length` minus `max_tokens`, and at least half of `context_length`.
        """
        if self.context_length is None:
            return None
        return max(self.context_length - self.max_tokens, self.context_length // 2)

    @property
    def is_free(self) -> bool:
        """Return whether answers cost no money: the model is not an endpoint and has no price."""
        return self.kind != "endpoint" and self.price_in is None and self.price_out is None

    @property
    def server_preset(self) -> Preset:
        """Return the preset of the model. Without one, return a preset with no address."""
        return PRESETS[self.preset] if self.preset else Preset("")
