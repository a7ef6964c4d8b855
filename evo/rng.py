"""Random draws: every one comes from a generator derived from (seed, number, purpose), and none from the clock."""

import contextlib
import hashlib
import random
from collections.abc import Iterator


def derived(seed: int, number: int, purpose: str) -> int:
    """An integer in [0, 2**48) that these three determine, on every machine."""
    digest = hashlib.sha256(f"{seed}/{number}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def generator(seed: int, number: int, purpose: str) -> random.Random:
    """A generator of its own for one purpose of one candidate."""
    return random.Random(derived(seed, number, purpose))


def answer_seed(search_seed: int, number: int, attempt: int) -> int:
    """The seed that goes with the `attempt`-th request (from 1) for one candidate, in [0, 2**31)."""
    return derived(search_seed, number, "answer" if attempt == 1 else f"answer {attempt}") % 2**31


def replicate_seeds(seed: int, replicate: int) -> tuple[int, int]:
    """Seeds of initialisation and of data order for one replicate: the same two for every candidate of a search."""
    initialisation = derived(seed, replicate, "initialisation") % 2**31
    return initialisation, derived(seed, replicate, "data order") % 2**31


@contextlib.contextmanager
def contained(rng: random.Random) -> Iterator[None]:
    """Let code that draws from the global `random` draw from `rng`, and leave the global state as it was."""
    before = random.getstate()
    random.setstate(rng.getstate())
    try:
        yield
    finally:
        rng.setstate(random.getstate())
        random.setstate(before)
