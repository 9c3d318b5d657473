"""What the browser loads. Everything is served from here, nothing from elsewhere."""
