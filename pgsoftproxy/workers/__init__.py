"""Several processes on one port: a supervisor that keeps them alive, and how it speaks with them.

Must not know what a worker does, only what it can be told.
"""
