"""The review gallery: one HTML page of rows that people judge, the likeliest mistakes of the cleaning first."""
