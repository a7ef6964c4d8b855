"""Leaves a weights file whose header has no end, is no header, or names tensors that lie upon each other.

It must be called `not_rebuildable`, and nobody reads it further than it is.
"""

from attacks.attack import train_end

TRIES = "leaves a weights file with a false header"
STATUS = "not_rebuildable"


def leaving(header, length):
    return (
        train_end(
            f"""
            import json, struct, train_job
            def save(tensors, path):
                header = {header}
                with open(path, "wb") as file:
                    file.write(struct.pack("<Q", {length}) + header.encode() + bytes(1024))
            train_job.save_file = save
            """
        ),
    )


REWRITES = {
    "without_end": leaving("'{'", "2**40"),
    "that_is_nested_without_end": leaving("'[' * 100_000", "len(header)"),
    "of_tensors_upon_each_other": leaving(
        "json.dumps({n: {'dtype': 'F32', 'shape': [256], 'data_offsets': [0, 1024]} for n in tensors})", "len(header)"
    ),
}
