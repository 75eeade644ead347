"""build-ocr: documents to text that is read, found and spotted. A page goes pdf -> text -> clean -> tasks -> build."""
