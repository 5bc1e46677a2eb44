"""Tests of the session: one conversation, without sockets."""
