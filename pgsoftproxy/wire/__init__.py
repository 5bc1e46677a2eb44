"""The wire protocol: bytes to messages and back. Knows no state and no SQL."""
