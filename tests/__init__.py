"""Tests, mirroring the package; the helpers they share are the plain modules of this folder."""
