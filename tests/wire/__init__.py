"""Tests of the wire messages and frames."""
