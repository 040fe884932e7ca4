"""The report: one HTML page with images, readable without network, on a phone, in the dark."""
