"""Every directory of tests/failing is a project with one mistake; expected.txt is the error it must give.

A case holds a Dockerfile (with the files it takes), or a versions.env with a profile.env and a file ``command`` of
``KEY=value`` words from a command line, or both.
"""

from pathlib import Path

import pytest

from stagegraph import dockerfile, ignore, inputs, statcache, versions
from stagegraph.errors import UserError

FAILING = Path(__file__).parent.parent / "failing"
CASES = sorted(path.name for path in FAILING.iterdir() if path.is_dir())


def read_everything(root: Path, cache: Path) -> None:
    entries = {}
    profile = {}
    command = {}
    if (root / "versions.env").exists():
        entries = versions.read(str(root / "versions.env"), "versions.env")
    if (root / "profile.env").exists():
        profile = versions.read(str(root / "profile.env"), "profile.env")
    if (root / "command").exists():
        command = dict(line.split("=", 1) for line in (root / "command").read_text().splitlines())
    values = versions.Values(entries, profile, command, profile_path="profile.env")
    if not (root / "Dockerfile").exists():
        return
    parsed = dockerfile.read(str(root), "Dockerfile")
    values.check_drift(parsed)
    ignored = ignore.load(str(root), "Dockerfile")
    stats = statcache.StatCache(str(cache))
    for step in parsed.steps:
        values.for_step(step.args, "arm64", {"TARGET_ARCH": "arm64"}, parsed.path)
        inputs.snapshot(str(root), step.sources, ignored, stats)


@pytest.mark.parametrize("case", CASES)
def test_mistake_gives_its_error(case: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_everything(FAILING / case, tmp_path / "files.json")
    assert str(caught.value) == (FAILING / case / "expected.txt").read_text(encoding="utf-8").rstrip("\n")
    assert caught.value.hint
    assert caught.value.file or (FAILING / case / "command").exists()


def test_there_are_cases() -> None:
    assert len([case for case in CASES if case.startswith("versions-")]) >= 20
    assert len(CASES) >= 80
