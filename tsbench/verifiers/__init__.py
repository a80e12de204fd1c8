"""What scores a reply."""
