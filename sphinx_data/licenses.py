"""What a licence allows, in two questions: commercial use, and handing the data on.

Ids are SPDX's (https://spdx.org/licenses); a few that SPDX lacks are named as they are known. This is bookkeeping for
selections such as ``where: "commercial"``, not legal advice; an id that is not listed answers None, "unknown".
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

UNKNOWN = "unknown"


class Allows(NamedTuple):
    """What a licence allows; None where that is unknown."""

    commercial: bool | None
    redistribute: bool | None


_OPEN = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "pddl-1.0", "odc-by-1.0",
    "odbl-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "gpl-2.0-only", "gpl-3.0-only",
    "gpl-3.0-or-later", "lgpl-3.0-only", "agpl-3.0-only", "agpl-3.0-or-later", "mpl-2.0", "ofl-1.1", "public-domain",
    "us-government-work", "no-known-copyright-restrictions",
}  # fmt: skip
_CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(-sa|-nd)?(-\d\.\d)?(-igo)?")
_CC_URL = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)")


def allows(license_id: str) -> Allows:
    """What one licence allows, or several joined by AND, which must all allow it.

    ``cc-by-nc-nd`` may be handed on unchanged, and bytes stay unchanged in shards.
    """
    name = license_id.strip().lower()
    if " and " in name and " or " not in name:
        return combine(name.split(" and "))
    if name in _OPEN:
        return Allows(True, True)
    if match := _CREATIVE_COMMONS.fullmatch(name):
        return Allows(match[1] is None, True)
    if name.startswith("research-only") or name == "non-commercial-research":
        return Allows(False, False)
    return Allows(None, None)


def combine(license_ids: Iterable[str | None]) -> Allows:
    """What a sample allows whose annotation and pictures carry these licences: all must allow it; None is skipped."""
    return _combine(tuple(license_ids))


@lru_cache(maxsize=1024)
def _combine(license_ids: tuple[str | None, ...]) -> Allows:
    each = [allows(name) for name in license_ids if name is not None]
    return Allows(_all(x.commercial for x in each), _all(x.redistribute for x in each))


def conjunction(license_ids: Iterable[str]) -> str:
    """The SPDX expression for data under all of these licences: ``A AND B``, each once, sorted."""
    terms = {term.strip() for name in license_ids for term in ([name] if " OR " in name else name.split(" AND "))}
    return " AND ".join(f"({term})" if " OR " in term and len(terms) > 1 else term for term in sorted(terms))


def _all(values: Iterable[bool | None]) -> bool | None:
    found = set(values)
    if False in found:
        return False
    return None if None in found or not found else True


def from_coco(entry: Mapping[str, Any]) -> str:
    """The id for one item of a COCO file's ``licenses`` list, by its URL, else its name, else ``unknown``."""
    url, name = str(entry.get("url") or "").lower(), str(entry.get("name") or "").strip()
    if match := _CC_URL.search(url):
        if match[1] == "publicdomain":
            return "CC0-1.0" if match[2] == "zero" else "public-domain"
        return f"CC-{match[2].upper()}-{match[3]}"
    if "flickr.com/commons/usage" in url:
        return "no-known-copyright-restrictions"
    if "usa.gov/copyright" in url:
        return "US-government-work"
    return name if allows(name) != Allows(None, None) else UNKNOWN
