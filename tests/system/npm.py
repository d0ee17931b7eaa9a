"""npm.py - packages of npm for a test.

    modules = npm.install(["oidc-provider@8.8.1"])     # a directory with node_modules

Unavailable says that they cannot be had here: npm is not installed, or its registry
does not answer or lacks them. That is not what the test is about.
"""
import shutil
import subprocess
import tempfile

PATIENCE = ["--fetch-retries=1", "--fetch-timeout=60000"]
INSTALL_SECONDS = 200
ASK_SECONDS = 90


class Unavailable(Exception):
    pass


def run_npm(*words, seconds):
    """(exit status, or None for a timeout; what it said)"""
    try:
        done = subprocess.run(["npm", *words, *PATIENCE], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None, "npm takes more than %d s" % seconds
    return done.returncode, done.stdout


def install(packages):
    if not (shutil.which("npm") and shutil.which("node")):
        raise Unavailable("npm or node is not installed")
    directory = tempfile.mkdtemp(prefix="npm-")
    status, said = run_npm(
        "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save",
        "--prefix", directory, *packages, seconds=INSTALL_SECONDS)
    if status == 0:
        return directory
    for package in packages:
        if run_npm("view", package, "name", seconds=ASK_SECONDS)[0] != 0:
            raise Unavailable("npm's registry does not answer, or lacks %s" % package)
    raise RuntimeError("npm installs no %s: %s" % (" ".join(packages), said[-2000:]))
