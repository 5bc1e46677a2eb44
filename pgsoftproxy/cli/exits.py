"""Exit codes of the commands, documented in docs/configuration.md."""

DONE = 0
FAILED = 1
WRONG = 2
UNREACHABLE = 3
NOTHING = 4
