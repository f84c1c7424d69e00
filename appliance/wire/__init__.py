"""Everything that crosses a boundary: the envelope, the seal, the statements, the topics, the local messages."""
