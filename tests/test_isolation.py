"""A file that is checked cannot reach the judge: a table of attacks, and what becomes of each."""

import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_as_written import IN_A_DICT, SCRIPT

from mlp_jax.check import _files
from mlp_jax.check._child import entry, limits, messages
from mlp_jax.check._differences import conversation, processes, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attacks and limits of Linux")

RIGHT, WRONG = SCRIPT, SCRIPT.replace("2 * X.T", "X.T")
EMPTY = {"steps": [], "functions": [], "constants": {}, "form": "", "error": "", "line": 0, "sizes": [], "calls": [],
         "looks": []}  # fmt: skip
PIPES = """
import os, stat
def pipes():
    for n in range(64):
        try:
            if stat.S_ISFIFO(os.fstat(n).st_mode):
                yield n
        except OSError:
            pass
def write(data):
    for n in pipes():
        try:
            os.write(n, data)
        except OSError:
            pass
"""
# Answer the judge's questions for the gradient by differences of the loss, in the program that runs the file.
CHEAT = """
import numpy
def cheat(program):
    honest, losses = program["answer"], program["losses"]
    def answer(step, message, arrays):
        if message["ask"] != "gradient":
            return honest(step, message, arrays)
        flat = numpy.concatenate([a.ravel() for a in arrays])
        each, h, none = numpy.arange(flat.size), numpy.full(flat.size, 1e-3), numpy.zeros((0, flat.size))
        slopes = (losses(step, 0, flat, each, h, none) - losses(step, 0, flat, each, -h, none)) / 2e-3
        parts = numpy.split(slopes, numpy.cumsum([a.size for a in arrays])[:-1])
        return [part.reshape(a.shape) for part, a in zip(parts, arrays)]
    program["answer"] = answer
"""
TALK = (
    PIPES
    + """
import json, numpy
EMPTY = __EMPTY__
def send(message, *arrays):
    line = json.dumps({**message, "shapes": [a.shape for a in arrays]}).encode()
    os.write(answers, line + b"\\n" + b"".join(a.astype(float).tobytes() for a in arrays))
def receive():
    message = json.loads(questions.readline())
    sizes = [(shape, int(numpy.prod(shape))) for shape in message["shapes"]]
    return message, [numpy.frombuffer(questions.read(8 * n)).reshape(shape) for shape, n in sizes]
ends = list(pipes())
questions = os.fdopen(ends[0], "rb")
answers = ends[1]
step = {"line": 1, "parameters": ["W", "b"], "losses": ["loss"], "gradients": ["dW, db"]}
first = {"steps": [step], "error": "", "line": 0, "sizes": [], "calls": [], "looks": [], "functions": []}
step["is_point"] = first["form"] = ""
step["later"], step["unused"] = 0, []
first["constants"], first["mistake"], first["defined"] = {}, "", []
send(first, numpy.zeros((4, 2)), numpy.zeros(2))
while True:
    message, arrays = receive()
    if message["ask"] == "losses":
        flat, entries, sizes, directions = arrays
        ways = numpy.concatenate([numpy.eye(flat.size), directions])
        send({}, ((flat + sizes[:, None] * ways[entries.astype(int)]) ** 2).sum(axis=1) / 2)
    else:
        send({}, *(arrays if message["ask"] == "gradient" else DATA))
"""
)
TALK = TALK.replace("__EMPTY__", repr(EMPTY))
SLEEP = "import subprocess, sys\nsleep = [sys.executable, '-c', 'import time; time.sleep(100)', __file__]\n"
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(100)
    os._exit(0)
os.wait()
"""
PICKLE = """
import pickle
class Marker:
    def __reduce__(self):
        return os.mkdir, (os.path.join(os.path.dirname(__file__), "IN THE JUDGE"),)
for data in (pickle.dumps(Marker()), pickle.dumps(Marker(), 0)):
    write(data + b"\\n")
