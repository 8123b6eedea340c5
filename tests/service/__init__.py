"""The service as an operator sees it: settings, commands, processes."""
