"""PDFium, thinly: open a document and load its pages (`ocr/pdf_page.py`).

Only the raw API is used, and every handle is closed explicitly: PDFium is neither thread-safe nor fork-safe, so the
library is loaded on first use, inside the worker process.
"""

import functools
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sphinx_data.ocr import outline
from sphinx_data.ocr.native import raw
from sphinx_data.ocr.pdf_page import Page, PdfError

_PASSWORD_ERROR, _SECURITY_ERROR = 4, 5  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY


@functools.cache
def renderer() -> tuple[str, str]:
    """Name and version of what renders, e.g. ``("pdfium", "159.0.8149.0")``; it belongs to a sample's provenance."""
    raw()
    info = importlib.import_module("pypdfium2.version").PDFIUM_INFO
    return "pdfium", ".".join(str(getattr(info, part)) for part in ("major", "minor", "build", "patch"))


class Document:
    """An open PDF; use `open_document`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @functools.cached_property
    def about(self) -> outline.About:
        """Title, author and outline."""
        return outline.about(self._handle)

    def __len__(self) -> int:
        return max(0, raw().FPDF_GetPageCount(self._handle))

    @contextmanager
    def page(self, number: int, long_side: int) -> Iterator[Page]:
        """Page `number` (from 0) with its text layer, sized to `long_side` pixels. Raises PdfError `page-damaged`."""
        pdfium = raw()
        handle = pdfium.FPDF_LoadPage(self._handle, number)
        if not handle:
            raise PdfError("page-damaged", "PDFium cannot load this page")
        try:
            text = pdfium.FPDFText_LoadPage(handle)
            if not text:
                raise PdfError("page-damaged", "PDFium cannot read the text of this page")
            try:
                yield Page(handle, text, long_side)
            finally:
                pdfium.FPDFText_ClosePage(text)
        finally:
            pdfium.FPDF_ClosePage(handle)


@contextmanager
def open_document(data: bytes, passwords: Sequence[str] = ()) -> Iterator[Document]:
    """Open a PDF held in memory; `passwords` are tried in turn where it needs one.

    Raises PdfError: `pdf-empty`, `not-pdf`, `pdf-encrypted`, `pdf-damaged`, `pdf-no-pages`.
    """
    if not data:
        raise PdfError("pdf-empty", "the file has no bytes")
    pdfium = raw()
    for password in (None, *passwords):
        handle = pdfium.FPDF_LoadMemDocument64(data, len(data), None if password is None else password.encode())
        if handle or pdfium.FPDF_GetLastError() != _PASSWORD_ERROR:
            break
    if not handle:
        raise _open_error(pdfium.FPDF_GetLastError(), data, len(passwords))
    try:
        document = Document(handle)
        if not len(document):
            raise PdfError("pdf-no-pages", "the document opens but has no page")
        yield document
    finally:
        pdfium.FPDF_CloseDocument(handle)


def _open_error(code: int, data: bytes, tried: int) -> PdfError:
    if code == _PASSWORD_ERROR:
        known = f", none of the {tried} given opens it" if tried else "; give it with --password"
        return PdfError("pdf-encrypted", f"the document needs a password{known}")
    if code == _SECURITY_ERROR:
        return PdfError("pdf-encrypted", "the document uses an encryption that PDFium does not know")
    if b"%PDF-" not in data[:1024]:
        return PdfError("not-pdf", "there is no %PDF header in the first 1,024 bytes")
    return PdfError("pdf-damaged", f"PDFium cannot parse the document of {len(data):,} bytes")
