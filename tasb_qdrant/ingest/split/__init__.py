"""Long texts as several passages each."""
