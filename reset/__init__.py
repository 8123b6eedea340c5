"""The service: a blocked hardware token gets a new user PIN, and nobody alone can do it."""
