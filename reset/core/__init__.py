"""Rules only: no IO, no clock, no framework. Time is an argument."""
