"""Edits of the initial weights."""

from evo.catalogue.edits.core import MODEL, Edit, choices, indented, marked, swap

_DRAWN = {
    "baseline": "            nn.init.normal_(module.weight, mean=0.0, std=0.02)\n",
    "narrow_init": "            nn.init.normal_(module.weight, mean=0.0, std=0.02 * 0.68)\n",
    "wide_init": "            nn.init.normal_(module.weight, mean=0.0, std=0.02 * 2.0)\n",
    "orthogonal_init": indented(
        12,
        """
        if isinstance(module, nn.Linear) and module.weight is not self.wte.weight:
            nn.init.orthogonal_(module.weight, gain=0.5)
        else:
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        """,
    ),
}
_SMALL = "nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))"
_WORDS = ("initialis", "initializ", "weight repair", "numerical analysis", "random matrix")


def _init(name: str, description: str, words: tuple[str, ...], weight: float = 1.0) -> Edit:
    mark, ways = marked(MODEL, _DRAWN[name]), choices(MODEL, _DRAWN, name)
    return Edit(name=name, description=description, words=(*_WORDS, *words), mark=mark, ways=ways, weight=weight)


EDITS = (
    Edit(
        name="zero_projections",
        description="Output projections start at zero, so that every block starts as the identity.",
        words=(*_WORDS, "identity", "growing"),
        mark=(MODEL, r"nn\.init\.zeros_\(p\)"),
        ways=((swap(MODEL, _SMALL, "nn.init.zeros_(p)"),),),
    ),
    _init("narrow_init", "Initial weights are a third smaller.", ("precision",), 0.7),
    _init("wide_init", "Initial weights are twice as large.", ("spectral",), 0.7),
    _init(
        "orthogonal_init",
        "Matrices start with orthogonal rows or columns.",
        ("orthogonal", "lie group", "operator theory", "spectral", "linear algebra", "rotation"),
    ),
)
