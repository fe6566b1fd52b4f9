"""Models of `transformers`: found, checked, loaded, and their vocabularies aligned."""
