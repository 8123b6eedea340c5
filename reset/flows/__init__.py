"""What people do with the service: one transaction per step, the audit entry inside it."""
