"""Kill a training on digits at random moments, and go on: `python tests/kills.py` records what is lost in kills.json.

The folder is watched, so that half of the kills come while a checkpoint is being written.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")
EPOCHS, EVERY = 2000, 5
TRAINING = f"""
import sys, hashlib, jax, mlp_jax
from mlp_jax.training import Checkpoint
digits = mlp_jax.datasets.load_digits()
params = mlp_jax.init_params(jax.random.key(0), (64, 32, 10))
checkpoint = Checkpoint(sys.argv[1], {EVERY}, resume=True) if len(sys.argv) > 1 else None
settings = dict(epochs={EPOCHS}, batch_size=256, keep="best", validation=digits.validation)
result = mlp_jax.train(jax.random.key(1), params, digits.train, checkpoint=checkpoint, **settings)
digest = hashlib.sha256()
for leaf in jax.tree.leaves(result):
    digest.update(jax.device_get(leaf).tobytes())
print(digest.hexdigest())
"""


def started(*folder):
    command = [sys.executable, "-W", "always", "-c", TRAINING, *map(str, folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def unfinished(folder):
    return [path for path in folder.iterdir() if "tmp" in path.name or path.name.endswith(".unfinished")]


def epoch_of(folder):
    return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)


def outcome(folder, number, seed, during_saves=False):
    """Kill a training `number` times, let it end, and return what is left of it next to one that was not killed."""
    rng, done, in_saves, unreadable = random.Random(seed), 0, 0, 0
    folder.mkdir(exist_ok=True)
    whole = started()
    while done < number:
        before, process = epoch_of(folder), started(folder)
        while epoch_of(folder) <= before and process.poll() is None:  # it has begun to train
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        deadline = time.monotonic() + 5
        while during_saves and done % 2 and not unfinished(folder) and time.monotonic() < deadline:
            pass
        if process.poll() is not None:
            raise RuntimeError(f"the training ended before it was killed {number} times: {process.communicate()[1]}")
        is_saving = bool(unfinished(folder))
        process.kill()
        unreadable += "cannot be read" in process.communicate()[1]
        done, in_saves = done + 1, in_saves + is_saving
        print(f"killed {done} times, {in_saves} of them during a save, at epoch {epoch_of(folder)}", flush=True)
    digest, words = started(folder).communicate()
    unreadable += "cannot be read" in words
    result = {"kills": done, "unreadable": unreadable, "temporary": len(unfinished(folder))}
    result["same bits"] = digest == whole.communicate()[0] != ""
    return result | ({"during saves": in_saves} if during_saves else {})


def recorded():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def main():
    """Write the record."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        result = outcome(Path(folder) / "run", number=60, seed=0, during_saves=True)
    RECORD.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
