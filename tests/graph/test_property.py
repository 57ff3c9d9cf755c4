"""Random graphs and random edits: what is rebuilt must be what an independent oracle says.

Each case is a seed; a failure prints it, and ``pytest -k "[SEED]"`` runs it again.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path

import pytest

from .oracle import ARCHES, SCRIPTS, VARIABLES, Memory, random_source
from .project import Project

SEEDS = range(16)
ROUNDS = 6


class Checkout:
    """A random project with what the oracle knows of it."""

    def __init__(self, dice: random.Random, place: Path) -> None:
        self.dice = dice
        self.place = place
        self.source = random_source(dice)
        self.memory = Memory()
        self.past = [copy.deepcopy(self.source)]
        self.project = Project(place / "project", place / "store", graph=self.source.graph(), files={})
        #: Meaning → content id, over all runs: two meanings never share one, one meaning never has two.
        self.contents: dict[object, str] = {}
        #: (node, the oracle's signature) → the tool's, as labels have it.
        self.signed: dict[tuple[str, tuple[object, ...]], str] = {}
        self.write()

    def write(self) -> None:
        """Put the source's files where they belong; what did not change is left alone."""
        for name, text in self.source.files().items():
            path = self.project.path / name
            if not path.exists() or path.read_text("utf-8") != text:
                self.project.write(name, text)
        for name, (_, _, mode) in self.source.scripts.items():
            if (self.project.path / name).stat().st_mode & 0o777 != mode:
                (self.project.path / name).chmod(mode)

    # Edits

    def edit(self) -> str:
        """Change one thing at random; what it was."""
        dice, source = self.dice, self.source
        kind = dice.choice(
            [
                "text",
                "comment",
                "mode",
                "value",
                "override",
                "command",
                "image",
                "images",
                "record",
                "tree",
                "back",
                "none",
            ]
        )
        script, variable = dice.choice(SCRIPTS), dice.choice(VARIABLES)
        text, comment, mode = source.scripts[script]
        if kind == "text":
            source.scripts[script] = (f"do {dice.random()}", comment, mode)
        elif kind == "comment":
            source.scripts[script] = (text, f"why {dice.random()}", mode)
        elif kind == "mode":
            source.scripts[script] = (text, comment, mode ^ 0o111)
        elif kind == "value":
            source.values[variable] = str(dice.randint(1, 3))
        elif kind == "override":
            key = f"{variable}_{dice.choice(ARCHES).upper()}"
            if source.values.pop(key, "") == "":
                source.values[key] = str(dice.randint(1, 3))
        elif kind == "command":
            dice.choice(dice.choice(source.stages).steps).command = f"make-{dice.random()}"
        elif kind == "back":
            self.source = copy.deepcopy(dice.choice(self.past))
        elif kind in ("image", "images"):
            self.lose_images(1 if kind == "image" else 4)
        elif kind == "record" and self.memory.records:
            self.lose_record(dice.choice(sorted(self.memory.records)))
        elif kind == "tree" and self.memory.exports:
            name = dice.choice(sorted(self.memory.exports))
            shutil.rmtree(self.project.path / name / "rootfs")
            del self.memory.exports[name]
        self.past.append(copy.deepcopy(self.source))
        self.write()
        return f"{kind} {script} {variable}"

    def lose_images(self, count: int) -> None:
        images = {image.id: image for image in self.project.engine.images()}
        for image in self.dice.sample(sorted(images), min(count, len(images))):
            signature = (self.project.engine.inspect(image).config.get("Labels") or {}).get(
                "stagegraph.signature"
            )
            self.project.engine.remove([image])
            self.memory.images -= {known for known, said in self.signed.items() if said == signature}

    def lose_record(self, name: str) -> None:
        path = self.record_path(name)
        if path.exists():
            path.unlink()
        del self.memory.records[name]

    def record_path(self, name: str) -> Path:
        where, _, step = name.partition(":")
        if not step:
            stage = where.split("-")[0]
            step = "root" if stage == "bootstrap" else self.source.stage(stage).steps[-1].name
        return self.project.path / "out" / "images" / "plain" / "cross" / where / f"{step}.json"

    # Runs

    def run(self, words: list[str], refresh: list[str], jobs: int) -> None:
        """One run, held against the oracle."""
        meant = self.source.words()
        targets = [name for word in words for name in meant[word]] or list(self.source.exports())
        expected = copy.deepcopy(self.memory).run(self.source, targets, refresh)
        options = [f"-j{jobs}", *(f"--refresh={name}" for name in refresh)]
        question = self.project.scons("-q", *options, *words)
        self.project.good(*options, *words)
        assert sorted(self.project.done_in_order()) == expected
        assert question.rc == 1 or not expected
        self.memory.run(self.source, targets, refresh)
        assert self.project.scons("-q", *words).rc == 0
        assert "# everything is up to date" in self.project.good("-n", *words).stdout
        self.check_contents(targets)

    def check_contents(self, targets: list[str]) -> None:
        """The image of each node is the one that its inputs mean, now as ever."""
        places = self.source.places()
        for name in self.memory.closure(self.source, targets):
            record = json.loads(self.record_path(name).read_text("utf-8"))
            meaning, content = self.source.meaning(places[name]), record["content_id"]
            assert self.contents.setdefault(meaning, content) == content, name
            self.signed[name, self.source.signature(places[name])] = record["signature"]
        assert len(set(self.contents.values())) == len(self.contents)

    def check_clean_build(self) -> None:
        """A build from nothing, with a store of its own, gives the same content."""
        self.project.good("out")
        path = self.place / "clean"
        shutil.copytree(self.project.path, path, ignore=shutil.ignore_patterns("out"))
        fresh = Project(path, self.place / "clean-store", graph=self.source.graph(), files={})
        fresh.good("out")
        contents = fresh.contents()
        known = self.project.contents()
        assert contents == {name: known[name] for name in contents}


@pytest.mark.parametrize("seed", SEEDS)
def test_rebuilt_is_what_the_oracle_says(place: Path, seed: int) -> None:
    dice = random.Random(seed)
    checkout = Checkout(dice, place)
    story = []
    for number in range(ROUNDS):
        if number:
            story += [checkout.edit() for _ in range(dice.randint(1, 2))]
        words = sorted(checkout.source.words())
        refresh = [dice.choice(sorted(checkout.source.places()))] if dice.random() < 0.15 else []
        exports = sorted(checkout.source.exports())
        chosen = exports if dice.random() < 0.5 else dice.sample(words, min(2, len(words)))
        chosen = [*dict.fromkeys([*(chosen or ["g0"]), *refresh])]
        story.append(f"run {chosen} refresh {refresh}")
        print("\n".join(story))
        checkout.run(chosen, refresh, dice.choice([1, 1, 3]))
    checkout.check_clean_build()
