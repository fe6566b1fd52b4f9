"""Files, paths and processes: what everything else writes with."""
