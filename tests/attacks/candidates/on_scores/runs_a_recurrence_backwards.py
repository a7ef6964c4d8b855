"""Runs a recurrence from the end of the window to its beginning.

It must be called `leaks_future`.
"""

from attacks.attack import hidden, parts

TRIES = "reads the window backwards with a recurrence"
STATUS = "leaks_future"

REWRITES = {
    "a_flipped_gru": (
        parts("self.rnn = nn.GRU(config.width, config.width, batch_first=True)"),
        hidden("x = x + self.rnn(x.flip(1))[0].flip(1)"),
    ),
    "both_ways": (
        parts("self.rnn = nn.LSTM(config.width, config.width // 2, bidirectional=True, batch_first=True)"),
        hidden("x = x + self.rnn(x)[0]"),
    ),
    "by_hand": (
        hidden(
            """
            state, states = torch.zeros_like(x[:, 0]), []
            for t in reversed(range(T)):
                state = 0.5 * state + x[:, t]
                states.append(state)
            x = x + torch.stack(states[::-1], dim=1)
            """
        ),
    ),
}
