#!/usr/bin/python3
"""radosgw.py - a real S3 server: one node of Ceph, in memory, behind radosgw.

    with Rados(directory) as rados:     # rados.url, .key, .secret, .client()

Everything lies below the directory and listens on 127.0.0.1; what the system's own
Ceph has is not touched, and all is gone when it ends. It verifies signatures and
payload hashes. As a program it runs until its standard input ends:

    radosgw.py DIR
"""
import json
import os
import subprocess
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from checks import wait_for  # noqa: E402
from cloud import find_program, free_ports  # noqa: E402

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_SECONDS = 90
STOP_SECONDS = 10

CONFIGURATION = """\
[global]
fsid = %(fsid)s
mon_host = [v1:127.0.0.1:%(mon)d]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
mon_allow_pool_size_one = true
mon_data_avail_crit = 0
mon_data_avail_warn = 0
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 2147483648
ms_bind_msgr2 = false
run_dir = %(dir)s/run
admin_socket = %(dir)s/run/$name.$pid.asok
mon_data = %(dir)s/mon
osd_data = %(dir)s/osd
log_file = %(dir)s/log/$name.log
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:%(rgw)d
rgw_data = %(dir)s/rgw
"""


def missing():
    """Why it cannot run here; None if it can."""
    try:
        for name in PROGRAMS:
            find_program(name)
        import boto3  # noqa: F401
    except (SystemExit, ImportError) as why:
        return str(why)
    return None if os.geteuid() == 0 else "Ceph's daemons want to be root"


class Rados:
    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        self.key, self.secret = "CAUSEWAYTEST", uuid.uuid4().hex
        self.processes = []

    def path(self, *names):
        return os.path.join(self.directory, *names)

    # -- life

    def command(self, program, *arguments, seconds=30, check=True):
        return subprocess.run(
            [find_program(program), "-c", self.path("ceph.conf"), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=check,
            stderr=subprocess.DEVNULL, timeout=seconds, text=True).stdout

    def spawn(self, name, program, *arguments):
        with open(self.path("log", name + ".out"), "wb") as log:
            self.processes.append(subprocess.Popen(
                [find_program(program), "-c", self.path("ceph.conf"), "-f",
                 "--setuser", "root", "--setgroup", "root", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory))

    def answers(self, program, *arguments):
        for process in self.processes:
            assert process.poll() is None, "%s ended" % process.args[0]
        try:
            self.command(program, *arguments, seconds=15)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True

    def start_store(self):
        fsid, mon, rgw = str(uuid.uuid4()), *free_ports(2)
        for name in ("mon", "osd", "run", "log", "rgw"):
            os.makedirs(self.path(name))
        with open(self.path("ceph.conf"), "w") as f:
            f.write(CONFIGURATION % {"fsid": fsid, "mon": mon, "rgw": rgw,
                                     "dir": self.directory})
        root = ("--setuser", "root", "--setgroup", "root")
        subprocess.run(
            [find_program("monmaptool"), "--create", "--clobber", "--addv", "a",
             "[v1:127.0.0.1:%d]" % mon, "--fsid", fsid, self.path("monmap")],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.command("ceph-mon", "--mkfs", "-i", "a", "--monmap",
                     self.path("monmap"), *root)
        self.spawn("mon", "ceph-mon", "-i", "a")
        wait_for(lambda: self.answers("ceph", "status"), START_SECONDS, "the monitor")
        osd = str(uuid.uuid4())
        self.command("ceph", "osd", "new", osd)
        self.command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, *root)
        self.command("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default",
                     "host=vm")
        self.spawn("osd", "ceph-osd", "-i", "0")
        wait_for(lambda: '"up"' in self.command("ceph", "osd", "tree", "-f", "json"),
                 START_SECONDS, "the store")
        self.url = "http://127.0.0.1:%d" % rgw

    def listens(self):
        try:
            self.client().list_buckets()
        except Exception:  # whatever it is: not yet
            return False
        return True

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        self.start_store()
        self.spawn("rgw", "radosgw", "-n", "client.rgw.a")
        wait_for(lambda: self.answers(
            "radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=t",
            "--display-name=t", "--access-key=" + self.key,
            "--secret=" + self.secret), START_SECONDS, "the user")
        wait_for(self.listens, START_SECONDS, "the S3 server")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    # -- what it holds

    def client(self):
        import boto3
        import botocore.config
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            config=botocore.config.Config(retries={"total_max_attempts": 1},
                                          s3={"addressing_style": "path"}))


def main():
    with Rados(sys.argv[1]) as rados:
        print(json.dumps({"url": rados.url, "access_key": rados.key,
                          "secret_key": rados.secret}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
