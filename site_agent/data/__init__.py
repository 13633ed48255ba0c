"""What a hospital's own tables mean under an agreement, and whether they may train."""
