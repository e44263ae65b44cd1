"""CSV and TSV: dialects, rows, and the types of columns."""
