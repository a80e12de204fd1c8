"""Task classes: problems, messages, answers, grades."""
