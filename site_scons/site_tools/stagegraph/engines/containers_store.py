"""What buildah and podman have in common: the store of containers/storage and buildah's builder.

Both speak the same store format and the same build flags, so a store can be shared between them and only the few
commands that differ stand in ``buildah`` and ``podman``. The builder's own layer cache is never used: it returns old
layers when a bind-mounted file, a build argument, a platform or a timestamp changed.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, Any

from .. import process
from ..errors import UserError
from ..model import BuildRequest, ImageConfig, StoredImage
from . import transfer
from .base import EngineOptions, shown

#: First line of a step in the builder's output: ``[2/3] STEP 1/4: FROM …``. The number in front tells which step of the
#: Dockerfile is built, out of how many; with one step alone it is left out.
_STEP = re.compile(rb"^\[(\d+)/(\d+)\] STEP 1/\d+: FROM (.*)")

_UNKNOWN = re.compile(r"image not known|no such (image|object)|does not resolve to an image", re.IGNORECASE)

_TAIL_LINES = 20

#: Said before anything of a RUN happened, once in several hundred builds (podman 4.3.1, Linux 6.18).
_COPY_BUSY, _TRIES = b"sealing memfd copy: Device or resource busy", 3

#: Commands that write to the store for as long as an image is large: they must not outlive us, nor the store's lock.
_LONG = ("pull", "push", "commit", "tag", "untag", "rmi", "from", "config", "create")

#: Proxies are for fetching images only; a build must not see them (they reach a step as transport settings).
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class ContainersStoreEngine:
    """An ``Engine`` over containers/storage; ``program`` is what is run."""

    name = ""
    #: The oldest version that keeps the contract, and the package that brings it.
    minimum = ""
    package = ""
    pull_never: tuple[str, ...] = ()
    build_word = ""

    def __init__(self, options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        if self.options.root and not self.options.runroot:
            self.options = replace(self.options, runroot=_runroot(self.options.root))
        self._listed: list[StoredImage] | None = None
        self._version = ""
        self._graph_root = self.options.root

    # --- what differs

    def _list(self) -> list[StoredImage]:
        raise NotImplementedError

    def _config(self, image_id: str) -> dict[str, object]:
        """The image's OCI config with its ``size`` in bytes; raises what the engine's failure gives."""
        raise NotImplementedError

    def untag(self, names: Sequence[str]) -> None:
        """See ``base.Engine``."""
        raise NotImplementedError

    def _rmi(self) -> list[str]:
        """The words that remove images and none of their parents."""
        raise NotImplementedError

    def _find_graph_root(self) -> str:
        raise NotImplementedError

    def _create(self, image_id: str, name: str) -> str:
        """Make a container that is never run; returns its id."""
        raise NotImplementedError

    def _mount(self, container: str) -> list[str]:
        """The command that mounts a container and prints where."""
        raise NotImplementedError

    def _remove_container(self, container: str) -> None:
        raise NotImplementedError

    def _containers(self) -> Mapping[str, str]:
        """All containers of the store: id → name."""
        raise NotImplementedError

    # --- questions

    def command(self, *words: str) -> list[str]:
        """The program with the options of its store, then ``words``."""
        where = self.options
        options = {"--root": where.root, "--runroot": where.runroot, "--storage-driver": where.driver}
        return [self.name, *(word for option in options.items() if option[1] for word in option), *words]

    def ask(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        cleaning: bool = False,
    ) -> str:
        """What a command of the engine prints; its failure is a ``UserError`` code engine-failed.

        ``cleaning``: also after the run was stopped (see ``process.capture``).
        """
        try:
            argv = self.command(*words)
            return process.capture(argv, env=env, cwd=cwd, cleaning=cleaning, guarded=words[0] in _LONG)
        except process.CommandError as error:
            raise self._explained(error) from error

    def _explained(self, error: process.CommandError) -> UserError:
        if error.code == "command-missing":
            return UserError(
                "engine-missing",
                f"the engine '{self.name}' is not installed",
                hint=f"install the package {self.package}, or run ./sconsw setup",
            )
        return UserError("engine-failed", error.message, hint=error.hint)

    def version(self) -> str:
        """See ``base.Engine``."""
        if not self._version:
            words = self.ask("--version").split()
            self._version = next((word for word in words if word[:1].isdigit()), "")
        return self._version

    def images(self) -> list[StoredImage]:
        """See ``base.Engine``."""
        if self._listed is not None:
            listed, self._listed = self._listed, None
            return listed
        return self._list()

    def prove(self) -> None:
        """Make sure that the engine works, by listing its images.

        The next ``images`` returns this list without a process, unless the store was changed through us meanwhile.
        """
        self._listed = self._list()

    def inspect(self, image_id: str) -> ImageConfig:
        """See ``base.Engine``."""
        return self._inspect(image_id)[0]

    def _inspect(self, image_id: str) -> tuple[ImageConfig, int]:
        """The image's config and its creation time in seconds."""
        try:
            said: Any = self._config(image_id)
            config = ImageConfig(
                id=image_id,
                os=said["os"],
                architecture=said["architecture"],
                variant=said.get("variant") or "",
                diff_ids=tuple(said["rootfs"]["diff_ids"] or ()),
                config=said.get("config") or {},
                size=said["size"],
            )
            return config, _seconds(said.get("created") or "")
        except UserError as error:
            raise self.unknown(image_id, error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                "engine-failed",
                f"{self.name} described the image '{image_id}' in a way not understood: {error!r}",
                hint="the store may be damaged; remove the image and build again",
            ) from error

    def store(self) -> str:
        """See ``base.Engine``."""
        if not self._graph_root:
            self._graph_root = self._find_graph_root()
        return os.path.join(self._graph_root, "stagegraph")

    def unknown(self, image_id: str, error: UserError) -> UserError:
        """``error`` as image-unknown when it says so."""
        if _UNKNOWN.search(error.message):
            return UserError(
                "image-unknown",
                f"the store of {self.name} has no image '{image_id}'",
                hint="it was removed; run the build again to make it anew",
            )
        return error

    # --- building

    def build_argv(self, request: BuildRequest) -> list[str]:
        """See ``base.Engine``."""
        argv = self.command(self.build_word)
        argv += ["--isolation", "chroot", "--network", "host", *self.pull_never]
        argv += ["--no-cache", "--layers=false", "--force-rm", "--format", "oci"]
        argv += ["--timestamp", str(request.timestamp), "--identity-label=false", "--http-proxy=false"]
        secrets = {"transport": request.secret, "ca-bundle": request.ca_bundle}
        argv += [word for name, path in secrets.items() if path for word in ("--secret", f"id={name},src={path}")]
        for key, value in sorted(request.labels.items()):
            argv += ["--label", f"{key}={value}"]
        argv += ["--platform", request.platform, "--target", request.target]
        for name, image_id in sorted(request.contexts.items()):
            argv += ["--build-context", f"{name}=docker-image://{image_id}"]
        for key, value in sorted(request.build_args.items()):
            argv += ["--build-arg", f"{key}={value}"]
        if request.iidfile:
            argv += ["--iidfile", request.iidfile]
        return [*argv, "-f", request.dockerfile, "."]

    def build(self, request: BuildRequest, log: IO[bytes]) -> str:
        """See ``base.Engine``.

        Raises ``UserError`` engine-failed with the end of the output, and engine-inline-step when the builder took a
        step of the Dockerfile other than the target: its image was not handed over, so a stale copy could go in.
        """
        self._listed = None
        with suppress(FileNotFoundError):
            os.unlink(request.iidfile)
        argv = self.build_argv(request)
        tail: list[bytes] = []
        inline: list[str] = []

        def look(head: bytes) -> None:
            tail.append(head)
            del tail[:-_TAIL_LINES]
            step = _STEP.match(head)
            if step and step.group(1) != step.group(2):
                inline.append(step.group(3).decode("utf-8", "replace"))

        try:
            for number in range(1, _TRIES + 1):
                tail.clear()
                status = process.run(argv, log, cwd=request.context, line=look)
                if status == 0 or not any(_COPY_BUSY in line for line in tail):
                    break
                log.write(f"# the engine could not copy itself to start a RUN (try {number} of {_TRIES})\n".encode())
                self._clean_up(request.secret)
            if status != 0:
                text = b"\n".join(tail).decode("utf-8", "replace")
                # What the user can run again: without the files of this run, which are gone by then.
                raise process.failed(self.build_argv(shown(request)), status, text)
            image_id = self._read_id(request.iidfile)
        except BaseException as error:
            # Stopped, killed, or failed: podman keeps its container on TERM, any engine when it is killed.
            self._clean_up(request.secret)
            raise (self._explained(error) if isinstance(error, process.CommandError) else error) from error
        if inline:
            raise UserError(
                "engine-inline-step",
                f"{self.name} built the step 'FROM {inline[0]}' inside the build of '{request.target}'",
                hint="this is a fault of the graph: every step that a step uses must be handed over as an image",
                file=request.dockerfile,
            )
        return image_id

    def _clean_up(self, secret: str) -> None:
        """Remove the container of the build that was given this secret, which is a file of that build alone."""
        if secret:
            for container in self._build_containers(lambda source: source == secret):
                self._remove_container(container)

    def _build_containers(self, is_wanted: Callable[[str], bool]) -> list[str]:
        """The containers of builds with a secret whose path ``is_wanted``.

        A build's container bears no name of ours, but it records the secrets it was given. The record is read from the
        store, where both programs keep it alike: podman has no question that shows it.
        """
        self.store()
        pattern = os.path.join(glob.escape(self._graph_root), "*-containers", "*", "userdata", "buildah.json")
        return [path.split(os.sep)[-3] for path in glob.glob(pattern) if any(map(is_wanted, _secrets(path)))]

    def _read_id(self, path: str) -> str:
        try:
            with open(path, encoding="ascii") as stream:
                text = stream.read().strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
            process.check_stopped()
            said = f"{self.name} ended well but wrote no image id into '{path}'"
            raise UserError("engine-failed", said, hint="look at the log of the node")
        return text

    # --- names and images

    def tag(self, image_id: str, names: Sequence[str]) -> None:
        """See ``base.Engine``."""
        self._listed = None
        if not names:
            return
        try:
            self.ask("tag", image_id, *names)
        except UserError as error:
            raise self.unknown(image_id, error) from error

    def remove(self, image_ids: Sequence[str]) -> None:
        """See ``base.Engine``.

        Without force, which would also remove the containers of builds that stand on an image. An image with several
        names goes by its names, the last of which takes the image away.
        """
        self._listed = None
        known = {image.id: image.names for image in self._list()}
        words: list[str] = []
        for image_id in image_ids:
            if image_id in known:
                words += known[image_id] or [image_id]
        if words:
            self.ask(*self._rmi(), *words)

    def load(self, layout: str) -> str:
        """See ``base.Engine``."""
        return transfer.load(self, layout)

    def save(self, image_id: str, layout: str) -> None:
        """See ``base.Engine``."""
        transfer.save(self, image_id, layout)

    def pull(self, reference: str, platform: str) -> str:
        """See ``base.Engine``."""
        proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        return self.pulled(self.ask("pull", "--quiet", "--platform", platform, reference, env=proxies))

    def pulled(self, output: str) -> str:
        """The id that a pull printed."""
        self._listed = None
        match = re.search(r"(?:sha256:)?([0-9a-f]{64})\s*$", output)
        if not match:
            said = f"{self.name} printed no image id after a pull: {output.strip()!r}"
            raise UserError("engine-failed", said, hint=f"try the same pull with {self.name} alone")
        return f"sha256:{match.group(1)}"

    # --- the file system of an image

    @contextmanager
    def rootfs(self, image_id: str, run: str) -> Iterator[IO[bytes]]:
        """See ``base.Engine``.

        The image is seen through a container that is never run, mounted in the mount namespace of the exporting
        process alone: whatever kills it, no mount is left, and the container's name tells the run it belonged to.
        """
        name = f"stagegraph-{run}-{os.urandom(4).hex()}"
        created = self._inspect(image_id)[1]
        try:
            container = self._create(image_id, name)
        except UserError as error:
            raise self.unknown(image_id, error) from error
        try:
            helper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mounted.py")
            argv = [sys.executable, "-I", helper, str(created)]
            argv += [*self._mount(container), "::", *TAR]
            try:
                with process.stream(argv) as pipe:
                    yield pipe
            except process.CommandError as error:
                raise self._explained(error) from error
        finally:
            self._remove_container(container)

    # --- after a kill

    def sweep(self, dead_runs: Mapping[str, str]) -> list[str]:
        """See ``base.Engine``."""
        if not dead_runs:
            return []
        below = tuple(os.path.join(directory, "") for directory in dead_runs.values())
        named = tuple(f"stagegraph-{run}-" for run in dead_runs)
        doomed = [container for container, name in self._containers().items() if name.startswith(named)]
        doomed += self._build_containers(lambda source: source.startswith(below))
        for container in doomed:
            self._remove_container(container)
        return [f"container {container[:12]} of a killed run" for container in doomed]


#: Lossless and a function of the content: no access or change times, no process id in the extended headers.
TAR = (
    "tar", "--create", "--file=-", "--directory={}", "--format=posix",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--sort=name", "--numeric-owner", "--sparse", "--acls", "--xattrs", "--xattrs-exclude=security.selinux",
    "--xattrs-exclude=trusted.overlay.*", "--xattrs-exclude=user.overlay.*", ".",
)  # fmt: skip


def _runroot(root: str) -> str:
    """A place for the state of a store that goes with a reboot: one for each store, and short.

    podman refuses a path of more than 50 characters, so it cannot lie below the store.
    """
    # Not by who we are: root of a user namespace has no place in /run.
    base = "/run" if os.access("/run", os.W_OK) else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    name = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:12]
    return os.path.join(base, f"stagegraph-store-{name}")


def _secrets(record: str) -> list[str]:
    """The paths of the secrets that the build container with this record was given; none when it is just being made."""
    try:
        with open(record, encoding="utf-8") as stream:
            given = json.load(stream)["CommonBuildOpts"]["Secrets"] or []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [word[4:] for secret in given for word in secret.split(",") if word.startswith("src=")]


def _seconds(created: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(created).timestamp()) if created else 0
