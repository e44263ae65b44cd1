"""The bytes of an input: opened, decompressed, decoded, split into lines."""
