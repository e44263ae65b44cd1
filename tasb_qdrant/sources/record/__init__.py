"""From a record of any format to a passage: which fields are its id, text, title and payload."""
