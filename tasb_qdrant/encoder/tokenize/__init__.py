"""Text to token ids, as the model's own tokenizer gives them."""
