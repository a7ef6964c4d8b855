"""Random generators derived from (seed, number, purpose). No draw depends on the clock."""

import contextlib
import hashlib
import random
from collections.abc import Iterator


def derived(seed: int, number: int, purpose: str) -> int:
    """Return an integer in [0, 2**48) determined by the arguments, the same on every machine."""
    digest = hashlib.sha256(f"{seed}/{number}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def generator(seed: int, number: int, purpose: str) -> random.Random:
    """Return the random generator of one purpose of one candidate."""
    return random.Random(derived(seed, number, purpose))


def answer_seed(search_seed: int, number: int, attempt: int) -> int:
    """Return the seed of the `attempt`-th request (from 1) for one candidate, in [0, 2**31)."""
    return derived(search_seed, number, "answer" if attempt == 1 else f"answer {attempt}") % 2**31


def replicate_seeds(seed: int, replicate: int) -> tuple[int, int]:
    """Return the seeds of initialisation and data order of one replicate. All candidates of a search share them."""
    initialisation = derived(seed, replicate, "initialisation") % 2**31
    return initialisation, derived(seed, replicate, "data order") % 2**31


@contextlib.contextmanager
def contained(rng: random.Random) -> Iterator[None]:
    """Let code that uses the global `random` draw from `rng`, and restore the global state afterwards."""
    before = random.getstate()
    random.setstate(rng.getstate())
    try:
        yield
    finally:
        rng.setstate(random.getstate())
        random.setstate(before)