"""
FORGED = json.dumps({**EMPTY, "shapes": [[0], [0]]})
SIGNALS = "import signal, time\nfor s in set(signal.Signals) - {9, 19}:\n    signal.signal(s, signal.SIG_IGN)\n"

NOT_RIGHT = ("wrong", "error", "undecided")
# name: (script, the verdicts that it may get, words of its report)
ATTACKS = {
    # against the other files
    "rewrites its neighbours": (
        f"import glob, os\nfor path in glob.glob(os.path.dirname(__file__) + '/*.py'):\n"
        f"    open(path, 'w').write({WRONG!r})\n{RIGHT}", "correct", ""),
    "deletes itself": (f"import os; os.remove(__file__)\n{RIGHT}", "correct", ""),
    "changes the folder": (f"import os; os.chdir('/'); os.environ.clear()\n{RIGHT}", "correct", ""),
    # against the judge's ears
    "forges an answer on each pipe": (f"{PIPES}write({FORGED.encode()!r} + b'\\n')\n{WRONG}", NOT_RIGHT, ""),
    "a pickle on each pipe": (f"{PIPES}{PICKLE}{WRONG}", NOT_RIGHT, ""),
    "floods each pipe": (f"{PIPES}write(b'x' * 50000)\nwrite(b'[' * 50000 + b'\\n')\n{WRONG}", NOT_RIGHT, ""),
    "closes all files": (f"import os; os.closerange(0, 64)\n{RIGHT}", "error", "ended the process"),
    "opens the terminal": (
        f"try:\n    open('/dev/tty', 'w').write('TERMINAL')\n    raise SystemExit\nexcept OSError:\n    pass\n{RIGHT}",
        "correct", ""),
    "controls the terminal by a name": (
        IN_A_DICT.replace('"W"', r'"\x1b[2J\x1b]0;W\x07\u202e"').replace("2 * X.T", "X.T"), "wrong", "[2J"),
    "controls the terminal by an error": (r"raise ValueError('\x1b[2J\n' * 10**5)", "error", "ValueError"),
    "a name of 10 MB": (IN_A_DICT.replace('"W"', '"W" * 10**7').replace("2 * X.T", "X.T"), NOT_RIGHT, ""),
    "patches our modules by name": (
        f"{CHEAT}import sys\nfor name, module in list(sys.modules.items()):\n"
        f"    if '_child' in name + str(vars(module).get('child')):\n"
        f"        cheat(vars(getattr(module, 'child', module)))\n{WRONG}", "wrong", "scale"),
    "patches NumPy": (f"import numpy as np\nnp.split = np.asarray = np.errstate = lambda *a, **k: 0\n{WRONG}",
                      NOT_RIGHT, ""),
    "patches the builtins": (f"import builtins\nbuiltins.isinstance = lambda *a: True\n{WRONG}", NOT_RIGHT, ""),
    "hides its loop in exec": (f"exec({RIGHT!r})", "error", "a loop that is seen to train, got none"),
    # it answers for itself
    "walks the frames": (
        f"{CHEAT}import sys\nframe = sys._getframe()\nwhile 'answer' not in frame.f_globals:\n"
        f"    frame = frame.f_back\ncheat(frame.f_globals)\n{WRONG}", "correct", "by sys._getframe"),
    "walks the frames by exec": (
        f"{CHEAT}import sys\nexec('frame = getattr(sys, \"_get\" + \"frame\")()')\n"
        f"while 'answer' not in frame.f_globals:\n    frame = frame.f_back\ncheat(frame.f_globals)\n{WRONG}",
        "correct", "by sys._getframe"),
    "walks the frames by inspect": (
        f"{CHEAT}import inspect\nframe = inspect.currentframe()\nwhile 'answer' not in frame.f_globals:\n"
        f"    frame = frame.f_back\ncheat(frame.f_globals)\n{WRONG}", "correct", "by sys._getframe"),
    "walks the frames of a traceback": (
        f"{CHEAT}try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    frame = error.__traceback__.tb_frame\n"
        f"while 'answer' not in frame.f_globals:\n    frame = frame.f_back\ncheat(frame.f_globals)\n{WRONG}",
        "correct", "by object.__getattr__"),
    "searches the memory": (
        f"{CHEAT}import gc\nfor thing in gc.get_objects():\n    if type(thing) is dict and '_end_late' in thing:\n"
        f"        cheat(thing)\n{WRONG}", "correct", "by gc.get_objects"),
    "asks the threads": (
        f"{CHEAT}import threading\nfor thread in threading.enumerate():\n"
        f"    if hasattr(getattr(thread, '_target', None), '__globals__'):\n"
        f"        cheat(thread._target.__globals__)\n{WRONG}", "correct", ""),
    "talks with the judge itself": (f"DATA = []\n{TALK}{WRONG}", "correct", ""),
    "talks of empty data": (
        f"import numpy\nDATA = [numpy.zeros((0, 4))] * 2\n{TALK}{WRONG}",
        "error", "changed the answer"),
    "talks of data without axes": (
        f"import numpy\nDATA = [numpy.zeros(())] * 3\n{TALK}{WRONG}",
        "error", "changed the answer"),
    "talks of a gradient too few": (
        f"DATA = []\n{TALK.replace('(arrays if', '(arrays[1:] if')}",
        "error", "changed the answer"),
    "talks of a gradient of another shape": (
        f"DATA = []\n{TALK.replace('(arrays if', '([a[None] for a in arrays] if')}", "wrong", "has shape"),
    # processes and threads
    "forks, and both answer": (f"import os; os.fork()\n{WRONG}", NOT_RIGHT, ""),
    "forks, and is right": (
        f"import os\npid = os.fork()\nif pid == 0:\n    os._exit(0)\nos.waitpid(pid, 0)\n{RIGHT}", "correct", ""),
    "a pool of processes": (
        f"import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n"
        f"    assert pool.map(abs, [-1, 2]) == [1, 2]\n{RIGHT}", "correct", ""),
    "leaves a child": (f"{SLEEP}subprocess.Popen(sleep)\n{RIGHT}", "correct", ""),
    "leaves a daemon": (DAEMON + RIGHT, "correct", ""),
    "leaves twenty daemons": (
        DAEMON.replace("os.setsid()", "os.setsid()\n    [os.fork() for _ in range(4)]") + RIGHT, "correct", ""),
    "leaves a daemon, and ends": (f"{DAEMON}os._exit(3)", "error", "with status 3"),
    "leaves a program without environment": (
        f"{SLEEP}subprocess.Popen(sleep, env={{}}, start_new_session=True)\n{RIGHT}", "correct", ""),
    "a daemon holds the pipes": (f"{DAEMON.replace('os.setsid()', 'os.setsid(); time.sleep(0.1)')}raise SystemExit",
                                 "error", "a loop that is seen to train, got none"),
    "a thread without end": (
        f"import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\n{RIGHT}", "correct", ""),
    "a server": (
        f"import socket, threading\nserver = socket.create_server(('127.0.0.1', 0))\n"
        f"threading.Thread(target=server.accept).start()\n{RIGHT}", "correct", ""),
    "kills its parent": (f"import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(0.2)\n{RIGHT}", "error", "SIGKILL"),
    "kills its group": (f"import os\nos.killpg(0, 9)\n{RIGHT}", "error", "SIGKILL"),
    # limits
    "takes memory": (f"import numpy as np\nnp.empty({limits.limits(0)['RLIMIT_DATA'] // 8})", "error", "MemoryError"),
    "shares memory": (f"import mmap\nmmap.mmap(-1, {limits.limits(0)['RLIMIT_AS']})",
                      "error", "Cannot allocate memory"),
    "writes a huge file": ("open(__file__ + '.out', 'wb').truncate(2**31)", "error", "File too large"),
    "prints 100 MB": (f"for i in range(100): print('x' * 10**6)\n{RIGHT}", "correct", ""),
    "prints 100 MB beside Python": (
        f"import os\nfor i in range(100): os.write(1, b'x' * 10**6); os.write(2, b'x' * 10**6)\n{RIGHT}",
        "correct", ""),
    # ends in its own ways
    "exits": (f"{RIGHT}\nimport os; os._exit(0)", "error", "ended the process"),
    "exits at the end": (f"import atexit, os\natexit.register(os.fork)\n{RIGHT}", "correct", ""),
    "an alarm": (f"import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(1)\n{RIGHT}",
                 "error", "SIGALRM"),
    "a signal without a name": ("import os\nos.kill(os.getpid(), 40)", "error", "by signal 40"),
    "faulthandler": (
        f"import faulthandler, time\nfaulthandler.dump_traceback_later(0.01, exit=True, file=open(__file__))\n"
        f"time.sleep(1)\n{RIGHT}", "error", "status 1"),
    "a wild pointer": ("import ctypes\nctypes.string_at(0)", "error", "SIGSEGV"),
    "recursion": (f"def f():\n    f()\ntry:\n    f()\nexcept RecursionError:\n    pass\n{RIGHT}", "correct", ""),
    "recursion without a limit": (
        "import sys\nsys.setrecursionlimit(10**9)\nnested = []\nfor i in range(10**6): nested = [nested]\nrepr(nested)",
        "error", ""),
    "code that is nested too deeply": ("(" * 5000 + ")" * 5000, "error", ""),
}  # fmt: skip
ENDLESS = {
    "sleeps": ("import time; time.sleep(100)", "error", "no answer within"),
    "ignores signals": (f"{SIGNALS}time.sleep(100)", "error", "no answer within"),
    "catches everything": (
        "import time\nwhile True:\n    try:\n        while True: time.sleep(0.1)\n    except BaseException: pass",
        "error", "no answer within"),
    "stops itself": (f"import os; os.kill(os.getpid(), 19)\n{RIGHT}", "error", "no answer within"),
    "stops its parent": (f"import os, time; os.kill(os.getppid(), 19); time.sleep(100)\n{RIGHT}",
                         "error", "no answer within"),
    "answers never": (f"{PIPES}ends = list(pipes())\nos.close(ends[1]) if len(ends) > 2 else time.sleep(100)",
                      "error", ""),
}  # fmt: skip


def checked_in_a_folder(attacks, folder, seconds):
    """Check files in one call, the innocent ones last."""
    for i, (script, _, _) in enumerate(attacks.values()):
        (folder / f"a{i:02}.py").write_text(script, encoding="utf-8")
    for name, script in {"right": RIGHT, "wrong": WRONG}.items():
        (folder / f"innocent_{name}.py").write_text(script, encoding="utf-8")
    paths = list(_files.python_files([folder]))
    return dict(
        zip(
            [*attacks, "right", "wrong"], _files.check_files(paths, _files.Asking(seconds=seconds, seed=0)), strict=True
        )
    )


def of_folder(folder):
    """Return the processes that belong to a folder by their command."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The reports on the innocent files when no others are there."""
    return checked_in_a_folder({}, tmp_path_factory.mktemp("alone"), 60)


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """The reports on all attacks, and what is there afterwards."""
    folders = [tmp_path_factory.mktemp(name) for name in ("attacks", "endless")]
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    before = psutil.Process().num_fds(), threading.active_count(), Path.cwd()
    reports = checked_in_a_folder(ATTACKS, folders[0], 30), checked_in_a_folder(ENDLESS, folders[1], 3)
    now = psutil.Process().num_fds(), threading.active_count(), Path.cwd()
    late = time.monotonic() + 5
    while (left := [process for folder in folders for process in of_folder(folder)]) and time.monotonic() < late:
        time.sleep(0.1)
    other_lives = other.poll() is None
    other.kill()
    other.wait()
    for process in left:
        process.kill()
    yield {"reports": reports, "same": before == now, "left": left, "other lives": other_lives, "folders": folders}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_reaches_nothing(name, after):
    report, (script, verdicts, words) = after["reports"][0][name], ATTACKS[name]
    assert_is_judged(report, verdicts, words)
    if report.verdict == "correct" and "2 * X.T" not in script:  # a wrong file
        assert "read its code" in report.rests_on and any("believe the verdict" in note for note in report.notes)


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_file_is_ended(name, after):
    assert_is_judged(after["reports"][1][name], *ENDLESS[name][1:])


