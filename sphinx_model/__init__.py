"""SPHINX as Hugging Face models, and the trainer that makes them from dataset directories."""
