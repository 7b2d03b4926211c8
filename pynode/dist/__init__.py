"""The distribution protocol without I/O, clock or randomness.

Source: "Distribution Protocol" and "External Term Format" of the ERTS User's Guide,
``dist_util.erl`` of kernel, ``dist.c`` and ``external.c`` of the emulator.
"""
