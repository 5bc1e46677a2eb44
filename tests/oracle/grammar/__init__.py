"""Random statements over tests/cases/schema.sql: a seed and a number in, the same unit out for ever. Pure."""
