"""Rewrite rules: one rule, one file, one function named for what it does."""
