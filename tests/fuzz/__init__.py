"""Mutated conversations: what no client and no server should say must not break a session, nor open it."""
