"""Keep known chatter of native code off stderr; all else is passed on."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

#: ONNX Runtime of some distributions shares libonnx, and both register every operator: a thousand lines at each start.
KNOWN = re.compile(rb"(?m)^Schema error: Trying to register schema with name .* but it is already registered from .*\n\n?")


@contextmanager
def known_chatter_left_out() -> Iterator[None]:
    """What native code writes to stderr meanwhile appears there afterwards, without what KNOWN matches."""
    sys.stderr.flush()
    real = os.dup(2)
    try:
        with tempfile.TemporaryFile() as kept:
            os.dup2(kept.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(real, 2)
                kept.seek(0)
                said = KNOWN.sub(b"", kept.read())
                while said:
                    said = said[os.write(2, said) :]
    finally:
        os.close(real)
