"""Names inside a dataset directory (docs/contracts.md, section 1)."""

PLAN = "plan.json"
RECORDS = "plan.records"  # what the planning pass found, read by the workers; removed when the dataset is complete
DESCRIPTION = "dataset.json"
FORMAT = "sphinx-dataset/1"
LARGEST_PART = 999_999  # rows; a key is six digits of part and six of row
SHARD_BYTES = 1 << 30  # a shard is closed before it grows beyond this


def shard(part: int, number: int) -> str:
    """Relative name of a shard."""
    return f"shards/{part:06d}-{number:02d}.tar"


def index(part: int) -> str:
    """Relative name of a part's index; its presence means that the part is complete."""
    return f"index/{part:06d}.parquet"


def rejects(part: int) -> str:
    """Relative name of a part's rejects."""
    return f"rejects/{part:06d}.parquet"


def rows(part: int) -> str:
    """Relative name of a part of a virtual dataset."""
    return f"rows/{part:06d}.parquet"


def key(part: int, row: int) -> str:
    """The twelve digits that start every member name of a sample."""
    return f"{part:06d}{row:06d}"
