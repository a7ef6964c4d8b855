"""Puts a link to the run's folder in place of the folder in which its results are looked for, and one for temporary files.

No link is followed, neither to read nor to remove: it must be called `crashed`, and the run's files are as they were.
"""

from attacks.attack import train_end

TRIES = "leaves a link to the run's folder in place of its folder of results"
STATUS = ("crashed", "not_rebuildable")
CHANGES = (
    train_end(
        """
        import train_job
        def linked(*_):
            for name in ("out", "tmp"):
                os.rename(name, name + "_was")
                tried("a link in place of " + name, os.symlink, KNOWS["run"], name)
        def leaves(model, job, harness):
            harness.ask(b"p", job["probe_rows"], job["block_size"])
            os._exit(0)
        train_job.save_file = linked
        train_job.write_result = lambda result: None
        train_job.probe_logits = leaves
        """
    ),
)
PRINTS = ("tried a link in place of out -> got None", "tried a link in place of tmp -> got None")
