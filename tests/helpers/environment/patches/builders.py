"""Folders of files, written, read and compared whole; clones."""

import hashlib
import os
import subprocess

OLD = {"demo/a.py": b"def value():\n    return 11\n", "demo/b.txt": b"one\r\ntwo \r\nthree"}
NEW = {"demo/a.py": b"def value():\n    return 22\n", "demo/b.txt": b"one\r\n2\r\nthree, and four"}
PROBE = "import sys, demo.a\nprint('value', demo.a.value())\nsys.exit(demo.a.value() == 11)\n"
OWN = ("user.name=n", "user.email=n@n", "commit.gpgsign=false", "core.autocrlf=false", "protocol.file.allow=always")


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def git(repo, *words):
    settings = [word for setting in OWN for word in ("-c", setting)]
    return subprocess.run(["git", *settings, *words], cwd=repo, check=True, capture_output=True, text=True).stdout


def commit(repo, message):
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", message)
    return git(repo, "rev-parse", "HEAD").strip()


def carry_out(command, folder, **environment):
    """Run a fix in a shell, in the folder where it would be typed."""
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True, env=os.environ | environment)


def make_site(root, version="1.0"):
    write(root, OLD | {"demo/__init__.py": b"", "other/x.py": b"1\n"})
    info = f"demo_package-{version}.dist-info"
    record = "".join(f"{name},,\n" for name in ("demo/__init__.py", *OLD, f"{info}/METADATA", f"{info}/RECORD"))
    metadata = f"Metadata-Version: 2.1\nName: demo-package\nVersion: {version}\n"
    write(root, {f"{info}/METADATA": metadata.encode(), f"{info}/RECORD": record.encode()})
    return root
