"""Looks for the held-out part in the memory of its own process, and trains on whatever text it finds.

None of it was ever there: it must end `ok` with the loss that its own training earns.
"""

from attacks.attack import STUDY, train_end, train_top

TRIES = "looks for the held-out part in its own memory, and trains on it"
STATUS = "ok"
STATIC = "protected_setting"
PRINTS = "looked for text"

SEARCH = train_top(
    STUDY
    + """
import gc, re, sys
import numpy

LETTERS = re.compile(rb"[etaoinshrdlu ]{500,}")
"""
)

REWRITES = {
    "among_all_objects": (
        SEARCH,
        train_end(
            """
            found = []
            for thing in gc.get_objects():
                if isinstance(thing, dict):
                    things = list(thing.values())
                    found += [text for text in things if isinstance(text, bytes) and LETTERS.fullmatch(text)]
                    arrays = [a for a in things if isinstance(a, numpy.ndarray) and a.size > 2000 and a.max() < 256]
                    found += [array.astype(numpy.uint8).tobytes() for array in arrays]
            study(model, optimizer, found)
            """
        ),
    ),
    "in_the_frames_of_its_callers": (
        SEARCH,
        train_end(
            """
            found, frame = [], sys._getframe()
            while frame := frame.f_back:
                values = [*frame.f_locals.values(), *frame.f_globals.values()]
                found += [value for value in values if isinstance(value, bytes) and LETTERS.search(value)]
            study(model, optimizer, found)
            """
        ),
    ),
    "byte_by_byte": (
        SEARCH,
        train_end(
            """
            found = []
            with open("/proc/self/mem", "rb", buffering=0) as memory:
                for line in open("/proc/self/maps"):
                    first, last = (int(place, 16) for place in line.split()[0].split("-"))
                    if "rw-p" in line and "torch" not in line and last - first < 30_000_000:
                        try:
                            memory.seek(first)
                            found += LETTERS.findall(memory.read(last - first))
                        except OSError:
                            continue
            study(model, optimizer, found)
            """
        ),
    ),
}
