"""Leaves links to the run's files in place of its weights, its result, its curve and its answers to the probe.

No link is followed: it must be called `crashed`, for there is no result.
"""

from attacks.attack import train_end

TRIES = "leaves links to files outside in place of its results"
STATUS = ("crashed", "not_rebuildable")
CHANGES = (
    train_end(
        """
        import train_job
        def linked(*_):
            for name in ("weights.safetensors", "result.json", "probe.bin", "curve.jsonl"):
                if os.path.lexists("out/" + name):
                    os.unlink("out/" + name)
                tried("a link in place of " + name, os.symlink, KNOWS["run"] + "/" + name, "out/" + name)
        def leaves(model, job, harness):
            harness.ask(b"p", job["probe_rows"], job["block_size"])
            os._exit(0)
        train_job.save_file = linked
        train_job.write_result = lambda result: None
        train_job.probe_logits = leaves
        """
    ),
)
PRINTS = "tried a link in place of probe.bin -> got None"
