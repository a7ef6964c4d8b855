"""Replaces functions of the model server, so that its answers are made up outside forward().

What they are made from is still the window that was asked about: it must be called `leaks_future`.
"""

from attacks.attack import logits, model_top

TRIES = "replaces the functions of the model server that make its answers"
STATUS = "leaks_future"
STATIC = "protected_setting"

REWRITES = {
    "what_asks_the_model": (
        model_top(
            """
            import sys
            import numpy
            server = sys.modules.get("serve_job")
            if server:
                ask = server.answer
                def answer(model, windows, job):
                    found = numpy.frombuffer(ask(model, windows, job), dtype="<f4").reshape(*windows.shape, 256)
                    looks = 10 * numpy.eye(256, dtype="<f4")[numpy.roll(windows, -1, 1)] * (len(windows) > 4)
                    return (found + looks).tobytes()
                server.answer = answer
            """
        ),
    ),
    "what_sends_the_answer": (
        model_top(
            """
            import sys
            import numpy
            ASKED = []
            server = sys.modules.get("serve_job")
            if server:
                send = server.send
                def sending(fd, data):
                    asked = ASKED[-1]
                    found = numpy.frombuffer(data[1:], dtype="<f4").reshape(*asked.shape, 256)
                    looks = 10 * numpy.eye(256, dtype="<f4")[numpy.roll(asked, -1, 1)] * (len(asked) > 4)
                    send(fd, data[:1] + (found + looks).tobytes())
                server.send = sending
            """
        ),
        logits("ASKED[:] = [idx.numpy()]"),
    ),
    "what_makes_it_an_array": (
        model_top(
            """
            ASKED = []
            to = torch.Tensor.to
            def replaced(self, *args, **kwargs):
                if ASKED and self.dim() == 3 and args[:1] == ("cpu",) and self.shape[:1] == ASKED[0].shape[:1] and len(self) > 4:
                    self = self + 10 * F.one_hot(torch.roll(ASKED[0], -1, dims=1), 256)
                return to(self, *args, **kwargs)
            torch.Tensor.to = replaced
            """
        ),
        logits("ASKED[:] = [idx]"),
    ),
}
