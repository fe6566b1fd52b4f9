"""What a student thinks of finished traces: scores, selection, teachers compared, and what it is that it finds odd.

A scores directory, written by `ownwords score` and read by everything else (`ownwords.suitability.stored`):

* `scores.parquet`: one row per trace, in the order of the set, with every score of `ownwords.suitability.scores`;
* `tokens.parquet`: the same rows with per-token columns (token ids, surprisal, rank, entropy);
* `summary.json`: the scores of the set as a whole;
* `config.yaml`, `versions.json`: what it was made with.
"""
