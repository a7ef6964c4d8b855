"""Process of a local model: llama.cpp's HTTP server. It ends when its parent process ends.

Run as `python -m evo.serving.local_child`. The first line on standard input is a JSON object: model, name, port, context,
threads, parallel, token. Standard output has one line, the address. The log of llama.cpp goes to standard error. The process
ends when standard input ends, which also happens when its parent dies.
"""

import json
import os
import sys
import threading
from typing import Any

from evo.proposer import key

PROMPT_CACHE_MIB = 1024
"""Size of the cache of processed prompts, reused by the next turn of a conversation. Default of llama.cpp: 8 GiB."""


def main() -> None:
    """Serve until standard input ends."""
    key.hide_memory()
    asked = json.loads(sys.stdin.readline())
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ended = threading.Event()
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    try:
        server = _serve(asked)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(server.listening_address, file=said, flush=True)
    ended.wait()


def _end_with_parent(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()
    os._exit(0)


def _serve(asked: dict[str, Any]) -> Any:
    """Start llama.cpp's server. It serves as long as the returned object lives.

    An answer repeats most of the files in its prompt. So speculative decoding proposes the tokens that followed there, 48 at
    a time. A proposed token is kept only if the model would have chosen it too, so the answer is the same.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = asked["model"]
    params.model_alias = {asked["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = asked["port"]
    params.api_keys = [asked["token"]]
    params.n_parallel = asked["parallel"]
    params.n_ctx = asked["context"] * asked["parallel"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = params.endpoint_slots = False
    params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
