"""THE READ PROTOCOL: every question that a store answers, with one meaning on all of them."""
