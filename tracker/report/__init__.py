"""The HTML reports of evaluation and monitoring."""
