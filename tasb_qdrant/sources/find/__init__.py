"""What a person names, as the list of inputs to read: files, folders, tables of other programs."""
