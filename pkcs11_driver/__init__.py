"""Everything that touches PKCS#11: the token beside a person, and the service's own HSM."""
