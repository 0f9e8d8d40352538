"""A real Slurm of one node: in a temporary folder, on loopback, with ports of its own."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
MISSING = [
    program
    for program in PROGRAMS
    if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
]

CONFIG = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
# Both listen on 127.0.0.1 only.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdTimeout=60
KillWait=5
MinJobAge=600
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


@dataclass(frozen=True)
class Slurm:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which Slurm's commands find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *command: str) -> str:
        """Run a command of Slurm's. Returns what it prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr, done.stdout)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Such as PENDING, RUNNING, COMPLETED; of an element, `12_1`."""
        return self._read(job, "JobState")

    def _read(self, job: str, name: str) -> str:
        shown = self.call("scontrol", "show", "--oneliner", "job", job).split()
        return next(word for word in shown if word.startswith(f"{name}=")).partition("=")[2]

    def send_usr1(self, job: str) -> None:
        """Tell the script of a running job that its time is nearly over, as Slurm would."""
        number = self._read(job, "JobId")  # 12_1 is refused
        self.call("scancel", "--batch", "--signal=USR1", number)

    def wait_for(self, job: str, *states: str) -> str:
        """Wait until a job has one of these states. Returns it."""
        wait_until(lambda: self.state(job) in states, f"job {job} is {self.state(job)}")
        return self.state(job)

    def start_now(self, job: str) -> None:
        """Start a job at once that was queued again; Slurm lets it wait for two minutes."""
        self.wait_for(job, "PENDING")
        time.sleep(2)  # within a second of its last end the node refuses it: credential revoked
        self.call("scontrol", "update", f"JobId={job}", "StartTime=now")
        self.wait_for(job, "RUNNING", "COMPLETING", "COMPLETED")


def wait_until(condition: Callable[[], bool], problem: str = "", seconds: float = 90) -> None:
    """Wait for something that happens in other processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, problem
        time.sleep(0.1)


@contextmanager
def running_slurm(folder: Path) -> Generator[Slurm]:
    """Start munged, slurmctld and slurmd; stop them by their process ids."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    path = f"{os.environ['PATH']}:/usr/sbin"
    ports = free_ports(2)
    config = CONFIG.format(
        host=socket.gethostname().partition(".")[0],
        port=ports[0],
        node_port=ports[1],
        user=pwd.getpwuid(os.getuid()).pw_name,
        folder=folder,
        cpus=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(config, encoding="utf-8")
    slurm = Slurm(folder)

    munge = {
        "socket": "munge.socket",
        "key-file": "munge.key",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "munge.seed",
    }
    commands = [
        ["munged", "--force", *(f"--{name}={folder / file}" for name, file in munge.items())],
        ["slurmctld", "-c", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-f", f"{folder}/slurm.conf"],
    ]
    try:
        for command in commands:
            program = shutil.which(command[0], path=path)
            assert program is not None, command
            with (folder / f"{command[0]}.output").open("wb") as output:
                subprocess.run(
                    [program, *command[1:]],
                    env={**os.environ, **slurm.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=True,
                )
        wait_until(
            lambda: "idle" in slurm.call("sinfo", "--noheader", "--format=%T"),
            (folder / "slurmctld.log").read_text(encoding="utf-8"),
        )
        yield slurm
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            stop(folder / f"{name}.pid")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def stop(pid_file: Path) -> None:
    """End a daemon by the file with its process id."""
    try:
        number = int(pid_file.read_text(encoding="utf-8"))
        os.kill(number, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    deadline = time.monotonic() + 20
    while Path(f"/proc/{number}").exists():
        if time.monotonic() > deadline:
            os.kill(number, signal.SIGKILL)
        time.sleep(0.05)
