"""The process of a local model: llama.cpp's own HTTP server, until the process that started it is gone.

Run as `python -m evo.serving.local_child`. The first line on standard input is a JSON object: model, name, port, context,
threads, parallel, token. The address is the one line on standard output; what llama.cpp says goes to standard error. It
ends when standard input does, which the death of its parent makes it do.
"""

import json
import os
import sys
import threading
from typing import Any

from evo.proposer import key

PROMPT_CACHE_MIB = 1024
"""Of prompts that were read before, so that a conversation is not read anew each turn; llama.cpp's own default is 8 GiB."""


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
    """llama.cpp's server; it serves for as long as the object lives.

    An answer repeats most of the files that stand in its prompt, so the tokens that followed there are tried first, 48 at a
    time; each is kept only where the model would have chosen it too, so the answer is the same, sooner.
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
