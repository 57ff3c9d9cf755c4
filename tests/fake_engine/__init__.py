"""A small engine for tests: real OCI images in a directory, built in milliseconds without a process.

It keeps the contract of ``stagegraph.engines.base.Engine`` (tests/contract runs on it and on the real
engines). A project under test takes it in by

    from stagegraph.engines import detect
    detect.ENGINES["fake"] = lambda options: FakeEngine(options.root)

and ``--engine=fake``. What tests steer and read stands in ``FakeEngine``.
"""

from .engine import FakeEngine
from .layout import write_layout

__all__ = ["FakeEngine", "write_layout"]
