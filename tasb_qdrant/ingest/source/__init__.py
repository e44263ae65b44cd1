"""What a person names as a source, as passages: files, memory, standard input."""
