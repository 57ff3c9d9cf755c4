"""Tests of what SCons does with the graph: whole runs of scons on small projects, built by the fake engine."""
