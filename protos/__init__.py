"""The vocabulary that both sides speak: messages, words, codec and errors."""
