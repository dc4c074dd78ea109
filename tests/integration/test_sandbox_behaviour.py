"""What a sandbox does for code that means well; the same for every kind of sandbox."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import Preference
from services.tool_code.sandbox.errors import FileRefused, SessionClosed
from services.tool_code.sandbox.session import Session
from tests.eventually import eventually
from tests.integration.sandboxes import KINDS, LIMITS, PATIENT_S, logs, started


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    preference: Preference = request.param
    with started(preference, tmp_path_factory.mktemp("scratch")) as backend:
        yield backend


@pytest.fixture
async def session(backend: Backend) -> AsyncIterator[Session]:
    session = await backend.start("thread_1")
    yield session
    await session.close()


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("1+1", "2\n"),
        ("x = 1", ""),
        ("1+1;", ""),
        ("None", ""),
        ("print('a'); 'b'", "a\n'b'\n"),
        ("print('a', end=''); 1", "a1\n"),
        (
            "import sys\nfor n in range(3):\n    print(n)\n    print(-n, file=sys.stderr)",
            "0\n0\n1\n-1\n2\n-2\n",
        ),
        ("import os; os.system('echo shell; echo error >&2'); print('then')", "shell\nerror\nthen\n"),
        ("!echo magic", "magic\n"),
        ("!pip install -q x", "There is no network here: nothing can be installed. Use what is there.\n"),
        ("import asyncio\nawait asyncio.sleep(0)\n'awaited'", "'awaited'\n"),
        ("print('é€\\U0001f600')", "é€\U0001f600\n"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\n');", "\ufffd\n"),
        ("display({'a': 1})", "{'a': 1}\n"),
        ("import os; sorted(os.listdir())", "[]\n"),
    ],
)
async def test_prints_what_a_notebook_would_print(session: Session, code: str, printed: str) -> None:
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert (execution.status, execution.logs, execution.notice) == ("ok", printed, None)


async def test_what_models_import_is_there(session: Session) -> None:
    assert await logs(session, "import sympy as s; x = s.Symbol('x'); s.solve(3 * x + 11 - 14)") == "[1]"
    code = "import scipy.optimize as o; round(float(o.brentq(lambda x: 3 * x + 11 - 14, 0, 9)), 6)"
    assert await logs(session, code) == "1.0"
    sheet = (
        "import pandas as p; p.DataFrame({'x': [1]}).to_excel('a.xlsx'); p.read_excel('a.xlsx')['x'][0] == 1"
    )
    assert await logs(session, sheet) == "np.True_"
    assert await logs(session, "from PIL import Image; Image.new('RGB', (2, 3)).size") == "(2, 3)"


async def test_state_is_kept_between_calls(session: Session) -> None:
    await logs(session, "import math\nx = 41\ndef f(): return x + 1")
    assert await logs(session, "f(), math.pi > 3") == "(42, True)"
    assert await logs(session, "_") == "(42, True)"


async def test_an_error_is_a_plain_traceback_and_loses_nothing(session: Session) -> None:
    execution = await session.run("x = 1\ndef f():\n    return x / 0\nf()", timeout_s=PATIENT_S)
    assert (execution.status, execution.error, execution.state_lost) == ("error", "ZeroDivisionError", False)
    assert "ZeroDivisionError: division by zero" in execution.logs
    assert "return x / 0" in execution.logs
    assert "\x1b" not in execution.logs
    assert "driver" not in execution.logs
    assert await logs(session, "x") == "1"


async def test_an_error_in_a_new_process_has_no_other_cause(session: Session) -> None:
    died = await session.run("import os; os._exit(3)", timeout_s=PATIENT_S)
    assert died.status == "worker_died"
    failed = await session.run("1/0", timeout_s=PATIENT_S)
    assert "During handling" not in failed.logs


async def test_a_syntax_error_is_shown(session: Session) -> None:
    execution = await session.run("1 +", timeout_s=PATIENT_S)
    assert (execution.status, execution.error) == ("error", "SyntaxError")
    assert "invalid syntax" in execution.logs


@pytest.mark.parametrize("leave", ["exit()", "quit()", "import sys; sys.exit(3)", "raise SystemExit"])
async def test_exit_ends_the_cell_and_keeps_the_variables(session: Session, leave: str) -> None:
    execution = await session.run(f"x = 7\n{leave}\nx = 8", timeout_s=PATIENT_S)
    assert (execution.status, execution.logs, execution.state_lost) == ("exit", "", False)
    assert await logs(session, "x") == "7"


async def test_data_frames_and_figures(session: Session) -> None:
    assert await logs(session, "import pandas as pd\npd.DataFrame({'a': [0, 1]})") == "   a\n0  0\n1  1"
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); print('drawn')"
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert (execution.status, execution.logs) == ("ok", "drawn\n")
    assert [image[:8] for image in execution.images] == [b"\x89PNG\r\n\x1a\n"]
    code = "for _ in range(2): plt.plot([2, 1]); plt.show()\nplt.switch_backend('agg'); plt.plot([1, 2]);"
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert (len(execution.images), execution.logs) == (3, "")


async def test_output_arrives_while_the_code_runs(session: Session) -> None:
    heard: list[str] = []
    code = "import time\nprint('first', flush=True)\ntime.sleep(30)"
    call = asyncio.create_task(session.run(code, timeout_s=PATIENT_S, on_output=heard.append))

    async def first() -> bool:
        return heard == ["first\n"]

    await eventually(first)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await logs(session, "'free again'") == "'free again'"


async def test_long_output_is_cut_in_the_middle(session: Session) -> None:
    printed = await logs(session, "print('begin')\nfor n in range(100_000): print(n, '.' * 20)\nprint('end')")
    assert printed.startswith("begin\n0 ....")
    assert printed.endswith("99999 ....................\nend")
    assert "bytes skipped ...]" in printed
    assert len(printed) < LIMITS.output_head_bytes + LIMITS.output_tail_bytes + 200


@pytest.mark.parametrize(
    "loop",
    [
        "import time; time.sleep(99)",
        "import asyncio\nawait asyncio.sleep(99)",
        "import time\ntry: time.sleep(99)\nexcept KeyboardInterrupt: pass",
        "!sleep 99",
    ],
)
async def test_a_call_over_its_time_is_interrupted_and_keeps_its_variables(
    session: Session, loop: str
) -> None:
    execution = await session.run(f"x = 5\nprint('on')\n{loop}", timeout_s=0.5)
    assert (execution.status, execution.state_lost) == ("timeout_interrupted", False)
    assert execution.logs.startswith("on\n")
    assert execution.notice == (
        "The code was interrupted after its time limit of 0.5 s. Variables and files are kept."
    )
    assert await logs(session, "x") == "5"


async def test_a_call_that_ignores_the_interrupt_is_killed_and_keeps_its_files(session: Session) -> None:
    await logs(session, "open('kept', 'w').write('data'); x = 5")
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    execution = await session.run(code, timeout_s=0.5)
    assert (execution.status, execution.state_lost) == ("timeout_killed", True)
    assert 0.5 + LIMITS.grace_s <= execution.took_s < 10
    assert "Variables and imports are lost; files are kept." in (execution.notice or "")
    assert await logs(session, "'x' in globals(), open('kept').read()") == "(False, 'data')"


async def test_what_was_printed_is_not_kept_in_memory(session: Session) -> None:
    most = "import resource; resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    before = int(await logs(session, most))
    assert (
        await session.run("for _ in range(6_400): print('x' * 10_000)", timeout_s=PATIENT_S)
    ).status == "ok"
    assert int(await logs(session, most)) - before < 32 << 10  # KiB, of 64 MB


async def test_a_fork_that_comes_to_the_end_of_the_code_does_not_answer(session: Session) -> None:
    for _ in range(3):
        execution = await session.run("import os\nif os.fork(): os.wait()", timeout_s=PATIENT_S)
        assert execution.status == "ok"
        assert await logs(session, "1 + 1") == "2"


async def test_nothing_runs_between_two_calls(session: Session) -> None:
    code = (
        "import threading, time\nticks = [0]\n"
        "def tick():\n    while True:\n        ticks[0] += 1; time.sleep(0.001)\n"
        "threading.Thread(target=tick, daemon=True).start()\nlast = time.monotonic()"
    )
    await logs(session, code)
    await asyncio.sleep(0.3)  # the time that must not pass for the thread
    assert int(await logs(session, "ticks[0]")) < 100


async def test_changed_and_deleted_files_are_reported(session: Session) -> None:
    code = "import os\nos.mkdir('d')\nopen('a', 'w').write('1')\nopen('d/b', 'w').write('1');"
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert (set(execution.files), execution.gone) == ({"a", "d/b"}, ())
    execution = await session.run("os.remove('a'); open('d/b', 'a').write('2');", timeout_s=PATIENT_S)
    assert (execution.files, execution.gone) == (("d/b",), ("a",))
    execution = await session.run("1", timeout_s=PATIENT_S)
    assert (execution.files, execution.gone) == ((), ())


async def test_files_go_in_and_out(session: Session) -> None:
    data = os.urandom(3 << 20)
    await session.put("in/data.bin", data)
    assert await logs(session, "len(open('in/data.bin', 'rb').read())") == str(len(data))
    assert await session.get("in/data.bin") == data
    with pytest.raises(FileRefused):
        await session.get("missing")


async def test_files_are_in_mnt_data_as_models_expect(session: Session) -> None:
    await session.put("rain.csv", b"city,rain\nOslo,763\nRome,799\n")
    code = """
