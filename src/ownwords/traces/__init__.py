"""Finished attempts: the record, the store that survives a kill, the choice among them, and the export."""
