"""Parts networks are built of; no methods."""
