"""RSD inside vLLM: the teacher is the served model, the student its draft model, and the target is the mixture."""
