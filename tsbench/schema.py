"""The columns of samples: a row per reply."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("task_class", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("stratum", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("served_model", pa.string()),
        pa.field("endpoint", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("params", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string()),
        pa.field("partial", pa.bool_(), nullable=False),
        pa.field("verifier", pa.string()),
        pa.field("of", pa.string()),
        pa.field("thinking_kind", pa.string(), nullable=False),
        pa.field("thinking_budget", pa.int64()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("thoughts", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("correct", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("finish", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("cached_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("reasoning_tokens", pa.int64()),
        pa.field("counted_by", pa.string(), nullable=False),
        pa.field("logprob_sum", pa.float64()),
        pa.field("logprob_mean", pa.float64()),
        pa.field("confidence", pa.float64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("started", pa.float64(), nullable=False),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field("wasted_tokens", pa.int64()),
        pa.field("graded", pa.bool_(), nullable=False),
        pa.field("schema_version", pa.int64(), nullable=False),
    ]
)
LONG = ("text", "thoughts")
"""The columns that are as long as the replies are."""
RECORD = (
    *("run", "served_model", "prompt_hash", "counted_by", "logprob_sum", "started", "attempts"),
    *("wasted_tokens", "graded", "schema_version"),
)
"""The columns that no outcome is made from."""
ANALYSED = [name for name in SCHEMA.names if name not in (*LONG, *RECORD)]
"""The columns that outcomes are made from."""

Row = dict[str, Any]
