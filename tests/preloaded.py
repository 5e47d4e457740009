"""Commands of engines as forks of a process that has imported their libraries already.

A grid starts dozens of processes, and most of their time goes to imports of torch and other
libraries. Here each is a process of its own as well, with its arguments, variables, folder, streams
and exit code, and it imports irsde from where it would find it. It gets the signals that its caller
gets, and is killed with it.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from contextlib import suppress
from pathlib import Path

COMMANDS = ("irsde", "snakemake", "dvc")
LIBRARIES = (
    "dulwich.repo",
    "dvc.cli.parser",
    "dvc.repo.index",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracking",
    "networkx",
    "pandas",
    "pydantic",
    "scipy.stats",
    "skimage.restoration",
    "snakemake.cli",
    "typer",
)
SCRIPTS = sysconfig.get_path("scripts")
CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([{script!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
    server.sendmsg([len(request).to_bytes({size}, "big")], [streams])
    server.sendall(request)
    with server.makefile() as answer:
        process = int(answer.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, _: os.kill(process, number))
        sys.exit(int(answer.readline()))
"""
SIZE = 8  # bytes of the length of a request
READY = b"ready\n"


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Write the commands into an empty folder, and start the process that they are forks of.

    It ends where its standard input does.
    """
    address = str(folder / "socket")
    for name in COMMANDS:
        script = str(Path(SCRIPTS, name))
        file = folder / name
        file.write_text(
            CLIENT.format(python=sys.executable, address=address, script=script, size=SIZE)
        )
        file.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert server.stdout is not None
    assert server.stdout.readline() == READY
    return server


def _serve(address: str) -> socket.socket:
    """Wait for calls until standard input ends; returns in a process for each."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        os.write(1, READY)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in ready:
                os._exit(0)
            call, _ = listening.accept()
            if os.fork() == 0:
                return call
            call.close()


def _answer(call: socket.socket) -> str:
    """Turn into the process of a call, whose end another one tells; the command's script."""
    head, streams, *_ = socket.recv_fds(call, SIZE, 3)
    with call.makefile("rb") as content:
        script, arguments, folder, variables = json.loads(content.read(int.from_bytes(head)))
    if process := os.fork():
        call.sendall(f"{process}\n".encode())
        threading.Thread(target=_kill_with_caller, args=(call, process), daemon=True).start()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        call.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
        os._exit(0)
    call.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [script, *arguments]
    sys.path[:0] = [SCRIPTS, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    return script


def _kill_with_caller(call: socket.socket, process: int) -> None:
    """End a process whose caller is gone, of whom nothing more comes otherwise."""
    call.recv(1)
    os.kill(process, signal.SIGKILL)


def _leave() -> None:
    """End without taking every module apart, which costs as much as importing it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    code = 1  # of an error
    atexit.register(_leave)  # before those of libraries, so after them
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # nothing of it is written to in the processes
    script = _answer(_serve(sys.argv[1]))
    try:
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
