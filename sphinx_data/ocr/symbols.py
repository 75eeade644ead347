"""Symbol fonts without names: their glyphs come out as the letter that happens to share their code.

Old TeX fonts tell a prime as "0", "not equal" as "6=" and a sum as "P"; dingbats tell a bullet as "r". PDFium maps the
glyphs whose names it knows; what is left as plain ASCII is wrong unless such a font really draws it.
"""

import re
import string
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_CAPITALS = string.ascii_uppercase  # script, black-letter and double-struck capitals may be told as plain ones
# fonts by base name (after the subset's "ABCDEF+"), with the ASCII that they do draw
_FONTS = (
    (r"CMB?SY|EU[SF]M|EURB|RSFS|TXSY|PXSY|LMMATHSYMBOLS|LMSY", _CAPITALS + "{}|/\\*-"),
    (r"CMEX|TXEX|PXEX|LMMATHEXTENSION|LMEX|ESINT|MSAM|STMARY|WASY", ""),
    (r"MSBM|BBOLD|BBM|DSROM", _CAPITALS),
    (r"CMMI|CMMIB|LMMATHITALIC|LMMI|TXMI|PXMI|RTXMI", string.ascii_letters + string.digits + ".,/<>()*=+-[]'"),
    (r"SYMBOL", string.digits + string.punctuation),
    (r".*WITHCOMMPI|UNIVERSAL.*PI$|EUROPEANPI", ""),
    (r"(ITC)?ZAPF-?DINGBATS|.*DINGBAT|WINGDINGS|WEBDINGS|MARVOSYM|FONTAWESOME|BBDING|MONOTYPESORTS", ""),
)


def drawn_by(font: str) -> NDArray[np.bool_] | None:
    """[128] which ASCII codes a font of this base name may be believed to draw; None where all of them."""
    return _drawn_by(font.rpartition("+")[2])  # every document has other subset tags: they would fill the cache


def ascii_flags(signs: str) -> NDArray[np.bool_]:
    """[129] which ASCII codes are among `signs`; the last one, for all other codes, is none of them."""
    table = np.zeros(129, np.bool_)
    table[[ord(sign) for sign in signs]] = True
    return table


@lru_cache(maxsize=512)
def _drawn_by(font: str) -> NDArray[np.bool_] | None:
    name = font.upper().replace(" ", "")
    for pattern, drawn in _FONTS:
        if re.match(pattern, name):
            table = np.zeros(128, np.bool_)
            table[: ord(" ") + 1] = True  # blanks and controls have rules of their own
            table[[ord(letter) for letter in drawn]] = True
            return table
    return None
