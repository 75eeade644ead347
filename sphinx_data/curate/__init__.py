"""Looking at samples one by one: measures become columns that mixes select by (docs/measuring.md)."""
