"""Chat templates and prompts: what a model reads before the first token."""
