"""The SCons node of a stage graph node: a file whose staleness the plan decides, not SCons.

SCons schedules: it walks from the targets to what they stand on and runs what is stale, in parallel. Its own
signatures and its database are not used for these nodes (nothing of them is stored), so losing ``.sconsign`` or
running another Python changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import SCons.Errors
import SCons.Node.FS
from SCons.Action import Action
from SCons.Builder import Builder

from . import outputs
from .errors import UserError
from .model import OUTPUT_KINDS

if TYPE_CHECKING:
    from .project import Project


class GraphFile(SCons.Node.FS.File):
    """The record or artifact.env of a node. ``attributes.project`` and ``attributes.graph_node`` lead on."""

    __slots__ = ()

    def is_up_to_date(self) -> bool:
        return bool(self.attributes.project.is_current(self.attributes.graph_node))

    def explain(self) -> str:
        """What --debug=explain prints: the plan's own reasons."""
        project, name = self.attributes.project, self.attributes.graph_node
        return "".join(f"{name}: {reason}\n" for reason in project.reasons(name))

    def prepare(self) -> None:
        """SCons would remove the old target here; a record is replaced by its successor and by nothing else."""

    def built(self) -> None:
        for parent in self.waiting_parents:
            parent.implicit = None
        self.clear()

    def visited(self) -> None:
        """Nothing is stored in SCons' database."""

    def get_max_drift_csig(self) -> None:
        """No digest is looked up in SCons' database, which would make SCons open and so write one."""

    def release_target_info(self) -> None:
        """Nothing was gathered for SCons' database."""

    def remove(self) -> Any:
        """For ``scons -c``: the record, or the whole output; images leave the store by ``scons gc``."""
        node = self.attributes.project.graph.nodes[self.attributes.graph_node]
        if node.kind not in OUTPUT_KINDS:
            return super().remove()
        return outputs.remove(self.attributes.project.space.path(node.record), node)


def _build(target: list[Any], source: list[Any], env: Any) -> None:
    """The action of every graph node."""
    node = target[0]
    project: Project = node.attributes.project
    try:
        project.bring_up_to_date(node.attributes.graph_node)
    except UserError as problem:
        from .report import plain

        raise SCons.Errors.BuildError(node=node, errstr=plain(problem.message), exitstatus=2) from problem


def _check(target: list[Any], source: list[Any], env: Any) -> None:
    """The action that ends a run: everything asked for must be up to date still."""
    project: Project = target[0].attributes.project
    try:
        if project.session is not None:
            project.session.check()
    except UserError as problem:
        raise SCons.Errors.BuildError(node=target[0], errstr=str(problem), exitstatus=2) from problem


_BUILDER = Builder(action=Action(_build, cmdstr=None))


def declare(project: Project, name: str, path: str, sources: list[GraphFile]) -> GraphFile:
    """Make the SCons node of graph node ``name``, standing on the SCons nodes of its parents."""
    env = project.env
    try:
        node = env.File(path)
    except TypeError as problem:
        raise UserError("file-failed", str(problem).removesuffix("."), hint="move away what lies there") from problem
    node.__class__ = GraphFile
    node.attributes.project = project
    node.attributes.graph_node = name
    node.precious = True
    node.nocache = True  # a CacheDir of the user's would bring back an old record without its image
    _BUILDER(env, target=[node], source=list(sources))
    return node  # type: ignore[no-any-return]


def ending(project: Project, requested: list[str]) -> Any:
    """A node that comes after all requested ones and checks that nothing became stale meanwhile."""
    env = project.env
    check = env.Alias("check-after-run", [project.file(name) for name in requested], Action(_check, cmdstr=None))
    env.AlwaysBuild(check)
    check[0].attributes.project = project
    return check[0]
