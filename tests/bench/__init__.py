"""Measurements: what a query costs on its way."""
