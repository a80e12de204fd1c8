"""What answers an ask."""