import bz2, glob, gzip, io, os, shutil, sqlite3, subprocess, tarfile, zipfile
from pathlib import Path
import matplotlib.pyplot as plt, numpy as np, pandas as pd

with open("/mnt/data/rows.txt", "w") as rows:
    rows.write("1 2\\n3 4\\n")
table = np.loadtxt("/mnt/data/rows.txt")
for packing in (bz2, gzip):
    with packing.open("/mnt/data/rows.packed", "wb") as packed:
        packed.write(open("/mnt/data/rows.txt", "rb").read())
    print(packing.open("/mnt/data/rows.packed").readline(), table.sum())
with tarfile.open("/mnt/data/rows.tar", "w") as packed:
    packed.add("/mnt/data/rows.txt", "rows.txt")
print(tarfile.open("/mnt/data/rows.tar").getnames())
for name in glob.glob("/mnt/data/rows.*"):
    os.remove(name)

table = pd.read_csv("/mnt/data/rain.csv")
table.to_excel("/mnt/data/out.xlsx", index=False)
table.plot.bar(x="city", y="rain"); plt.savefig("/mnt/data/rain.png"); plt.close()
os.makedirs("/mnt/data/deep/er", exist_ok=True)
Path("/mnt/data/deep/er/a.txt").write_text("a")
shutil.copy("/mnt/data/deep/er/a.txt", "/mnt/data/b.txt")
os.rename("/mnt/data/b.txt", Path("/mnt/data") / "c.txt")
with zipfile.ZipFile("/mnt/data/all.zip", "w") as packed:
    packed.write("/mnt/data/c.txt", "c.txt")
