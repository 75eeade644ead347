"""Dataset directories: the only place that knows their layout (docs/contracts.md, section 1)."""
