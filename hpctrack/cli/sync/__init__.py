"""The parts of ``hpctrack sync`` and ``hpctrack remote``."""