sqlite3.connect("/mnt/data/t.db").execute("create table t (x)").connection.close()
print(sorted(os.listdir("/mnt/data")))
print(sorted(glob.glob("/mnt/data/**/*.txt", recursive=True)), list(Path("/mnt/data").glob("*.csv")))
print([(top, files) for top, _, files in os.walk("/mnt/data/deep")])
print(os.getcwd(), os.path.abspath("c.txt"), os.path.realpath("/mnt/data/c.txt"), Path("c.txt").resolve())
print(subprocess.run(["cat", "/mnt/data/c.txt"], capture_output=True).stdout, os.path.exists("/mnt/data2"))
os.chdir("/tmp" if os.access("/tmp", os.W_OK) else os.environ["HOME"])
print(len(pd.read_excel("/mnt/data/out.xlsx")), io.open("/mnt/data/c.txt").read())
!head -n 1 /mnt/data/rain.csv
os.chdir("/mnt/data")
shutil.rmtree("/mnt/data/deep")
"""
    assert (await logs(session, code)).splitlines() == [
        "b'1 2\\n' 10.0",
        "b'1 2\\n' 10.0",
        "['rows.txt']",
        "['all.zip', 'c.txt', 'deep', 'out.xlsx', 'rain.csv', 'rain.png', 't.db']",
        "['/mnt/data/c.txt', '/mnt/data/deep/er/a.txt'] [PosixPath('/mnt/data/rain.csv')]",
        "[('/mnt/data/deep', []), ('/mnt/data/deep/er', ['a.txt'])]",
        "/mnt/data /mnt/data/c.txt /mnt/data/c.txt /mnt/data/c.txt",
        "b'a' False",
        "2 a",
        "city,rain",
    ]
    assert await session.get("c.txt") == b"a"
    missing = await session.run("open('/mnt/data/none.csv')", timeout_s=PATIENT_S)
    assert missing.logs.endswith("No such file or directory: '/mnt/data/none.csv'\n")
    assert "standard_folder" not in missing.logs


async def test_reset_forgets_variables_and_keeps_files(session: Session) -> None:
    await logs(session, "x = 1; open('kept', 'w').close()")
    await session.reset()
    assert await logs(session, "import os; 'x' in globals(), os.listdir()") == "(False, ['kept'])"


async def test_a_closed_session_says_so(backend: Backend) -> None:
    session = await backend.start("thread_closed")
    assert session.alive
    call = asyncio.create_task(session.run("import time; time.sleep(99)", timeout_s=PATIENT_S))
    await asyncio.sleep(0)  # the call begins
    await session.close()
    await session.close()
    assert not session.alive
    execution = (await asyncio.gather(call, return_exceptions=True))[0]
    assert isinstance(execution, SessionClosed) or execution.state_lost
    with pytest.raises(SessionClosed):
        await session.run("1", timeout_s=1)


async def test_calls_of_one_session_wait_for_each_other(session: Session) -> None:
    codes = ["import time; time.sleep(0.2); print('slow')", "print('fast')"]
    slow, fast = await asyncio.gather(*(session.run(code, timeout_s=PATIENT_S) for code in codes))
    assert (slow.logs, fast.logs) == ("slow\n", "fast\n")
