"""What the gate of `understudy plan sql` costs a PostgreSQL server, with and without, in one run.

    gate.py BIN UNDERSTUDY PLAN [--minutes N] [--clients N]

Makes a server of its own on loopback and runs pgbench against it (one row a transaction, while one snapshot is held open,
which keeps vacuum from cleaning up; then SERIALIZABLE, and a million rows in one statement): without the gate, with it
while the lease has no end, as under `on_loss: stay`, and with a lease that ends. One row a transaction without the gate
and with a lease that ends takes --minutes each, everything else a tenth of that. Prints throughput, latencies, failures
and how much our schema grew. It waits for no disk: what is measured is the work, not the disk.
Exit: 0, or 1 where a step failed.
"""

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PORT = 54_321
INSERT = "insert into public.documents (tx, body) values ('a', 'b');\n"
SERIALIZABLE = """\\set id random(1, 100000)
begin isolation level serializable;
select body from public.documents where id = :id;
insert into public.documents (tx, body) values ('a', 'b');
commit;
"""
TABLE = "create table public.documents (id bigserial primary key, tx text not null, body text)"
ROWS = "insert into public.documents (tx) select 'former' from generate_series(1, 100000)"
ARMED = "update understudy.lease set epoch = 1, valid_until = clock_timestamp() + interval '1 day'"
SIZE = "select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'understudy'::regnamespace"
MILLION = "insert into public.documents (tx) select 'm' from generate_series(1, 1000000)"


def as_nobody():
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid} if os.geteuid() == 0 else {}


class Server:
    def __init__(self, programs, folder):
        self.bin, self.data = Path(programs).resolve(), Path(folder) / "data"
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chmod(folder, 0o755)
            os.chown(self.data, **{"uid": as_nobody()["user"], "gid": as_nobody()["group"]})

    def run(self, program, *arguments, **more):
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **as_nobody(), **more)
        if done.returncode:
            sys.exit(f"{program} failed: {done.stderr[-2000:]}")
        return done.stdout

    def start(self):
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync")
        settings = f"-p {PORT} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data} -c fsync=off"
        log = str(self.data / "log")
        self.run("pg_ctl", "-D", str(self.data), "-o", settings, "-l", log, "-w", "-s", "start")

    def stop(self):
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-s", "stop")

    def sql(self, text):
        where = ["-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"]
        return self.run("psql", *where, "-f", "-", "rag", input=text).strip()

    def bench(self, name, script, clients, minutes):
        path = self.data / f"{name}.sql"
        path.write_text(script)
        where = ["-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres"]
        log = self.data / f"{name}.log"
        load = ["-n", "-f", str(path), "-c", str(clients), "-j", "2", "-T", str(round(minutes * 60))]
        told = self.run("pgbench", *where, *load, "-l", "--log-prefix", str(log), "--sampling-rate", "0.05", "rag")
        spans = sorted(int(line.split()[2]) for part in self.data.glob(f"{name}.log*") for line in part.open())
        tps = float(re.search(r"tps = ([\d.]+)", told)[1])
        failed = re.search(r"number of failed transactions: (\d+)", told)
        p99 = spans[int(len(spans) * 0.99)] / 1000 if spans else float("nan")
        return tps, p99, int(failed[1]) if failed else 0


def snapshot(server):
    """A session that holds one snapshot until it is ended."""
    where = ["-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres", "-qAt"]
    command = [str(server.bin / "psql"), *where, "rag"]
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd="/")
    held.stdin.write("begin isolation level repeatable read; select count(*) from public.documents;\n")
    held.stdin.flush()
    return held


def million(server):
    began = time.monotonic()
    server.sql(MILLION)
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin")
    parser.add_argument("understudy")
    parser.add_argument("plan")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    script = subprocess.run(
        [arguments.understudy, "plan", "sql", arguments.plan], capture_output=True, text=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        server = Server(arguments.bin, folder)
        server.start()
        try:
            measured(server, script, arguments)
        finally:
            server.stop()
            shutil.rmtree(server.data, ignore_errors=True)


def measured(server, script, arguments):
    for role in ("understudy", "rag_app"):
        server.run("createuser", "-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres", role)
    server.run("createdb", "-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres", "rag")
    server.sql(f"{TABLE}; {ROWS}")
    print(server.sql("select version()"))
    clients, long, short = arguments.clients, arguments.minutes, max(arguments.minutes / 10, 0.1)
    print(f"{clients} clients, one snapshot held open, no disk waited for\n")
    print(f"{'':44} {'min':>5} {'tps':>9} {'p99':>10} {'failed':>8}")
    states = (("without", None, long), ("gate, no end", script, short), ("gate, a lease that ends", ARMED, long))
    for number, (name, prepare, minutes) in enumerate(states):
        if prepare:
            server.sql(prepare)
        held = snapshot(server)
        row("one row, " + name, minutes, *server.bench(f"insert{number}", INSERT, clients, minutes))
        held.terminate()
        row("serializable, " + name, short, *server.bench(f"serializable{number}", SERIALIZABLE, clients, short))
        print(f"{'a million rows in one statement, ' + name:44} {million(server):>7.1f} s", flush=True)
    print(f"the schema `understudy` takes {int(server.sql(SIZE)) / 1024:.0f} kB")


def row(name, minutes, tps, p99, failed):
    print(f"{name:44} {minutes:>5.1f} {tps:>9,.0f} {p99:>7.1f} ms {failed:>8}", flush=True)


if __name__ == "__main__":
    main()