def assert_is_judged(report, verdicts, words):
    shown = str(report)
    assert report.verdict == verdicts if isinstance(verdicts, str) else report.verdict in verdicts, shown
    assert words in " ".join(shown.split()), shown
    assert len(shown) < 5000 and shown.replace("\n", "").isprintable()
    assert "cannot be judged" not in shown


def test_nothing_is_left(after, capfd):
    assert not after["left"]
    assert after["same"] and after["other lives"]
    assert not any(folder.joinpath("IN THE JUDGE").exists() for folder in after["folders"])
    assert "TERMINAL" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("group", [0, 1])
def test_the_innocent_are_judged_as_alone(group, after, alone):
    for name, report in alone.items():
        assert after["reports"][group][name].to_dict() == report.to_dict()


# ---- what a process may say

STEP = {
    "line": 3,
    "is_point": False,
    "later": 0,
    "unused": [],
    "parameters": ["W"],
    "losses": ["loss"],
    "gradients": ["dW"],
}
FIRST = {"steps": [STEP], "error": "", "line": 0, "sizes": [3], "calls": [], "looks": [], "shapes": [[3]]}
FIRST |= {"functions": [], "constants": {}, "form": "", "mistake": "", "defined": []}
ZEROS = np.zeros(3).tobytes()


def first(**changed):
    return json.dumps({**FIRST, **changed}).encode() + b"\n" + ZEROS


