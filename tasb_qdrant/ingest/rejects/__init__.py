"""Inputs that can't be stored: kept, and tried again."""
