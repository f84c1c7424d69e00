"""The technician's side: a pure plan, then idempotent steps."""
