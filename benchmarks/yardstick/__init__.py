"""Makes a small DeepSeek-V4 that has learned something, from nothing: corpus, tokenizer, training, export."""
