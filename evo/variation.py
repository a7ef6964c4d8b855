"""Variation operators on personas, registered in a DEAP toolbox. No I/O.

Each operator takes a persona and a random generator and returns a new persona with a record `{"operator": name, …}` that names
the section, the genes that moved and their origin. The records explain every difference between a child and its parents.
An operator that does not apply returns None.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from evo.config import Variation as Settings
from evo.genetics import Toolbox
from evo.persona import Item, Kind, Persona, Section

Record = dict[str, Any]
Varied = tuple[Persona, Record] | None

FEWEST = {"topics": 3, "directions": 3, "fields": 5, "breakthroughs": 1}
"""Minimum number of genes that `drop` and `narrow_fields` leave in a section."""
WRITTEN = ("write_breakthrough", "sharpen_topic")
"""Operators whose genes a model writes."""


def swap_breakthrough(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Replace one breakthrough by a breakthrough of another persona."""
    section = persona.section("breakthroughs")
    if section is None:
        return None
    own = {item.label for item in section.items}
    offers = [
        (item, donor.name)
        for donor in pool
        for item in _items(donor, "breakthroughs")
        if item.label not in own and section.takes(item)
    ]
    if not offers:
        return None
    place = random.randrange(len(section.items))
    gift, donor_name = random.choice(offers)
    gone = section.items[place].label
    items = (*section.items[:place], gift, *section.items[place + 1 :])
    record = {"operator": "swap_breakthrough", "out": gone, "in": gift.label, "from": donor_name}
    return persona.with_section(section.with_items(items)), record


