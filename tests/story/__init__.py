"""The product's story: from a blocked token to a new PIN, with real parts."""
