"""Parquet and other tables of Arrow."""
