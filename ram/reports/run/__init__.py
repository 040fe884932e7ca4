"""The report: one HTML page with pictures, readable without network, on a phone, in the dark."""
