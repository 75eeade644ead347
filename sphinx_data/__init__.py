"""Data toolkit for multimodal LLMs: sources in, WebDataset shards with an index out."""
