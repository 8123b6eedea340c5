"""The window, driven on a screen of its own."""
