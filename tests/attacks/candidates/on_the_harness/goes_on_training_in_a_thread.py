"""Goes on changing its weights after train() has returned, in a thread or a process that it leaves behind.

What is saved while it is being changed answers otherwise than what was asked, or nothing was changed in time: it must
be called `not_rebuildable`, or end `ok` with the loss that the saved weights earn.
"""

from attacks.attack import train_end

TRIES = "goes on changing its weights after train() has returned"
STATUS = ("ok", "not_rebuildable")

REWRITES = {
    "in_a_thread": (
        train_end(
            """
            import threading
            def go_on():
                while True:
                    with torch.no_grad():
                        model.head.bias += 0.01 * torch.randn_like(model.head.bias)
                        time.sleep(1e-4)
            threading.Thread(target=go_on, daemon=True).start()
            """
        ),
    ),
    "on_a_timer": (
        train_end(
            """
            import threading
            def go_on():
                model.head.weight.data *= 1.01
                threading.Timer(1e-4, go_on).start()
            threading.Timer(1e-4, go_on).start()
            """
        ),
    ),
    "in_a_process": (
        train_end(
            """
            import os
            if os.fork() == 0:
                os.setsid()
                while not os.path.exists("out/weights.safetensors"):
                    pass
                while True:  # the last numbers of the file, the other way round
                    with open("out/weights.safetensors", "r+b") as file:
                        file.seek(-400, 2)
                        numbers = file.read()
                        file.seek(-400, 2)
                        file.write(b"".join(numbers[place : place + 4] for place in range(396, -1, -4)))
            """
        ),
    ),
}
