"""Find the knee of accuracy against test-time compute."""
