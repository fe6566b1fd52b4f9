"""What is kept: problems and traces."""
