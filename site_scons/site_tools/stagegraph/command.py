"""What one scons command does with the finished graph: answer a question, clean, or get ready to build."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from SCons.Script import BUILD_TARGETS, COMMAND_LINE_TARGETS

from . import nodes, outputs, settings
from .errors import UserError
from .model import OUTPUT_KINDS
from .plan import ADOPT, RELABEL, UP_TO_DATE, Decision
from .project import OUT, Project, run_name

if TYPE_CHECKING:
    from .session import Session


def carry_out(project: Project) -> None:
    """The end of reading: everything is declared, nothing has been decided yet."""
    project.seal()
    if settings.option("help"):
        return
    if settings.option("disk") and not settings.option("status"):
        raise UserError("command-words", "--disk says which table --status prints", hint="give both, --status --disk")
    if settings.option("list_targets"):
        _list_targets(project)
    words = [str(word) for word in COMMAND_LINE_TARGETS]
    if settings.option("repair"):
        _repair(project)
    for word in words:
        if word in COMMANDS and len(words) > 1:
            other = next((each for each in words if each != word), word)
            raise UserError(
                "command-words",
                f"{word} stands alone, but {other!r} stands beside it",
                hint="run the two one after the other",
            )
        if word in COMMANDS:
            COMMANDS[word](project)
    requested, other = project.targets.requested()
    project.targets.check(other)
    if settings.option("clean"):
        if any(settings.option(name) for name in ("why", "status", "plan")):
            raise UserError("command-words", "-c removes, so it does not go with a question", hint="leave out one of them")
        _clean(project, requested)
    elif settings.option("check_reproducible"):
        if project.asking():
            raise UserError(
                "command-words",
                "--check-reproducible builds, so it does not go with a question",
                hint="leave out -n, -q or the other question",
            )
        _check_reproducible(project, requested)
    elif project.asking():
        _answer(project, requested, other)
    elif requested:
        _prepare(project, requested)


def _clean(project: Project, requested: list[str]) -> None:
    """SCons does the cleaning; what a build of another run makes at this moment is not taken from it."""
    from .runs import TreeLock

    wanted = project.targets.directly_requested()
    project.keep_parents(wanted)
    for node in (project.graph.nodes[name] for name in wanted):
        if node.kind in OUTPUT_KINDS:
            outputs.check_removable(project.space.path(node.record), node)
    out = project.space.path(OUT)
    if requested and not settings.option("no_exec") and os.path.isdir(out):
        lock = TreeLock(out)
        lock.acquire()
        atexit.register(lock.release)


def _list_targets(project: Project) -> None:
    from . import ask

    ask.targets(project.targets.words, project.graph.nodes, sys.stdout)
    sys.exit(0)


def _answer(project: Project, requested: list[str], other: list[str]) -> None:
    """Answer from the plan. Targets that are not ours are left to SCons under ``-n`` and ``-q``, where it builds nothing."""
    from . import ask

    shown = next((name for name in ("why", "status", "plan") if settings.option(name)), "")
    if shown and other and not requested:
        raise UserError(
            "command-words",
            f"--{shown} tells of nodes of the graph, and {other[0]!r} has nothing to do with one",
            hint="scons --list-targets prints all targets; scons -n shows what SCons would do for the others",
        )
    if settings.option("status") and not requested:
        requested = list(project.graph.nodes)
    if not requested:
        return
    space = project.space
    space.tolerate_no_engine = True
    space.asked_store = project.store_directory()
    decisions = project.decide(requested)
    code = 0
    if settings.option("disk"):
        _show_disk(project, decisions)
    elif settings.option("status"):
        ask.status(decisions, space.store(), time.time(), sys.stdout)
    elif settings.option("why"):
        ask.why(project.graph, decisions, requested, sys.stdout)
    elif settings.option("plan"):
        ask.plan(project.graph, decisions, int(settings.option("num_jobs")), sys.stdout)
    elif settings.option("question"):
        code = 0 if all(decision.state == UP_TO_DATE for decision in decisions.values()) else 1
    else:
        ask.dry_run(decisions, lambda decision: _argv(project, decision), sys.stdout)
    if space.no_engine:
        sys.stderr.write(f"note: no engine was asked what its store holds: {space.no_engine}\n")
    if shown or not other or code:
        sys.stdout.flush()
        sys.exit(code)
    BUILD_TARGETS[:] = other


def _show_disk(project: Project, decisions: dict[str, Decision]) -> None:
    """The table of what each stage holds. Of an engine's own store only the engine knows where it lies."""
    from . import disk

    space = project.space
    rows = disk.held(project.graph, decisions, space.store())
    store = project.store_directory()
    if not store and not space.no_engine:
        store = project.engine().store()
    places = {"images": store, "exports": space.path(settings.setting("OUTPUT_ROOT") or OUT)}
    disk.table(rows, places, sys.stdout)


