"""The fake engine itself: its store, its switches, its journal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO

from stagegraph import oci, process
from stagegraph.errors import UserError
from stagegraph.model import LABEL_NODE, BuildRequest, ImageConfig, StoredImage

from . import filesystem as fs
from . import step
from .dockerfile import expand, read
from .layout import blob_path, read_manifest, write_layout


class FakeEngine:
    """An ``Engine`` whose store is the directory ``root``:

        images/<hex>/           an OCI layout for every image
        names/<quoted name>     a file with the id of the image that bears the name
        registry/<quoted name>  an OCI layout that ``pull`` finds
        containers/<id>.json    a build that runs, with its secret
        journal                 one JSON line for every call: {"op": "build", "node": …}

    Tests steer builds by files in ``switches/``; NODE is the node's name with ``/`` as ``%2F``:

        fail/NODE      the build fails, with the file's text as the last line of its output
        hold/NODE      the build waits, in a child process, while the file is there
        constant/NODE  the layer depends on nothing but the file's text: an input changes, the image does not
        hold/save:NODE, fail/save:NODE   the same when its image is saved
        down           every call fails, as with an engine that does not work
    """

    name = "fake"

    def __init__(self, root: str) -> None:
        if not root:
            raise ValueError("the fake engine keeps its store in a directory of the test's own: give --store")
        self.root = root
        for folder in ("images", "names", "registry", "containers"):
            os.makedirs(os.path.join(root, folder), exist_ok=True)

    # --- for tests

    def switch(self, kind: str, node: str, text: str = "") -> None:
        """Set a switch; ``down`` has no node."""
        path = self._switch_path(kind, node)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)

    def unset(self, kind: str, node: str) -> None:
        """Take a switch back."""
        os.unlink(self._switch_path(kind, node))

    def journal(self, op: str = "") -> list[dict[str, object]]:
        """The calls so far, oldest first; those of one kind when ``op`` is given."""
        try:
            with open(os.path.join(self.root, "journal"), encoding="utf-8") as stream:
                lines = [json.loads(line) for line in stream]
        except FileNotFoundError:
            return []
        return [line for line in lines if op in ("", line["op"])]

    def built(self) -> list[str]:
        """The nodes whose builds were begun, in order."""
        return [str(line["node"]) for line in self.journal("build")]

    def clear_journal(self) -> None:
        """Forget the calls so far."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.root, "journal"))

    def tree(self, image_id: str) -> fs.Tree:
        """The root file system of an image."""
        return _tree(self._image_path(image_id), tuple(self._read(image_id)["rootfs"]["diff_ids"]))

    def _switch_path(self, kind: str, node: str = "") -> str:
        return os.path.join(self.root, "switches", kind, urllib.parse.quote(node, safe=":")) if node else (
            os.path.join(self.root, "switches", kind)
        )  # fmt: skip

    def _called(self, op: str, **details: object) -> None:
        if os.path.exists(self._switch_path("down")):
            raise UserError("engine-failed", "the fake engine is down")
        line = json.dumps({"op": op, "pid": os.getpid(), **details}) + "\n"
        descriptor = os.open(
            os.path.join(self.root, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
        )
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    # --- questions

    def version(self) -> str:
        self._called("version")
        return "1.0"

    def images(self) -> list[StoredImage]:
        self._called("images")
        names = self._names()
        return [
            StoredImage(
                f"sha256:{known}", tuple(n for n, i in sorted(names.items()) if i == f"sha256:{known}")
            )
            for known in sorted(os.listdir(os.path.join(self.root, "images")))
            if "." not in known
        ]

    def inspect(self, image_id: str) -> ImageConfig:
        self._called("inspect", image=image_id)
        said = self._read(image_id)
        return ImageConfig(
            id=image_id,
            os=said["os"],
            architecture=said["architecture"],
            variant=said.get("variant", ""),
            diff_ids=tuple(said["rootfs"]["diff_ids"]),
            config=said["config"],
            size=sum(layer["size"] for layer in read_manifest(self._image_path(image_id))["layers"]),
        )

    def store(self) -> str:
        return os.path.join(self.root, "stagegraph")

    def _names(self) -> dict[str, str]:
        names = {}
        folder = os.path.join(self.root, "names")
        for name in os.listdir(folder):
            if not name.endswith("~"):
                with (
                    contextlib.suppress(FileNotFoundError),
                    open(os.path.join(folder, name), encoding="ascii") as f,
                ):
                    names[urllib.parse.unquote(name)] = f.read()
        return names

    def _image_path(self, image_id: str) -> str:
        return os.path.join(self.root, "images", image_id.removeprefix("sha256:"))

    def _read(self, image_id: str) -> dict:
        path = blob_path(
            self._image_path(image_id), image_id if image_id.startswith("sha256:") else "sha256:" + image_id
        )
        try:
            with open(path, "rb") as stream:
                return json.load(stream)
        except FileNotFoundError:
            raise UserError(
                "image-unknown", f"the fake store has no image '{image_id}'", hint="run the build again"
            ) from None

    # --- building

    def build_argv(self, request: BuildRequest) -> list[str]:
        argv = ["fake-engine", "build", "--timestamp", str(request.timestamp), "--platform", request.platform]
        if request.secret:
            argv += ["--secret", f"id=transport,src={request.secret}"]
        if request.ca_bundle:
            argv += ["--secret", f"id=ca-bundle,src={request.ca_bundle}"]
        for flag, values in (("--label", request.labels), ("--build-arg", request.build_args)):
            for key, value in sorted(values.items()):
                argv += [flag, f"{key}={value}"]
        for name, image_id in sorted(request.contexts.items()):
            argv += ["--build-context", f"{name}=docker-image://{image_id}"]
        return [
            *argv,
            "--target",
            request.target,
            *(["--iidfile", request.iidfile] if request.iidfile else []),
            "-f",
            request.dockerfile,
            ".",
        ]

    def build(self, request: BuildRequest, log: IO[bytes]) -> str:
        node = request.labels.get(LABEL_NODE, request.target)
        self._called("build", node=node, target=request.target, argv=self.build_argv(request))
        container = os.path.join(self.root, "containers", f"{os.urandom(8).hex()}.json")
        fresh = os.path.join(self.root, os.path.basename(container))  # whoever is killed leaves all of it or nothing
        with open(fresh, "w", encoding="utf-8") as stream:
            json.dump({"secret": request.secret, "node": node}, stream)
        os.rename(fresh, container)
        tail: list[str] = []

        def say(line: str) -> None:
            tail.append(line)
            log.write(line.encode() + b"\n")
            log.flush()

        try:
            return self._build(request, node, say)
        except step.Wrong as error:
            say(f"Error: {error}")
            raise UserError(
                "engine-failed", f"'fake-engine' failed with status 1: {tail[-1]}",
                hint=f"the command was: {' '.join(self.build_argv(request))}",
            ) from None  # fmt: skip
        finally:
            os.unlink(container)

    def _build(self, request: BuildRequest, node: str, say: Callable[[str], None]) -> str:
        with open(os.path.join(request.context, request.dockerfile), encoding="utf-8") as stream:
            defaults, sections = read(stream.read())
        (section,) = [one for one in sections if one.name == request.target]
        base = expand(section.base, {**defaults, **request.build_args})
        say(f"STEP 1/{len(section.instructions) + 1}: FROM {base} AS {section.name}")
        self._obey(node)
        names = [one.name for one in sections]
        parent, config = self._parent(base, request, names)
        secrets = {}
        for name, path in (("transport", request.secret), ("ca-bundle", request.ca_bundle)):
            if path:
                with open(path, "rb") as stream:
                    secrets[name] = stream.read()
        tree = dict(self.tree(parent)) if parent else {}
        state = step.State(dict(tree), config)
        inputs = step.Inputs(
            context=step.read_context(request.context, request.dockerfile),
            images=lambda name: self.tree(self._other(name, request, names)),
            build_args=request.build_args,
            defaults=defaults,
            secrets=secrets,
            say=say,
        )
        step.build(state, section.instructions, inputs)
        labels = state.config.get("Labels") or {}
        assert isinstance(labels, dict)
        state.config["Labels"] = {**labels, **request.labels}
        layer = fs.layer(tree, self._constant(node, tree, state.tree), request.timestamp)
        layers = [*self._layers(parent), layer] if parent else [layer]
        image_id = self._keep(layers, request.platform, state.config, request.timestamp)
        with open(request.iidfile, "w", encoding="ascii") as stream:
            stream.write(image_id)
        return image_id

    def _obey(self, node: str) -> None:
        """Hold or fail as a switch says."""
        hold = self._switch_path("hold", node)
        if os.path.exists(hold):
            # The first process of a namespace ends on TERM only if it says so, as real engines do.
            wait = (
                "import os,signal,sys,time\n"
                "signal.signal(signal.SIGTERM, lambda *_: os._exit(1))\n"
                "while os.path.exists(sys.argv[1]): time.sleep(0.01)"
            )
            with open(os.devnull, "wb") as log:
                process.run([sys.executable, "-I", "-S", "-c", wait, hold], log)
        fail = self._switch_path("fail", node)
        if os.path.exists(fail):
            with open(fail, encoding="utf-8") as stream:
                raise step.Wrong(stream.read() or "told to fail")

    def _constant(self, node: str, old: fs.Tree, new: fs.Tree) -> fs.Tree:
        path = self._switch_path("constant", node)
        if not os.path.exists(path):
            return new
        with open(path, "rb") as stream:
            tree = dict(old)
            fs.put(tree, f"constant/{hashlib.sha256(node.encode()).hexdigest()}", fs.regular(stream.read()))
            return tree

    def _parent(
        self, base: str, request: BuildRequest, steps: Sequence[str]
    ) -> tuple[str, dict[str, object]]:
        """The id of what a step stands on, with the config it inherits; no id for ``scratch``."""
        if base == "scratch":
            return "", {}
        image_id = self._other(base, request, steps)
        return image_id, json.loads(json.dumps(self._read(image_id)["config"]))

    def _other(self, name: str, request: BuildRequest, steps: Sequence[str]) -> str:
        """The image that a name in the Dockerfile stands for."""
        if name in request.contexts:
            name = request.contexts[name]
        elif name in steps:
            raise UserError("engine-inline-step", f"the step '{name}' was not handed over as an image")
        elif not name.startswith("sha256:"):
            name = self._names().get(name, name)
        if not os.path.isdir(self._image_path(name)) or not re.fullmatch(r"sha256:[0-9a-f]{64}", name):
            raise step.Wrong(f"{name}: image not known")
        return name

    def _layers(self, image_id: str) -> list[bytes]:
        path = self._image_path(image_id)
        return [_blob(path, digest) for digest in self._read(image_id)["rootfs"]["diff_ids"]]

    def _keep(
        self, layers: Sequence[bytes], platform: str, config: Mapping[str, object], timestamp: int
    ) -> str:
        """Put an image into the store; returns its id."""
        created = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fresh = os.path.join(self.root, "images", f"new.{os.urandom(8).hex()}")
        architecture = platform.split("/")[1]
        image_id = write_layout(fresh, layers, architecture=architecture, config=config, created=created)
        self._move_in(fresh, image_id)
        return image_id

    def _move_in(self, fresh: str, image_id: str) -> None:
        try:
            os.rename(fresh, self._image_path(image_id))
        except OSError:
            shutil.rmtree(fresh)

    # --- names and images

    def tag(self, image_id: str, names: Sequence[str]) -> None:
        self._called("tag", image=image_id, names=list(names))
        self._read(image_id)
        for name in names:
            path = os.path.join(self.root, "names", urllib.parse.quote(name, safe=""))
            fresh = f"{path}.{os.urandom(4).hex()}~"
            with open(fresh, "w", encoding="ascii") as stream:
                stream.write(image_id)
            os.rename(fresh, path)

    def untag(self, names: Sequence[str]) -> None:
        self._called("untag", names=list(names))
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.root, "names", urllib.parse.quote(name, safe="")))

    def remove(self, image_ids: Sequence[str]) -> None:
        self._called("remove", images=list(image_ids))
        for name, image_id in self._names().items():
            if image_id in image_ids:
                os.unlink(os.path.join(self.root, "names", urllib.parse.quote(name, safe="")))
        for image_id in image_ids:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._image_path(image_id))

    def load(self, layout: str) -> str:
        self._called("load", layout=layout)
        config = read_manifest(layout)["config"]
        assert isinstance(config, dict)
        fresh = os.path.join(self.root, "images", f"new.{os.urandom(8).hex()}")
        shutil.copytree(layout, fresh)
        self._move_in(fresh, config["digest"])
        return str(config["digest"])

    def save(self, image_id: str, layout: str) -> None:
        self._called("save", image=image_id)
        labels = self._read(image_id)["config"].get("Labels") or {}
        shutil.copytree(self._image_path(image_id), layout)
        try:
            self._obey(f"save:{labels.get(LABEL_NODE, '')}")
        except step.Wrong as error:
            raise UserError("engine-failed", f"'fake-engine' failed with status 1: {error}", hint="none") from None
        oci.normalise(layout, image_id)

    def pull(self, reference: str, platform: str) -> str:
        path = os.path.join(self.root, "registry", urllib.parse.quote(reference, safe=""))
        if not os.path.isdir(path):
            raise UserError("engine-failed", f"'fake-engine' failed with status 1: {reference}: not found")
        image_id = self.load(path)
        self.tag(image_id, [reference])
        return image_id

    # --- exports and sweeping

    @contextlib.contextmanager
    def rootfs(self, image_id: str, run: str) -> Iterator[IO[bytes]]:
        self._called("rootfs", image=image_id)
        tree = {".": fs.directory(), **self.tree(image_id)}
        with tempfile.TemporaryFile() as stream:
            stream.write(fs.pack(tree))
            stream.seek(0)
            yield stream

    def sweep(self, dead_runs: Mapping[str, str]) -> list[str]:
        removed = []
        folder = os.path.join(self.root, "containers")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                secret = json.load(stream)["secret"]
            if any(secret.startswith(os.path.join(path, "")) for path in dead_runs.values()):
                os.unlink(os.path.join(folder, name))
                removed.append(f"container {name[:12]} of a killed run")
        self._called("sweep", removed=removed)
        return removed


@lru_cache(maxsize=256)
def _blob(directory: str, digest: str) -> bytes:
    with open(blob_path(directory, digest), "rb") as stream:
        return stream.read()


@lru_cache(maxsize=256)
def _tree(directory: str, diff_ids: tuple[str, ...]) -> fs.Tree:
    tree: fs.Tree = {}
    for digest in diff_ids:
        tree = fs.apply(tree, _blob(directory, digest))
    return tree
