"""What is measured: small programs, each run in a process of its own, ours or a peer's Python.

They load the standard library and the tracker they are told to use, and nothing else.
"""
