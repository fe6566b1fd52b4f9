"""Tables of Arrow as pandas frames, if pandas is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas


def frame(table: pa.Table) -> pandas.DataFrame:
    """Raises ValueError if pandas is not installed."""
    try:
        import pandas  # noqa: F401  # what Arrow needs for it
    except ImportError as error:
        raise ValueError("table() needs pandas: pip install pandas, or take arrow()") from error
    return table.to_pandas()
