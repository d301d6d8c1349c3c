"""One command a file: parse, call, translate errors; nothing is computed here."""
