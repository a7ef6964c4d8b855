"""Leaves a pipe, a socket and a folder under the names of its results: who opens the first may wait for ever.

Only plain files are read, and none is waited for: it must be called `crashed`, for there is no result.
"""

from attacks.attack import train_end

TRIES = "leaves a fifo, a socket and a folder in place of its results"
STATUS = ("crashed", "not_rebuildable")
CHANGES = (
    train_end(
        """
        import train_job
        def strange(*_):
            tried("a fifo", os.mkfifo, "out/weights.safetensors")
            os.unlink("out/curve.jsonl")
            tried("another fifo", os.mkfifo, "out/curve.jsonl")
            tried("a socket", socket.socket(socket.AF_UNIX).bind, "out/result.json")
            tried("a folder", os.mkdir, "out/probe.bin")
        def leaves(model, job, harness):
            harness.ask(b"p", job["probe_rows"], job["block_size"])
            os._exit(0)
        train_job.save_file = strange
        train_job.write_result = lambda result: None
        train_job.probe_logits = leaves
        """
    ),
)
PRINTS = ("tried a fifo -> got None", "another fifo -> got None", "tried a socket -> got None", "a folder -> got None")
