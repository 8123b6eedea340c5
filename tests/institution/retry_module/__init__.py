"""The token that tests use: a PKCS#11 module with retry counters, and its child process."""
