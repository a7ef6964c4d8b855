"""Leaves something in place of its weights: a pickle with code in it, other sizes, a file of holes that claims to be huge.

Nobody unpickles it, and nobody makes room for what it claims: it must be called `not_rebuildable`.
"""

from attacks.attack import train_end

TRIES = "leaves a pickle, weights of wrong sizes or a file that claims to be huge in place of its weights"
STATUS = "not_rebuildable"
STATIC = "protected_setting"

REWRITES = {
    "a_pickle": (
        train_end(
            """
            import pickle, train_job
            class Code:
                def __reduce__(self):
                    return print, ("UNPICKLED",)
            def save(tensors, path):
                with open(path, "wb") as file:
                    file.write(pickle.dumps(Code()))
            train_job.save_file = save
            """
        ),
    ),
    "other_sizes": (
        train_end(
            """
            import train_job
            save = train_job.save_file
            train_job.save_file = lambda tensors, path: save({n: t[..., :3].contiguous() for n, t in tensors.items()}, path)
            """
        ),
    ),
    "a_file_of_holes": (
        train_end(
            """
            import json, struct, train_job
            def save(tensors, path):
                size = 50_000_000_000
                header = json.dumps({"head.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
                with open(path, "wb") as file:
                    file.write(struct.pack("<Q", len(header)) + header.encode())
                    file.truncate(60_000_000)
            train_job.save_file = save
            """
        ),
    ),
}