SAID = {
    "nothing": b"",
    "no line": b"x",
    "no JSON": b"x\n",
    "a number": b"1\n",
    "a list": b"[]\n",
    "deeply nested": b"[" * 500_000 + b"\n",
    "a huge integer": b"9" * 900_000 + b"\n",
    "an endless line": b"x" * 11_000_000,
    "no shapes": b"{}\n",
    "a shape of text": first(shapes=["3"]),
    "a negative shape": first(shapes=[[-3]]),
    "a huge shape": first(shapes=[[10**9, 10**9]]),
    "a shape of many axes": first(shapes=[[1] * 100_000]),
    "an infinite shape": first(shapes=[[math.inf]]),
    "fewer numbers than its shape": first(shapes=[[30]]),
    "no steps": first(steps=None),
    "steps of text": first(steps="steps"),
    "a million steps": first(steps=[0] * 300_000),
    "no parameters": first(steps=[{**STEP, "parameters": []}]),
    "an empty parameter": first(shapes=[[0], [0], [0]]),
    "parameters of one name": first(steps=[{**STEP, "parameters": ["W", "W"]}], shapes=[[1], [2], [0], [0]]),
    "names that are no text": first(steps=[{**STEP, "parameters": [{"W": [1]}], "losses": [None]}]),
    "a line that is no number": first(steps=[{**STEP, "line": math.nan}]),
    "an infinite line": first(steps=[{**STEP, "line": math.inf}]),
    "a size of zero": first(sizes=[0, -1, 1, 10**300, True, "3"]),
    "no calls": first(calls=None),
    "a function without end": first(steps=[], functions=["f"] * 99_999, shapes=[[0], [0]]),
    "a billion layers": first(steps=[], functions=["f"], constants={"layers": 10**9}, shapes=[[0], [0]]),
    "layers that are no number": first(steps=[], functions=["f"], constants={"layers": [1]}, shapes=[[0], [0]]),
    "settings of anything": first(steps=[], functions=["f"], constants={"loss": "\x1b[2J" * 999}, shapes=[[0], [0]]),
    "a point of no sense": first(steps=[], functions=["f"], form="pairs", shapes=[[0], [1], [1], [1]]),
    "a point of an unknown form": first(steps=[], functions=["f"], form="\x1b", shapes=[[1, 1], [1], [1, 1], [0]]),
    "escapes": first(error="\x1b[2J" * 9, looks=["\x1b[2J"], calls=["\ud800" * 9999], steps=[
        {**STEP, "losses": ["\x07"]}]),
}  # fmt: skip
THEN = {
    "ends": b"",
    "no array": b'{"shapes": []}\n',
    "an error": b'{"shapes": [], "error": "\\u001b[2J"}\n',
    "an array too few": b'{"shapes": [[1]]}\n' + bytes(8),
    "empty arrays": b'{"shapes": [[0], [0]]}\n',
    "NaN": b'{"shapes": [[2]]}\n' + np.full(2, np.nan).tobytes(),
    "zeros": b'{"shapes": [[2]]}\n' + bytes(16),
}
ANSWER = {"failure": "", "error": "", "has_loss": True, "misshapen": [], "notes": [], "changed": [], "shapes": []}
CALLED = {
    "no field": {"shapes": []},
    "no array": ANSWER,
    "a loss of an odd shape": {**ANSWER, "shapes": [[2]]},
    "a failure": {**ANSWER, "failure": "\x1b[2J" * 9999},
    "a failure that is no text": {**ANSWER, "failure": [1]},
}
SAYS = "import sys, time; sys.stdout.buffer.write(open({!r}, 'rb').read()); sys.stdout.flush(); time.sleep(0.05)"


