"""Sources that lie elsewhere: on web servers, in object stores, on the Hugging Face hub."""
