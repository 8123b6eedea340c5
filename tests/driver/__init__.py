"""Tests of the driver and the helper."""