def emphasise(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Raise the emphasis of a topic or direction by one step and move it before the first item with a lower emphasis."""
    return _shift(persona, +1)


def deemphasise(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Lower the emphasis of a topic or direction by one step and move it before the first item with a lower emphasis."""
    return _shift(persona, -1)


def drop(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Remove a topic or direction. Low emphasis makes removal more likely."""
    choices = [s for s in _weighed(persona) if len(s.items) > max(s.least, FEWEST[s.kind])]
    if not choices:
        return None
    section = random.choice(choices)
    weights = [{-1: 4.0, 0: 2.0, 1: 1.0, 2: 0.5}[item.emphasis] for item in section.items]
    gone = random.choices(section.items, weights)[0]
    items = [item for item in section.items if item is not gone]
    record = {"operator": "drop", "section": section.kind, "out": gone.label}
    return persona.with_section(section.with_items(items)), record


def narrow_fields(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Keep a random half of the fields, at least `FEWEST`."""
    section = persona.section("fields")
    if section is None:
        return None
    keep = max(len(section.items) // 2, section.least, FEWEST["fields"])
    if keep >= len(section.items):
        return None
    kept = sorted(random.sample(range(len(section.items)), keep))
    items = [section.items[i] for i in kept]
    gone = [item.label for i, item in enumerate(section.items) if i not in set(kept)]
    return persona.with_section(section.with_items(items)), {"operator": "narrow_fields", "out": gone}


def widen_fields(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Add up to six fields of other personas."""
    section = persona.section("fields")
    if section is None:
        return None
    own = {item.label for item in section.items}
    offers = {i.label: i for p in pool for i in _items(p, "fields") if i.label not in own and section.takes(i)}
    if not offers:
        return None
    added = random.sample(sorted(offers), min(6, len(offers)))
    items = [*section.items, *(offers[label] for label in added)]
    return persona.with_section(section.with_items(items)), {"operator": "widen_fields", "in": added}


def write_breakthrough(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Request a new breakthrough in place of an old one. A model writes it before the request for code."""
    section = persona.section("breakthroughs")
    if section is None:
        return None
    gone = random.choice(section.items).label
    return persona, {"operator": "write_breakthrough", "section": section.kind, "out": gone, "words": None}


def sharpen_topic(persona: Persona, pool: Sequence[Persona]) -> Varied:
    """Request a sharper wording of a topic or direction. A model writes it before the request for code."""
    places = [(section.kind, item.title) for section in _weighed(persona) for item in section.items if item.title]
    if not places:
        return None
    kind, title = random.choice(places)
    return persona, {"operator": "sharpen_topic", "section": kind, "gene": title, "words": None}


def cross(first: Persona, second: Persona, second_id: int) -> tuple[Persona, Record]:
    """Return the first persona with sections and stance taken from the second with probability one half each."""
    child = first
    taken: list[str] = []
    for section in first.sections:
        other = second.section(section.kind) if section.kind != "fixed" else None
        if other is None or random.random() < 0.5:
            continue
        items = [item for item in other.items if section.takes(item)]
        if len(items) >= section.least and items != list(section.items):
            child = child.with_section(section.with_items(items))
            taken.append(section.kind)
    if first.stance and second.stance and second.stance != first.stance and random.random() < 0.5:
        child = replace(child, stance=second.stance)
        taken.append("stance")
    return child, {"operator": "cross", "with": second_id, "from": second.name, "taken": taken}


class Variator:
    """Weighted variation operators in a DEAP toolbox.

    Args:
        settings: Weights and probabilities.
        pool: Personas that provide breakthroughs and fields: the seed personas.
    """

    MUTATIONS: tuple[Callable[[Persona, Sequence[Persona]], Varied], ...] = (
        swap_breakthrough,
        emphasise,
        deemphasise,
        drop,
        narrow_fields,
        widen_fields,
        write_breakthrough,
        sharpen_topic,
    )

    def __init__(self, settings: Settings, pool: Sequence[Persona]) -> None:
        self._settings = settings
        self._pool = tuple(pool)
        self._toolbox = Toolbox()
        for operator in self.MUTATIONS:
            self._toolbox.register(operator.__name__, operator, pool=self._pool)
        self._toolbox.register("cross", cross)

    def mutate(self, persona: Persona, rng: random.Random) -> tuple[Persona, list[Record]]:
        """Apply one to `mutations` operators, drawn by weight.

        If an operator does not apply, another one is drawn. At most one of the operators needs text from a model. The text in
        its record, `words`, is None until the model has answered.
        """
        records: list[Record] = []
        for _ in range(rng.randint(1, self._settings.mutations)):
            names = [operator.__name__ for operator in self.MUTATIONS]
            if any("words" in record for record in records):
                names = [name for name in names if name not in WRITTEN]
            while weights := [(name, w) for name in names if (w := getattr(self._settings, name)) > 0]:
                name = rng.choices([n for n, _ in weights], [w for _, w in weights])[0]
                varied: Varied = self._toolbox.call(name, rng, persona)
                if varied is not None:
                    persona, record = varied
                    records.append(record)
                    break
                names.remove(name)
        return persona, records

    def cross(self, first: Persona, second: Persona, second_id: int, rng: random.Random) -> tuple[Persona, Record]:
        """Cross two personas section by section. `first` is the fitter one and the basis of the child."""
        crossed: tuple[Persona, Record] = self._toolbox.call("cross", rng, first, second, second_id)
        return crossed


def _weighed(persona: Persona) -> list[Section]:
    """Return the sections in which variation changes the emphasis: topics and directions."""
    kinds: tuple[Kind, ...] = ("topics", "directions")
    return [section for kind in kinds if (section := persona.section(kind)) is not None]


def _items(persona: Persona, kind: Kind) -> tuple[Item, ...]:
    section = persona.section(kind)
    return section.items if section else ()


def _shift(persona: Persona, step: int) -> Varied:
    """Change the emphasis of one item by `step` and move it before the first item with a lower emphasis, or to the end."""
    movable = {2: -1, -1: +1}  # the highest emphasis can only fall, the lowest only rise
    places = [
        (section, place)
        for section in _weighed(persona)
        for place, item in enumerate(section.items)
        if movable.get(item.emphasis, step) == step
    ]
    if not places:
        return None
    section, place = random.choice(places)
    moved = replace(section.items[place], emphasis=section.items[place].emphasis + step)
    others = [item for i, item in enumerate(section.items) if i != place]
    index = next((i for i, item in enumerate(others) if item.emphasis < moved.emphasis), len(others))
    items = [*others[:index], moved, *others[index:]]
    if not section.takes(moved):
        return None
    record = {
        "operator": "emphasise" if step > 0 else "deemphasise",
        "section": section.kind,
        "gene": moved.label,
        "to": moved.emphasis,
    }
    return persona.with_section(section.with_items(items)), record
