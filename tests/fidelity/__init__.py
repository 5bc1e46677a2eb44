"""Byte for byte: what real clients hear through the proxy is what they hear without it."""
