"""Whatever a caller gives as the source, as passages: files, memory, standard input."""
