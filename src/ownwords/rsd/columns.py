"""What is recorded of every token, by name and type: the columns that engines write and traces keep."""

from __future__ import annotations

import numpy as np

TEACHER, STUDENT, FORCED, UNKNOWN = 0, 1, 2, 3
"""Who wrote a token: a proposal that passed, the student's fallback, or the configuration; in traces that no engine of
ours wrote, nobody knows."""

COLUMNS: dict[str, np.dtype] = {
    "token_ids": np.dtype(np.int32),
    "source": np.dtype(np.uint8),
    "teacher_logprob": np.dtype(np.float32),
    "student_logprob": np.dtype(np.float32),
    "student_rank": np.dtype(np.int32),
    "pass_mass": np.dtype(np.float32),
    "refused_id": np.dtype(np.int32),
    "refused_prob": np.dtype(np.float32),
}
"""Per-token columns: log-probabilities are natural and raw (temperature 1), a rank of 1 is the student's favourite, a
`refused_id` of -1 says that the gate refuses nothing."""
