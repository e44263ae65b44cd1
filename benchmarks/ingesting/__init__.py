"""From text to stored and searchable: the whole of `ingest`, beside what people would use instead."""
