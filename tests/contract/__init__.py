"""The contract of ``stagegraph.engines.base.Engine``, tried on the fake engine and on each real one.

What the tests of the graph conclude from the fake engine holds for the real ones because both pass here. The real ones
get a store of their own in pytest's temporary directory and a root made of the host's shell and a few tools.
"""