def _argv(project: Project, decision: Decision) -> list[str]:
    """The engine call that the real run makes for a step, placeholders where an image does not exist yet."""
    from . import ask
    from .work import build_request

    node = decision.node
    if node.kind == "root":
        from . import root

        return root.shown_argv(node.options, node.platform.split("/")[1], project.space.timestamp)
    engine = project.any_engine()
    images = {}
    for parent in node.parents:
        other = project.planner.decisions[parent.node]
        known = other.image.id if other.image is not None else other.record.image_id if other.record else ""
        images[parent.ref] = known if known and other.state in (UP_TO_DATE, RELABEL, ADOPT) else ask.placeholder(parent.node)
    signature = decision.signature or f"<signature of {node.name}>"
    return engine.build_argv(
        build_request(project.space, node, signature, images, secret="/dev/null", iidfile="")
    )


def _prepare(project: Project, requested: list[str]) -> None:
    """Plan; when there is work, open the run that does it and add the check that ends it."""
    if _is_done(project.decide(requested)):
        project.save_caches()
        _sweep(project)
        sys.stdout.writelines(f"{line}\n" for line in outputs.sayings(project.planner.decisions))
        return
    project.session = _open_session(project, requested)
    project.session.worker()
    # Another run may have finished nodes, or gc removed images, between the first look and the locks.
    project.space.forget_store()
    project.planner.plan(requested)
    BUILD_TARGETS.append(nodes.ending(project, requested))


def _sweep(project: Project) -> None:
    """Remove what killed runs left, although there is nothing to build; a secret may be among it."""
    from . import runs

    if not runs.any_dead():
        return
    from . import leftovers

    try:
        problems = leftovers.sweep(project.engine())
    except UserError as problem:
        problems = [problem.message]
    sys.stderr.writelines(f"note: what a killed run left was not removed: {problem}\n" for problem in problems)


def _is_done(decisions: dict[str, Decision]) -> bool:
    return all(decision.state == UP_TO_DATE for decision in decisions.values())


def _open_session(project: Project, requested: list[str]) -> Session:
    from . import transport
    from .session import Session
    from .work import Settings

    given = {name: settings.setting(name) for name in settings.TRANSPORT}
    if not given["APT_MIRROR_URL"] and not settings.setting("ROOT_IMAGE"):
        given["APT_MIRROR_URL"] = transport.host_mirror(project.space.parsed)
    chosen = Settings(
        log_dir=settings.setting("LOG_DIR") or os.path.join(OUT, "logs", run_name()),
        transport=given,
    )
    session = Session(project.space, project.planner, chosen, project.space.path(OUT), requested)
    atexit.register(project.save_caches)
    atexit.register(session.close)
    return session


def _check_reproducible(project: Project, requested: list[str]) -> NoReturn:
    """Judge the requested nodes; an output stands for everything below it."""
    from . import reproduce

    project.decide(requested)
    session = _open_session(project, requested)
    below = project.graph.closure(n for n in requested if project.graph.nodes[n].kind in OUTPUT_KINDS)
    wanted = {*requested, *(node.name for node in below)}
    judged = [node for node in project.graph.nodes.values() if node.name in wanted and node.kind not in OUTPUT_KINDS]
    status = reproduce.check(
        session.worker(),
        judged,
        project.space.path(OUT),
        sys.stdout,
        keep_going=bool(settings.option("keep_going")),
        failed=lambda name, problem: session.show_failure(name, str(problem)),
    )
    sys.exit(status)


def _repair(project: Project) -> NoReturn:
    """Put manifests together from the images that are there."""
    from . import ancestry, ask, repair

    requested, other = project.targets.requested()
    project.targets.check(word for word in other if word not in COMMANDS)
    options = ("question", "why", "status", "plan", "clean", "check_reproducible", "refresh")
    beside = [f"--{name.replace('_', '-')}" for name in options if settings.option(name)]
    repair.check_command(requested, project.graph.nodes, other, beside)
    space, dry = project.space, bool(settings.option("no_exec"))
    session = None if dry else _open_session(project, requested)
    if session is not None:
        session.worker()
    else:
        space.tolerate_no_engine, space.asked_store = True, project.store_directory()
    record_of = ancestry.reader(space.record, project.graph)
    decisions = [
        repair.decide(project.graph, project.graph.nodes[name], record_of, space.store(), space.timestamp)
        for name in requested
    ]
    if session is None:
        ask.dry_run({decision.node.name: decision for decision in decisions}, lambda decision: [], sys.stdout)
        sys.exit(0)
    try:
        for decision in decisions:
            session.carry_out(decision)
    except UserError:
        sys.exit(2)  # it was shown
    sys.exit(0)


def _gc(project: Project) -> NoReturn:
    from . import gc

    store = project.store_directory()
    if project.asking() and store and not os.path.isdir(store):
        sys.stdout.write("0 images would be removed\n")
        sys.exit(0)
    images = project.space.path(os.path.join(OUT, "images"))
    gc.collect(project.engine(), images, sys.stdout, dry=project.asking())
    sys.exit(0)


def _lint(project: Project) -> NoReturn:
    from . import lint

    findings = lint.lint(project.root, project.dockerfiles(), project.values)
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}\n")
    sys.exit(1 if any(finding.severity == "error" for finding in findings) else 0)


#: Words on the command line that do something other than build targets; each stands alone.
COMMANDS: dict[str, Callable[[Project], NoReturn]] = {"gc": _gc, "lint": _lint}