def judged_by_what_is_said(said, folder, monkeypatch):
    (folder / "said").write_bytes(said)
    (folder / "file.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(conversation, "START", SAYS.format(str(folder / "said")))
    return _files.check_file(folder / "file.py", _files.Asking(seed=0))


@pytest.mark.parametrize("name", SAID)
def test_any_first_message_is_borne(name, tmp_path, monkeypatch):
    assert_is_judged(judged_by_what_is_said(SAID[name], tmp_path, monkeypatch), "error", "")


@pytest.mark.parametrize("name", CALLED)
def test_any_answer_of_a_function_is_borne(name, tmp_path, monkeypatch):
    said = first(steps=[], functions=["f"], shapes=[[1], [1]])[: -len(ZEROS)] + bytes(16)
    answer = json.dumps(CALLED[name]).encode() + b"\n" + bytes(16 * bool(CALLED[name]["shapes"]))
    assert_is_judged(judged_by_what_is_said(said + 200 * answer, tmp_path, monkeypatch), NOT_RIGHT, "")


@pytest.mark.parametrize("name", THEN)
def test_any_answer_is_borne(name, tmp_path, monkeypatch):
    assert_is_judged(judged_by_what_is_said(first() + 50 * THEN[name], tmp_path, monkeypatch), NOT_RIGHT, "")


TEXT = st.text() | st.sampled_from(["W" * 10**4, "\x1b[2J\n\u202e\ud800"])
NUMBER = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400)])
ANY = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=8,
)
MOSTLY_TEXT = st.lists(TEXT | ANY, min_size=1, max_size=3)
STEPS = st.fixed_dictionaries({name: MOSTLY_TEXT for name in STEP} | {"line": NUMBER, "is_point": ANY, "later": NUMBER})
FIRSTS = st.fixed_dictionaries(
    {"steps": st.lists(STEPS, max_size=2), "error": TEXT, "sizes": st.lists(NUMBER | ANY)}
    | {name: MOSTLY_TEXT | st.just([]) for name in ("calls", "looks", "functions", "defined")}
    | {"mistake": TEXT, "line": NUMBER, "form": st.sampled_from(["", "list", "dict"]) | ANY}
    | {"constants": st.dictionaries(st.sampled_from(entry.CONSTANTS), ANY)}
)


