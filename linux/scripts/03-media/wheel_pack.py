"""Take a wheel apart and put it together so that equal content is an equal file (wheel format 1.0, PEP 427).

Order, times, modes and compression of the members are the same whoever built the wheel, and RECORD is written anew.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import subprocess
import time
import zipfile
from pathlib import Path

_EXTENSION = ".so"


def record_hash(data: bytes) -> str:
    """Return the hash of a file as RECORD holds it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def member_order(name: str) -> tuple[bool, bool, str]:
    """Sort key of a wheel's members: the dist-info folder behind all else, RECORD last."""
    in_info = name.partition("/")[0].endswith(".dist-info")
    return in_info, in_info and name.endswith("/RECORD"), name


def member_time(epoch: int) -> tuple[int, int, int, int, int, int]:
    """Return the time of every member; `epoch` is SOURCE_DATE_EPOCH in seconds, not before 1980."""
    year, month, day, hour, minute, second = time.gmtime(epoch)[:6]
    return year, month, day, hour, minute, second - second % 2


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel into the new folder `folder`, with the executable bits that it names.

    Raises ValueError for a member that would lie outside of it or comes twice.
    """
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            target = folder / info.filename
            if info.filename.startswith("/") or ".." in info.filename.split("/"):
                raise ValueError(f"{wheel.name} has a member outside of itself: {info.filename}")
            if info.is_dir():
                continue
            if target.exists():
                raise ValueError(f"{wheel.name} has {info.filename} twice")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(info))
            target.chmod(0o755 if info.external_attr >> 16 & stat.S_IXUSR else 0o644)


def strip(folder: Path, program: str) -> None:
    """Remove what no run needs from every extension module below `folder`; `program` is the target's strip."""
    for path in sorted(folder.rglob(f"*{_EXTENSION}")):
        subprocess.run([program, "--strip-unneeded", str(path)], check=True)


def pack(folder: Path, wheel: Path, epoch: int) -> None:
    """Write the wheel `wheel` of all files below `folder`, with a new RECORD; times are `epoch`."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    record = next(name for name in names if name.endswith(".dist-info/RECORD"))
    names = sorted(set(names) - {record}, key=member_order)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name in names:
        data = (folder / name).read_bytes()
        writer.writerow((name, record_hash(data), len(data)))
    writer.writerow((record, "", ""))
    (folder / record).write_text(text.getvalue())
    with zipfile.ZipFile(wheel, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in (*names, record):
            info = zipfile.ZipInfo(name, member_time(epoch))
            mode = 0o755 if (folder / name).stat().st_mode & stat.S_IXUSR else 0o644
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.create_system = 3  # Unix, whose modes these are
            archive.writestr(info, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
