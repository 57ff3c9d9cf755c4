"""Engines: the programs that build, behind one interface (``base.Engine``)."""