@settings(deadline=None, max_examples=300)
@given(FIRSTS, st.lists(st.sampled_from([(), (3,), (2, 2), (3, 3), (0,)]), min_size=3, max_size=9))
def test_what_is_taken_from_a_first_message_is_short_text(message, shapes):
    try:
        run = conversation._running(message, [np.zeros(shape) for shape in shapes], None, "")
    except (ValueError, TypeError, OverflowError, RuntimeError, StopIteration):  # `running` makes them a report
        return
    words = [
        run.error,
        run.mistake,
        *run.defined,
        *run.calls,
        *run.notes,
        *run.functions,
        *filter(None, map(str, run.constants.values())),
    ]
    words += [text for step in run.steps for text in (*step.shapes, *step.losses, *step.gradients)]
    assert all(text.isprintable() and len(text) < 400 for text in words)
    assert all(1 < size < 2**41 for size in run.sizes) and all(0 <= step.line < 2**41 for step in run.steps)


@settings(deadline=None)
@given(ANY)
def test_a_first_message_of_anything_is_refused(message):
    with pytest.raises((ValueError, TypeError, KeyError)):
        conversation._running(message, [], None, "")


def test_text_is_short_and_keeps_both_ends():
    assert running.text("W1") == "W1"
    assert running.text("a" + "x" * 1000 + "b", 80) == "a" + "x" * 56 + "..." + "x" * 19 + "b"
    assert running.text("a\x1b\nb") == "a  b"


def test_a_message_is_read_as_it_was_sent(tmp_path):
    arrays = [np.arange(6.0).reshape(2, 3), np.array(1.5), np.zeros((0, 2))]
    with (tmp_path / "message").open("wb") as stream:
        messages.send(stream, {"error": "é"}, arrays)
    with (tmp_path / "message").open("rb") as stream:
        message, read = messages.receive(stream)
    assert message["error"] == "é" and all(map(np.array_equal, arrays, read))


# ---- limits, users and libraries


def test_what_everyone_can_read_is_public(tmp_path):
    path = tmp_path / "file.py"
    path.write_text("", encoding="utf-8")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o1:
            assert not processes.is_public(path)
    assert processes.is_public(Path("/")) and not processes.is_public(tmp_path / "absent")


def test_the_superuser_runs_files_as_nobody(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert processes.nobody([Path("/")])["extra_groups"] == []
    assert processes.nobody([Path("/absent")]) == {}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert processes.nobody([Path("/")]) == {}


def test_the_limits_leave_room_for_what_runs():
    found = limits.limits(60)
    assert found["RLIMIT_NPROC"] > limits.PROCESSES and found["RLIMIT_CPU"] > 60 and found["RLIMIT_CORE"] == 0


TORCH = """
class Tensor:
    def backward(self): autograd.backward(self)
class autograd:
    def backward(tensor): pass
"""
LIBRARIES = {
    "torch": ("import torch\ntorch.Tensor().backward()", ["torch.Tensor.backward", "torch.autograd.backward"]),
    "torch, not called": ("import torch\ntorch.Tensor()", []),
    "autograd by its name": ("from autograd import grad\ngrad(abs)", ["autograd.grad"]),
    "jax": ("import jax as j\nj.grad(lambda x: x * x)(1.0)", ["jax.grad"]),
    "a function of its own": ("def grad(f): return f\ngrad(abs)", []),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_gradients_of_a_library_are_seen(name, tmp_path):
    (tmp_path / "torch.py").write_text(TORCH, encoding="utf-8")
    (tmp_path / "autograd.py").write_text("def grad(f): return f", encoding="utf-8")
    (tmp_path / "homework.py").write_text(f"{LIBRARIES[name][0]}\n{RIGHT}", encoding="utf-8")
    report = _files.check_file(
        tmp_path / "homework.py", _files.Asking(seconds=60, seed=0), _files.read(tmp_path / "homework.py")
    )
    calls = [note.removeprefix("it calls ") for note in report.notes if note.startswith("it calls ")]
    assert report.verdict == "correct" and calls == LIBRARIES[name][1]
    assert report.uses_autodiff == bool(calls)
